"""Notes over HTTP."""

from typing import Annotated
from uuid import UUID

from fastapi import Query, Response

from crm_profiles.activity import notes
from crm_profiles.activity.notes import NoteFilters
from crm_profiles.customers import documents
from crm_profiles.errors import NoteNotFound
from crm_profiles.models.notes import Note, NoteKind
from crm_profiles.schemas.notes import NoteIn, NoteOut, NotePatch
from crm_shared.callers import STAFF
from crm_shared.customers import CustomerNotFound
from crm_shared.etags import StaleVersion, etag
from crm_shared.fields import Day
from crm_shared.pages import InvalidCursor, Listing, Page
from crm_shared.web.problems import documented
from crm_shared.web.router import Router
from crm_shared.web.session import (
    CurrentCaller,
    CurrentClock,
    IfMatch,
    Paging,
    Session,
    allow,
)

router = Router(tags=["notes"])


@router.post(
    "/v1/customers/{customer_id}/notes",
    status_code=201,
    response_model=NoteOut,
    dependencies=[allow(*STAFF)],
    responses=documented(CustomerNotFound),
)
async def write_note(
    session: Session,
    clock: CurrentClock,
    caller: CurrentCaller,
    response: Response,
    customer_id: UUID,
    body: NoteIn,
) -> Note:
    """Write down a need or something else to be remembered of a customer."""
    note = await notes.create(session, customer_id, body, author=caller.subject, at=clock.now())
    response.headers["ETag"] = etag(note.version)
    response.headers["Location"] = f"/v1/customers/{note.customer_id}/notes/{note.id}"
    return note


@router.get(
    "/v1/customers/{customer_id}/notes",
    response_model=Page[NoteOut],
    dependencies=[allow(*STAFF)],
    responses=documented(CustomerNotFound, InvalidCursor),
)
async def list_notes(
    session: Session,
    page: Paging,
    customer_id: UUID,
    kind: Annotated[NoteKind | None, Query()] = None,
    pinned: Annotated[bool | None, Query()] = None,
    due_by: Annotated[Day | None, Query(description="due on this day or before it")] = None,
) -> Listing[Note]:
    """List the notes on a customer, the newest first; all filters that are given must hold."""
    current = await documents.current_id(session, customer_id)
    filters = NoteFilters(kind=kind, pinned=pinned, due_by=due_by)
    return await notes.list_(session, current, filters, page=page)


@router.get(
    "/v1/customers/{customer_id}/notes/{note_id}",
    response_model=NoteOut,
    dependencies=[allow(*STAFF)],
    responses=documented(NoteNotFound),
)
async def get_note(session: Session, response: Response, customer_id: UUID, note_id: UUID) -> Note:
    """Read a note."""
    note = await notes.get(session, customer_id, note_id)
    response.headers["ETag"] = etag(note.version)
    return note


@router.patch(
    "/v1/customers/{customer_id}/notes/{note_id}",
    response_model=NoteOut,
    dependencies=[allow(*STAFF)],
    responses=documented(NoteNotFound, StaleVersion),
)
async def change_note(
    session: Session,
    clock: CurrentClock,
    response: Response,
    customer_id: UUID,
    note_id: UUID,
    body: NotePatch,
    if_match: IfMatch = None,
) -> Note:
    """Change a note (RFC 7396): null clears, absent leaves."""
    note = await notes.patch(session, customer_id, note_id, body, if_match=if_match, at=clock.now())
    response.headers["ETag"] = etag(note.version)
    return note


@router.delete(
    "/v1/customers/{customer_id}/notes/{note_id}",
    response_model=NoteOut,
    dependencies=[allow(*STAFF)],
    responses=documented(NoteNotFound, StaleVersion),
)
async def remove_note(session: Session, customer_id: UUID, note_id: UUID, if_match: IfMatch = None) -> Note:
    """Throw a note away; the answer shows it for the last time."""
    return await notes.remove(session, customer_id, note_id, if_match=if_match)
