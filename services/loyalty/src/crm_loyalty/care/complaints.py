"""Severe complaints: a copy of what tickets tells, and the occasions that wait for their end."""

from collections.abc import Collection, Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import literal, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from crm_loyalty.models.care import CareOccasion, OccasionState, SevereComplaint
from crm_shared.contracts.tickets import TicketState
from crm_shared.customers import resolve
from crm_shared.due import scheduling

OCCASION = "care"
"""The kind of due work by which occasions happen."""

_SEVERE = {"high", "critical"}
_OPEN = {"open", "responded"}
_TABLE = SevereComplaint.metadata.tables[SevereComplaint.__tablename__]


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
    await session.execute(
        scheduling(
            literal(OCCASION),
            CareOccasion.__table__.c.id,
            literal(at),
            CareOccasion.customer_id.in_(set(owners.values())),
            CareOccasion.state == OccasionState.HELD,
        )
    )


async def complaining(session: AsyncSession, owners: Collection[UUID]) -> set[UUID]:
    """Which of them have an open severe complaint."""
    return set(
        await session.scalars(
            select(SevereComplaint.customer_id).where(
                SevereComplaint.customer_id.in_(owners), SevereComplaint.open
            )
        )
    )
