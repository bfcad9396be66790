"""Notes: needs and what else is to be remembered of a customer, linked to when somebody comes back to it."""

from dataclasses import asdict, dataclass
from datetime import date, datetime
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from crm_profiles.customers import owners
from crm_profiles.errors import NoteNotFound
from crm_profiles.models.notes import Note, NoteKind
from crm_profiles.schemas.notes import NoteIn, NotePatch
from crm_shared import etags
from crm_shared.customers import resolve_one
from crm_shared.ids import uuid7
from crm_shared.pages import Key, Listing, PageRequest, paginate


@dataclass(frozen=True)
class NoteFilters:
    """Which notes are listed: all that is given must hold."""

    kind: NoteKind | None = None
    pinned: bool | None = None
    due_by: date | None = None
    """Somebody should have come back to it on this day at the latest."""


async def create(
    session: AsyncSession, customer_id: UUID, body: NoteIn, *, author: str, at: datetime
) -> Note:
    """Raises CustomerNotFound."""
    owner = await owners.lock_one(session, customer_id)
    note = Note(
        **body.model_dump(),
        id=uuid7(),
        customer_id=owner.id,
        origin_customer_id=owner.origin,
        author=author,
        version=1,
        created_at=at,
        updated_at=at,
    )
    session.add(note)
    await session.flush()
    return note


async def get(session: AsyncSession, customer_id: UUID, note_id: UUID, *, lock: bool = False) -> Note:
    """A note of this customer; raises NoteNotFound."""
    current = await resolve_one(session, customer_id)
    statement = select(Note).where(Note.id == note_id, Note.customer_id == current)
    note = await session.scalar(statement.with_for_update() if lock else statement)
    if note is None:
        raise NoteNotFound(note_id=str(note_id))
    return note


async def patch(
    session: AsyncSession,
    customer_id: UUID,
    note_id: UUID,
    body: NotePatch,
    *,
    if_match: str | None,
    at: datetime,
) -> Note:
    """Apply a merge patch; nothing changed, no new version. Raises NoteNotFound, StaleVersion."""
    note = await get(session, customer_id, note_id, lock=True)
    etags.check(if_match, note.version)
    for name, value in body.model_dump(include=body.model_fields_set).items():
        setattr(note, name, value)
    if session.is_modified(note):
        note.version += 1
        note.updated_at = at
    return note


async def remove(session: AsyncSession, customer_id: UUID, note_id: UUID, *, if_match: str | None) -> Note:
    """The note as it was; raises NoteNotFound, StaleVersion."""
    note = await get(session, customer_id, note_id, lock=True)
    etags.check(if_match, note.version)
    await session.delete(note)
    return note


async def list_(
    session: AsyncSession,
    customer_id: UUID,
    filters: NoteFilters,
    *,
    page: PageRequest,
) -> Listing[Note]:
    """The customer's notes, the newest first."""
    statement = select(Note).where(Note.customer_id == customer_id)
    if filters.kind is not None:
        statement = statement.where(Note.kind == filters.kind)
    if filters.pinned is not None:
        statement = statement.where(Note.pinned == filters.pinned)
    if filters.due_by is not None:
        statement = statement.where(Note.due_on <= filters.due_by)
    return await paginate(
        session,
        statement,
        [Key(Note.id, descending=True)],
        page=page,
        filters=[str(customer_id), asdict(filters)],
    )
