"""Tickets: opened, judged if they complain, responded to, resolved, closed; each step is kept, and told."""

from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import joinedload
from sqlalchemy.orm.attributes import set_committed_value

from crm_shared import customers, etags
from crm_shared.contracts import tickets as contracts
from crm_shared.contracts.segmentation import Level
from crm_shared.database import Json
from crm_shared.outbox import publish
from crm_shared.pages import Key, Listing, PageRequest, paginate
from crm_tickets import flow
from crm_tickets.errors import TicketNotFound
from crm_tickets.flow import Status, Step, Verdict
from crm_tickets.models import Customer, Ticket, TicketEvent, TicketKind
from crm_tickets.queue import LEVEL_RANKS, SEVERITY_RANKS, UNKNOWN_LEVEL
from crm_tickets.schemas import TicketIn, VerdictIn

# The customer may be unknown so far. The row is locked either way: a level that changes meanwhile waits, and
# then finds the ticket.
_PLACE = text(
    """
    WITH customer AS (
        INSERT INTO customers (customer_id, profile_version, level_version) VALUES (:customer_id, 0, 0)
        ON CONFLICT (customer_id) DO UPDATE SET customer_id = excluded.customer_id
        RETURNING name, level
    )
    SELECT customer.name, customer.level,
           target.policy_version, target.respond_minutes, target.resolve_minutes,
           EXISTS (SELECT FROM erased_customers WHERE customer_id IN (:customer_id, :asked_id)) AS erased
    FROM customer, LATERAL (
        SELECT policy_version, respond_minutes, resolve_minutes FROM service_targets
        WHERE kind = :kind AND severity = :severity AND level = coalesce(customer.level, :unknown_level)
        ORDER BY policy_version DESC LIMIT 1
    ) AS target
    """
)


async def open_(session: AsyncSession, body: TicketIn, *, at: datetime) -> Ticket:
    """Take up the customer's matter and give it its place in the queue; raises CustomerWasErased."""
    owner = await customers.resolve_one(session, body.customer_id, lock=True)
    parameters = {
        "customer_id": owner,
        "asked_id": body.customer_id,
        "kind": body.kind,
        "severity": body.severity,
        "unknown_level": UNKNOWN_LEVEL,
    }
    place = (await session.execute(_PLACE, parameters)).one()
    if place.erased:
        raise customers.CustomerWasErased(customer_id=str(body.customer_id))
    level = Level(place.level) if place.level else None
    respond_due_at = at + timedelta(minutes=place.respond_minutes)
    ticket = Ticket(
        **body.model_dump(exclude={"customer_id"}),
        customer_id=owner,
        origin_customer_id=body.customer_id,
        status=Status.OPEN,
        level=level,
        level_rank=LEVEL_RANKS[level or UNKNOWN_LEVEL],
        severity_rank=SEVERITY_RANKS[body.severity],
        policy_version=place.policy_version,
        respond_due_at=respond_due_at,
        resolve_due_at=at + timedelta(minutes=place.resolve_minutes),
        due_at=respond_due_at,
        opened_at=at,
        version=1,
    )
    session.add(ticket)
    await session.flush()
    set_committed_value(ticket, "customer", Customer(customer_id=owner, name=place.name))
    _keep_step(session, ticket, Step.OPEN, {}, at)
    publish(session, contracts.TicketOpened.model_validate(_state(ticket)), at=at)
    return ticket


async def get(session: AsyncSession, ticket_id: UUID, *, lock: bool = False) -> Ticket:
    statement = select(Ticket).where(Ticket.id == ticket_id).options(joinedload(Ticket.customer))
    if lock:
        statement = statement.with_for_update(of=Ticket)
    ticket = await session.scalar(statement)
    if ticket is None:
        raise TicketNotFound(ticket_id=str(ticket_id))
    return ticket


async def list_(
    session: AsyncSession,
    *,
    customer_id: UUID | None,
    status: Status | None,
    page: PageRequest,
) -> Listing[Ticket]:
    """Tickets, the newest first."""
    statement = select(Ticket).options(joinedload(Ticket.customer))
    if customer_id is not None:
        statement = statement.where(Ticket.customer_id == customer_id)
    if status is not None:
        statement = statement.where(Ticket.status == status)
    return await paginate(
        session,
        statement,
        [Key(Ticket.id, descending=True)],
        page=page,
        filters=[customer_id, status],
    )


