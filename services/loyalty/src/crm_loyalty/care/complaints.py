"""Severe complaints: a copy of what tickets tells, and the occasions that wait for their end."""

from collections.abc import Collection, Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from crm_loyalty.care.occasions import OCCASION
from crm_loyalty.models.care import CareOccasion, OccasionState, SevereComplaint
from crm_shared import due
from crm_shared.contracts.tickets import TicketState
from crm_shared.customers import resolve

_SEVERE = {"high", "critical"}
_OPEN = {"open", "responded"}
_TABLE = SevereComplaint.metadata.tables[SevereComplaint.__tablename__]


async def lock(session: AsyncSession, events: Sequence[TicketState]) -> None:
    """Take from the workers what care still has to do for who complained: before anything else is locked.

    A worker has it before it locks accounts. By the time it lets go it may have held back what the end of
    the complaint sets free, so what is kept now must come after that.
    """
    who = {event.customer_id for event in events if event.kind == "complaint"}
    if not who:
        return
    owners = await resolve(session, who)
    await due.lock(
        session,
        OCCASION,
        select(CareOccasion.id).where(
            CareOccasion.customer_id.in_(set(owners.values())),
            CareOccasion.state.in_([OccasionState.PLANNED, OccasionState.HELD]),
        ),
    )


async def keep(session: AsyncSession, events: Sequence[TicketState], *, at: datetime) -> None:
    """Keep which severe complaints are open; what waited for the end of one is looked at again at once."""
    newest = {event.ticket_id: event for event in sorted(events, key=lambda event: event.version)}
    complaints = [event for event in newest.values() if event.kind == "complaint"]
    if not complaints:
        return
    owners = await resolve(session, {event.customer_id for event in complaints}, lock=True)
    statement = insert(_TABLE).values(
        [
            {
                "ticket_id": event.ticket_id,
                "customer_id": owners[event.customer_id],
                "origin_customer_id": event.customer_id,
                "version": event.version,
                "open": event.severity in _SEVERE and event.status in _OPEN,
            }
            for event in sorted(complaints, key=lambda event: event.ticket_id)
        ]
    )
    await session.execute(
        statement.on_conflict_do_update(
            index_elements=["ticket_id"],
            set_={"version": statement.excluded.version, "open": statement.excluded.open},
            where=_TABLE.c.version < statement.excluded.version,
        )
    )
    held = await session.scalars(
        select(CareOccasion.id).where(
            CareOccasion.customer_id.in_(set(owners.values())), CareOccasion.state == OccasionState.HELD
        )
    )
    # We may hold accounts: what was planned since `lock`, and a worker has, looks again by itself.
    await due.reschedule(session, OCCASION, dict.fromkeys(held, at))


async def complaining(session: AsyncSession, owners: Collection[UUID]) -> set[UUID]:
    """Which of them have an open severe complaint."""
    return set(
        await session.scalars(
            select(SevereComplaint.customer_id).where(
                SevereComplaint.customer_id.in_(owners), SevereComplaint.open
            )
        )
    )
