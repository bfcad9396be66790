"""Privacy: forgetting a customer everywhere, with a receipt of what each service removed and kept."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import selectinload

from crm_profiles.errors import ErasureNotFound
from crm_profiles.models.base import Base
from crm_profiles.models.customers import Customer
from crm_profiles.models.privacy import Erasure, ErasureConfirmation
from crm_shared import erasure
from crm_shared.contracts.erasure import ErasureConfirmed
from crm_shared.contracts.profiles import CustomerErased
from crm_shared.customers import CustomerNotFound, absorbed_into, resolve, stop_writers
from crm_shared.ids import uuid7
from crm_shared.outbox import publish

SERVICES = ("profiles", "segmentation", "tickets", "loyalty")
"""Who must confirm before an erasure is complete."""


async def erase(session: AsyncSession, customer_id: UUID, *, by: str, at: datetime) -> UUID:
    """Forget the customer here and have all services do so; asking again gives the same erasure.

    Raises CustomerNotFound.
    """
    await stop_writers(session)
    current = (await resolve(session, [customer_id]))[customer_id]
    locked = select(Customer.version).where(Customer.id == current).with_for_update()
    version = await session.scalar(locked)
    if version is None:
        known = await session.scalar(select(Erasure.id).where(Erasure.customer_id == current))
        if known is None:
            raise CustomerNotFound(customer_id=str(customer_id))
        return known
    erasure_id = uuid7()
    absorbed = sorted({*await absorbed_into(session, current)} - {current})
    receipt = await erasure.erase(
        session,
        Base.metadata,
        current,
        absorbed=absorbed,
        erasure_id=erasure_id,
        at=at,
        lasting=[CustomerErased],
    )
    session.add(Erasure(id=erasure_id, customer_id=current, requested_at=at, requested_by=by))
    await session.flush()
    session.add(
        ErasureConfirmation(
            erasure_id=erasure_id,
            service="profiles",
            confirmed_at=at,
            removed=receipt.removed,
            kept=receipt.kept,
        )
    )
    erased = CustomerErased(
        customer_id=current, version=version + 1, erasure_id=erasure_id, absorbed=absorbed
    )
    publish(session, erased, at=at)
    return erasure_id


async def get(session: AsyncSession, erasure_id: UUID) -> Erasure:
    """The erasure with all confirmations so far; raises ErasureNotFound."""
    found = await session.get(Erasure, erasure_id, options=[selectinload(Erasure.confirmations)])
    if found is None:
        raise ErasureNotFound(erasure_id=str(erasure_id))
    return found


async def note(session: AsyncSession, confirmations: Sequence[ErasureConfirmed], *, at: datetime) -> None:
    """Put what services have confirmed on the receipts; a later confirmation replaces an earlier one."""
    rows = {
        (event.erasure_id, event.service_name): {
            "erasure_id": event.erasure_id,
            "service": event.service_name,
            "confirmed_at": at,
            "removed": event.removed,
            "kept": event.kept,
        }
        for event in confirmations
    }
    known = set(
        await session.scalars(
            select(Erasure.id).where(Erasure.id.in_({event.erasure_id for event in confirmations}))
        )
    )
    statement = insert(ErasureConfirmation)
    new = {name: statement.excluded[name] for name in ("confirmed_at", "removed", "kept")}
    if ours := [rows[key] for key in sorted(rows) if key[0] in known]:
        await session.execute(
            statement.on_conflict_do_update(index_elements=["erasure_id", "service"], set_=new), ours
        )