async def list_steps(session: AsyncSession, ticket_id: UUID, *, page: PageRequest) -> Listing[TicketEvent]:
    """What was done with the ticket, in its order; raises TicketNotFound."""
    await get(session, ticket_id)
    return await paginate(
        session,
        select(TicketEvent).where(TicketEvent.ticket_id == ticket_id),
        [Key(TicketEvent.version)],
        page=page,
        filters=ticket_id,
    )


async def judge(
    session: AsyncSession, ticket_id: UUID, body: VerdictIn, *, if_match: str | None, at: datetime
) -> Ticket:
    """End the investigation of a complaint.

    Raises TicketIsNoComplaint, ComplaintAlreadyJudged, TicketClosed.
    """
    found = body.model_dump(mode="json", exclude_none=True)
    ticket = await _take(session, ticket_id, Step.JUDGE, found, if_match, at)
    ticket.verdict, ticket.cause, ticket.compensation = body.verdict, body.cause, body.compensation
    ticket.judged_at, ticket.judged_by = at, session.info.get("actor")
    state = _state(ticket) | found
    if ticket.verdict is Verdict.UPHELD:
        publish(session, contracts.ComplaintUpheld.model_validate(state), at=at)
    else:
        publish(session, contracts.ComplaintRejected.model_validate(state), at=at)
    return ticket


async def respond(
    session: AsyncSession, ticket_id: UUID, message: str, *, if_match: str | None, at: datetime
) -> Ticket:
    """Answer the customer, once or more often; raises TicketAlreadyResolved, TicketClosed."""
    ticket = await _take(session, ticket_id, Step.RESPOND, {"message": message}, if_match, at)
    ticket.responded_at = ticket.responded_at or at
    ticket.due_at = ticket.resolve_due_at
    publish(session, contracts.TicketResponded.model_validate(_state(ticket)), at=at)
    return ticket


async def resolve(
    session: AsyncSession, ticket_id: UUID, resolution: str, *, if_match: str | None, at: datetime
) -> Ticket:
    """Settle the matter; raises TicketNotResponded, TicketAlreadyResolved, TicketClosed."""
    ticket = await _take(session, ticket_id, Step.RESOLVE, {"resolution": resolution}, if_match, at)
    ticket.resolved_at, ticket.due_at = at, None
    state = _state(ticket) | {"resolution": resolution}
    publish(session, contracts.TicketResolved.model_validate(state), at=at)
    return ticket


async def close(session: AsyncSession, ticket_id: UUID, *, if_match: str | None, at: datetime) -> Ticket:
    """Put the ticket away for good; raises TicketNotResolved, TicketClosed."""
    ticket = await _take(session, ticket_id, Step.CLOSE, {}, if_match, at)
    ticket.closed_at = at
    publish(session, contracts.TicketClosed.model_validate(_state(ticket)), at=at)
    return ticket


async def _take(
    session: AsyncSession, ticket_id: UUID, step: Step, artefact: Json, if_match: str | None, at: datetime
) -> Ticket:
    """Take the step, under the ticket's lock, and keep it."""
    ticket = await get(session, ticket_id, lock=True)
    etags.check(if_match, ticket.version)
    ticket.status = flow.after(
        ticket.status, step, complaint=ticket.kind is TicketKind.COMPLAINT, verdict=ticket.verdict
    )
    ticket.version += 1
    _keep_step(session, ticket, step, artefact, at)
    return ticket


def _keep_step(session: AsyncSession, ticket: Ticket, step: Step, artefact: Json, at: datetime) -> None:
    session.add(
        TicketEvent(
            ticket_id=ticket.id,
            version=ticket.version,
            step=step,
            at=at,
            actor=session.info.get("actor"),
            artefact=artefact,
        )
    )


def _state(ticket: Ticket) -> Json:
    """The ticket after the change, as its events tell it: of the id it was opened under."""
    return {
        "customer_id": ticket.origin_customer_id,
        "version": ticket.version,
        "ticket_id": ticket.id,
        "number": ticket.number,
        "kind": ticket.kind,
        "severity": ticket.severity,
        "channel": ticket.channel,
        "status": ticket.status,
        "title": ticket.title,
        "level": ticket.level,
        "verdict": ticket.verdict,
        "opened_at": ticket.opened_at,
        "due_at": ticket.due_at,
    }
