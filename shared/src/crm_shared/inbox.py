"""The inbox: which events have had their effect, written in the transaction of that effect."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import ARRAY, Text, Uuid, bindparam, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from crm_shared.contracts.base import Event
from crm_shared.database import SharedBase


class Inbox(SharedBase):
    """One event that this consumer has dealt with; kept longer than any possible redelivery."""

    __tablename__ = "inbox"

    consumer: Mapped[str] = mapped_column(primary_key=True)
    source: Mapped[str] = mapped_column(primary_key=True)
    event_id: Mapped[UUID] = mapped_column(primary_key=True)
    received_at: Mapped[datetime] = mapped_column(index=True)


_ARRIVED = select(
    bindparam("consumer", type_=Text),
    func.unnest(bindparam("sources", type_=ARRAY(Text))),
    func.unnest(bindparam("ids", type_=ARRAY(Uuid))),
    bindparam("at", type_=Inbox.received_at.type),
)
_CLAIM = (
    # The table and not the class: the ORM would take the arrays for its columns' values.
    insert(SharedBase.metadata.tables[Inbox.__tablename__])
    .from_select(["consumer", "source", "event_id", "received_at"], _ARRIVED)
    .on_conflict_do_nothing()
    .returning(Inbox.source, Inbox.event_id)
)


async def claim(
    session: AsyncSession, consumer: str, events: Sequence[Event], *, at: datetime
) -> list[Event]:
    """The events that are new to this consumer, in their order, each once however often it was delivered."""
    if not events:
        return []
    arrived = {(event.envelope.source, event.id): event for event in reversed(events)}
    # A fixed order keeps two consumers that got the same events from waiting for each other in a circle.
    keys = sorted(arrived)
    rows = await session.execute(
        _CLAIM, {"consumer": consumer, "sources": [k[0] for k in keys], "ids": [k[1] for k in keys], "at": at}
    )
    new = {(row.source, row.event_id) for row in rows}
    return [
        event
        for event in events
        if (event.envelope.source, event.id) in new and arrived[event.envelope.source, event.id] is event
    ]
