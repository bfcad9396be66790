"""The timeline: all that happened with a customer, in one table, whichever service it happened in."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import false, select
from sqlalchemy.ext.asyncio import AsyncSession

from crm_profiles.bulk import arrays, insert_new
from crm_profiles.customers.contact_points import Owner
from crm_profiles.models.timeline import FAMILY, EntryType, TimelineEntry
from crm_profiles.rules.lifecycle import Act
from crm_profiles.stages import stages
from crm_shared.database import Json
from crm_shared.pages import Key, Listing, PageRequest, paginate

ACTS: Mapping[EntryType, Act] = {
    EntryType.PURCHASE_RECORDED: Act.PURCHASED,
    EntryType.INTERACTION_RECORDED: Act.INTERACTED,
    EntryType.FORM_SUBMITTED: Act.INTERACTED,
    EntryType.TICKET_OPENED: Act.INTERACTED,
    EntryType.POINTS_SPENT: Act.INTERACTED,
    EntryType.CUSTOMER_LEFT: Act.LEFT,
}
"""The entries that tell of something the customer did: of interactions, those that came from them."""
_TELLING = {*ACTS, EntryType.PURCHASE_REFUNDED}
"""By which somebody may be in another stage: what was given back wholly counts as never bought."""

STAFF_WORDS: Mapping[str, frozenset[str]] = {
    EntryType.CUSTOMER_LEFT: frozenset({"note", "by"}),
    EntryType.MANAGER_ASSIGNED: frozenset({"reason", "by"}),
    EntryType.LEVEL_CHANGED: frozenset({"reason"}),
    EntryType.COMPLAINT_UPHELD: frozenset({"cause", "compensation"}),
    EntryType.COMPLAINT_REJECTED: frozenset({"cause"}),
}
"""What staff have written for each other, and why somebody matters so much: for nobody else to read."""


@dataclass(frozen=True)
class Entry:
    """What is to be told; `id` is that of the event, which is told once."""

    id: UUID
    owner: Owner
    type: EntryType
    occurred_at: datetime
    title: str
    data: Json


def without_staff_words(entry_type: str, data: Json) -> Json:
    """What an entry tells those who are not staff."""
    hidden = STAFF_WORDS.get(entry_type, frozenset())
    return {name: value for name, value in data.items() if name not in hidden}


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
    await stages.look_again(session, {entry.owner.id for entry in entries if entry.type in _TELLING}, at=at)


@dataclass(frozen=True)
class TimelineFilters:
    """Which entries are listed: all that is given must hold."""

    types: Collection[EntryType] = ()
    family: str | None = None
    since: datetime | None = None
    """From this instant on."""
    until: datetime | None = None
    """Before this instant."""

    @property
    def families(self) -> set[str]:
        """The families in which all entries must be that are asked for; none given: any."""
        named = {self.family} if self.family is not None else set()
        return named | {entry_type.family for entry_type in self.types}


async def list_(
    session: AsyncSession,
    customer_id: UUID,
    filters: TimelineFilters,
    *,
    page: PageRequest,
) -> Listing[TimelineEntry]:
    """The customer's entries that pass the filters, the newest first.

    One scan of an index: that of the family where all are of one, among whose entries types are looked for.
    """
    statement = select(TimelineEntry).where(TimelineEntry.customer_id == customer_id)
    families = filters.families
    if len(families) == 1:
        statement = statement.where(FAMILY.in_(families))
    elif filters.family is not None:
        statement = statement.where(false())  # nothing is of two families
    if filters.types:
        statement = statement.where(TimelineEntry.type.in_(filters.types))
    if filters.since is not None:
        statement = statement.where(TimelineEntry.occurred_at >= filters.since)
    if filters.until is not None:
        statement = statement.where(TimelineEntry.occurred_at < filters.until)
    return await paginate(
        session,
        statement,
        [Key(TimelineEntry.occurred_at, descending=True), Key(TimelineEntry.id, descending=True)],
        page=page,
        filters=[str(customer_id), sorted(filters.types), filters.family, filters.since, filters.until],
    )
