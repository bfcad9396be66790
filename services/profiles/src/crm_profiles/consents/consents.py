"""Consents: what customers say about being written to, for which purpose and by which way."""

from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from crm_profiles.consents import contact_policy, permissions
from crm_profiles.consents.permissions import Standing
from crm_profiles.customers import documents
from crm_profiles.errors import PurposeNotFound, StatementOutOfTime
from crm_profiles.models.consents import ConsentStatement
from crm_profiles.models.timeline import EntryType
from crm_profiles.schemas.consents import ConsentIn
from crm_shared.clock import Clock
from crm_shared.pages import Key, Listing, PageRequest, paginate
from crm_shared.permissions import ContactChannel
from crm_shared.problems import Fault

_SAID = ("state", "basis", "until", "source", "evidence")
"""In what a statement says the same as another one for the same purpose and channel."""


async def state(
    session: AsyncSession,
    customer_id: UUID,
    purpose: str,
    channel: ContactChannel,
    body: ConsentIn,
    *,
    clock: Clock,
    by: str,
    if_match: str | None = None,
) -> Standing:
    """Record what the customer said; the statement made last counts, whenever it becomes known.

    What is on file already, or says again without an instant what counts now, changes nothing. Raises
    CustomerNotFound, PurposeNotFound, StaleVersion, StatementOutOfTime.
    """
    if purpose not in (await contact_policy.current(session)).policy.purposes:
        raise PurposeNotFound(purpose=purpose)
    locked = await permissions.lock(session, customer_id, clock, if_match=if_match)
    statement = ConsentStatement(
        customer_id=locked.owner.id,
        origin_customer_id=locked.owner.origin,
        purpose=purpose,
        channel=channel,
        since=body.at or locked.at,
        version=locked.record.version + 1,
        recorded_at=locked.at,
        recorded_by=by,
        **body.model_dump(exclude={"at"}),
    )
    if body.at is not None and body.at > locked.at:
        raise StatementOutOfTime(errors=[_fault("/at", "in_future", "It has not been said yet.")])
    if body.until is not None and body.until <= statement.since:
        raise StatementOutOfTime(errors=[_fault("/until", "before_start", "It ends before it begins.")])
    if not await _known(session, statement, timed=body.at is not None):
        session.add(statement)
        title = f"Consent to {purpose} by {channel}: {body.state}"
        data = {"purpose": purpose, "channel": channel} | body.model_dump(mode="json", exclude={"evidence"})
        await permissions.tell(session, locked, EntryType.CONSENT_CHANGED, title, data)
    return await permissions.standing(session, customer_id)


async def history(
    session: AsyncSession, customer_id: UUID, *, page: PageRequest
) -> Listing[ConsentStatement]:
    """Every statement ever recorded, the last recorded first; raises CustomerNotFound."""
    current = await documents.current_id(session, customer_id)
    return await paginate(
        session,
        select(ConsentStatement).where(ConsentStatement.customer_id == current),
        [Key(ConsentStatement.recorded_at, descending=True), Key(ConsentStatement.id, descending=True)],
        page=page,
        filters=str(current),
    )


async def _known(session: AsyncSession, statement: ConsentStatement, *, timed: bool) -> bool:
    """Whether it was recorded before; one without an instant of its own: whether it is what counts now."""
    about = select(ConsentStatement).where(
        ConsentStatement.customer_id == statement.customer_id,
        ConsentStatement.purpose == statement.purpose,
        ConsentStatement.channel == statement.channel,
    )
    if timed:
        about = about.where(ConsentStatement.since == statement.since)
    order = ConsentStatement.since.desc(), ConsentStatement.recorded_at.desc()
    newest = await session.scalar(about.order_by(*order).limit(1))
    return newest is not None and all(getattr(newest, name) == getattr(statement, name) for name in _SAID)


def _fault(pointer: str, code: str, message: str) -> Fault:
    return {"pointer": pointer, "code": code, "message": message}
