"""The timeline: all that happened with a customer, in one table, whichever service it happened in."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from crm_profiles.bulk import arrays, insert_new
from crm_profiles.contact_points import Owner
from crm_profiles.models.timeline import EntryType, TimelineEntry
from crm_shared.database import Json
from crm_shared.pages import Cursors, Key, Listing, paginate


@dataclass(frozen=True)
class Entry:
    """What is to be told; `id` is that of the event, which is told once."""

    id: UUID
    owner: Owner
    type: EntryType
    occurred_at: datetime
    title: str
    data: Json


_COLUMNS = tuple(column.name for column in TimelineEntry.__table__.c)
_INSERT = insert_new(TimelineEntry, *_COLUMNS)


async def record(session: AsyncSession, entries: Sequence[Entry], *, at: datetime) -> None:
    """Add them to their customers' timelines; those that are there already stay as they are."""
    if not entries:
        return
    rows = [
        {
            "id": entry.id,
            "customer_id": entry.owner.id,
            "origin_customer_id": entry.owner.origin,
            "type": entry.type,
            "occurred_at": entry.occurred_at,
            "recorded_at": at,
            "title": entry.title,
            "data": entry.data,
        }
        for entry in sorted(entries, key=lambda entry: entry.id)
    ]
    await session.execute(_INSERT, arrays(rows, *_COLUMNS))


async def list_(
    session: AsyncSession,
    customer_id: UUID,
    types: Collection[EntryType],
    *,
    cursors: Cursors,
    cursor: str | None,
    limit: int,
) -> Listing[TimelineEntry]:
    """The customer's entries, or those of some types, the newest first."""
    statement = select(TimelineEntry).where(TimelineEntry.customer_id == customer_id)
    if types:
        statement = statement.where(TimelineEntry.type.in_(types))
    return await paginate(
        session,
        statement,
        [Key(TimelineEntry.occurred_at, descending=True), Key(TimelineEntry.id, descending=True)],
        cursors=cursors,
        cursor=cursor,
        limit=limit,
        filters=[str(customer_id), sorted(types)],
    )
