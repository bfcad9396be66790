"""The customer's file: what whoever speaks with them should know, from profiles' own tables alone."""

from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import selectinload

from crm_profiles.activity import last_contacts
from crm_profiles.models.notes import Note, NoteKind
from crm_profiles.models.purchases import Refund
from crm_profiles.models.tickets import Ticket
from crm_profiles.schemas.customer_file import (
    ComplaintsOnFileOut,
    CustomerFileOut,
    NotesOnFileOut,
    RefundsOnFileOut,
    TicketOnFileOut,
)
from crm_profiles.schemas.notes import NoteOut
from crm_profiles.schemas.refunds import RefundOut

SHOWN = 20
"""Of each kind; the whole lists have pages."""

COMPLAINT = "complaint"
_SETTLED = ("resolved", "closed")


async def get(session: AsyncSession, customer_id: UUID) -> CustomerFileOut:
    """The file of a customer who is on file under this id."""
    return CustomerFileOut(
        customer_id=customer_id,
        last_contacted=await last_contacts.find(session, customer_id),
        complaints=await _complaints(session, customer_id),
        refunds=await _refunds(session, customer_id),
        needs=await _notes(session, customer_id, NoteKind.NEED),
        notes=await _notes(session, customer_id, NoteKind.RELATIONSHIP, NoteKind.GENERAL),
    )


async def _complaints(session: AsyncSession, customer_id: UUID) -> ComplaintsOnFileOut:
    theirs = Ticket.customer_id == customer_id, Ticket.kind == COMPLAINT
    unsettled = func.count().filter(Ticket.status.not_in(_SETTLED))
    counts = (await session.execute(select(func.count(), unsettled).where(*theirs))).one()
    newest = select(Ticket).where(*theirs).order_by(Ticket.opened_at.desc(), Ticket.id.desc()).limit(SHOWN)
    shown = [TicketOnFileOut.model_validate(ticket) for ticket in await session.scalars(newest)]
    return ComplaintsOnFileOut(count=counts[0], open=counts[1], newest=shown)


async def _refunds(session: AsyncSession, customer_id: UUID) -> RefundsOnFileOut:
    theirs = Refund.customer_id == customer_id
    newest = select(Refund).where(theirs).order_by(Refund.occurred_at.desc(), Refund.id.desc()).limit(SHOWN)
    shown = await session.scalars(newest.options(selectinload(Refund.lines)))
    count = await session.scalar(select(func.count()).select_from(Refund).where(theirs)) or 0
    return RefundsOnFileOut(count=count, newest=[RefundOut.of(refund) for refund in shown])


async def _notes(session: AsyncSession, customer_id: UUID, *kinds: NoteKind) -> NotesOnFileOut:
    theirs = Note.customer_id == customer_id, Note.kind.in_(kinds)
    first = select(Note).where(*theirs).order_by(Note.pinned.desc(), Note.id.desc()).limit(SHOWN)
    shown = [NoteOut.model_validate(note) for note in await session.scalars(first)]
    count = await session.scalar(select(func.count()).select_from(Note).where(*theirs)) or 0
    return NotesOnFileOut(count=count, first=shown)
