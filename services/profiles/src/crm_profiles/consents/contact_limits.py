"""Contact limits: when a customer is left alone, and how often they may be written to at most."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from crm_profiles.consents import permissions
from crm_profiles.consents.permissions import Standing
from crm_profiles.models.timeline import EntryType
from crm_shared.clock import Clock
from crm_shared.contracts.permissions import FrequencyCap, QuietWindow
from crm_shared.database import Json


async def set_quiet_hours(
    session: AsyncSession,
    customer_id: UUID,
    windows: Sequence[QuietWindow] | None,
    *,
    clock: Clock,
    if_match: str | None,
) -> Standing:
    """Replace the customer's own quiet hours; None: as the company has them, none at all: never quiet.

    Raises CustomerNotFound, StaleVersion.
    """
    locked = await permissions.lock(session, customer_id, clock, if_match=if_match)
    rows = _rows(windows)
    if rows != _rows(locked.counting.quiet_hours):
        locked.record.quiet_hours, locked.record.quiet_hours_at = rows, locked.at
        title = "Quiet hours are the company's" if rows is None else "Quiet hours were set"
        data = {"quiet_hours": rows}
        await permissions.tell(session, locked, EntryType.QUIET_HOURS_CHANGED, title, data)
    return await permissions.standing(session, customer_id)


async def set_caps(
    session: AsyncSession,
    customer_id: UUID,
    caps: Sequence[FrequencyCap],
    *,
    clock: Clock,
    if_match: str | None,
) -> Standing:
    """Replace the customer's own frequency caps, which hold beside the company's.

    Raises CustomerNotFound, StaleVersion.
    """
    locked = await permissions.lock(session, customer_id, clock, if_match=if_match)
    rows = _rows(caps)
    if rows != _rows(locked.counting.caps):
        locked.record.caps, locked.record.caps_at = rows or [], locked.at
        title = "Frequency caps were set" if rows else "Frequency caps are the company's"
        await permissions.tell(session, locked, EntryType.FREQUENCY_CAPS_CHANGED, title, {"caps": rows})
    return await permissions.standing(session, customer_id)


def _rows(parts: Sequence[QuietWindow | FrequencyCap] | None) -> list[Json] | None:
    return None if parts is None else [part.model_dump(mode="json") for part in parts]
