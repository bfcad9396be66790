"""Tickets over HTTP."""

from collections.abc import Collection
from uuid import UUID

from fastapi import Response

from crm_shared import customers
from crm_shared.callers import READERS, STAFF, Caller, Role
from crm_shared.customers import CustomerNotFound, CustomerWasErased
from crm_shared.etags import StaleVersion, etag
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
from crm_tickets import tickets
from crm_tickets.errors import (
    ComplaintAlreadyJudged,
    TicketAlreadyResolved,
    TicketClosed,
    TicketIsNoComplaint,
    TicketNotFound,
    TicketNotResolved,
    TicketNotResponded,
)
from crm_tickets.flow import Status
from crm_tickets.models import Ticket, TicketEvent
from crm_tickets.schemas import ResolveIn, RespondIn, StepOut, TicketIn, TicketOut, VerdictIn

router = Router(tags=["tickets"])


@router.post(
    "/v1/tickets",
    status_code=201,
    response_model=TicketOut,
    dependencies=[allow(*STAFF, Role.CUSTOMER)],
    responses=documented(CustomerNotFound, CustomerWasErased),
)
async def open_ticket(
    session: Session, clock: CurrentClock, caller: CurrentCaller, response: Response, body: TicketIn
) -> TicketOut:
    """Take up what a customer came with, who need not be known here yet. Customers open their own."""
    await _refuse_others(session, caller, STAFF, body.customer_id)
    ticket = await tickets.open_(session, body, at=clock.now())
    response.headers["Location"] = f"/v1/tickets/{ticket.id}"
    return _shown(ticket, caller, response)


@router.get(
    "/v1/tickets",
    response_model=Page[TicketOut],
    dependencies=[allow(*READERS, Role.CUSTOMER)],
    responses=documented(InvalidCursor, CustomerNotFound),
)
async def list_tickets(
    session: Session,
    caller: CurrentCaller,
    page: Paging,
    customer_id: UUID | None = None,
    status: Status | None = None,
) -> Listing[TicketOut]:
    """List tickets, the newest first. Customers see their own."""
    asked = customer_id or _self(caller, READERS)
    if asked is not None:
        await _refuse_others(session, caller, READERS, asked)
        asked = await customers.resolve_one(session, asked)
    found = await tickets.list_(session, customer_id=asked, status=status, page=page)
    return shown(found, caller)


@router.get(
    "/v1/tickets/{ticket_id}",
    response_model=TicketOut,
    dependencies=[allow(*READERS, Role.CUSTOMER)],
    responses=documented(TicketNotFound),
)
async def get_ticket(
    session: Session, caller: CurrentCaller, response: Response, ticket_id: UUID
) -> TicketOut:
    """Read a ticket. To a customer, another customer's is not there."""
    ticket = await tickets.get(session, ticket_id)
    if not await _is_free_to(session, caller, READERS, ticket.customer_id):
        raise TicketNotFound(ticket_id=str(ticket_id))
    return _shown(ticket, caller, response)


@router.get(
    "/v1/tickets/{ticket_id}/steps",
    response_model=Page[StepOut],
    dependencies=[allow(*READERS)],
    responses=documented(TicketNotFound, InvalidCursor),
)
async def list_ticket_steps(
    session: Session,
    page: Paging,
    ticket_id: UUID,
) -> Listing[TicketEvent]:
    """List what was done with a ticket, in its order, with what was answered."""
    return await tickets.list_steps(session, ticket_id, page=page)


@router.post(
    "/v1/tickets/{ticket_id}/judge",
    response_model=TicketOut,
    dependencies=[allow(*STAFF)],
    responses=documented(
        TicketNotFound, TicketIsNoComplaint, ComplaintAlreadyJudged, TicketClosed, StaleVersion
    ),
)
async def judge_complaint(
    session: Session,
    clock: CurrentClock,
    caller: CurrentCaller,
    response: Response,
    ticket_id: UUID,
    body: VerdictIn,
    if_match: IfMatch = None,
) -> TicketOut:
    """Uphold or reject a complaint that was investigated, once and before it is closed.

    A complaint that is upheld proposes a compensation, which somebody else grants.
    """
    ticket = await tickets.judge(session, ticket_id, body, if_match=if_match, at=clock.now())
    return _shown(ticket, caller, response)


@router.post(
    "/v1/tickets/{ticket_id}/respond",
    response_model=TicketOut,
    dependencies=[allow(*STAFF)],
    responses=documented(TicketNotFound, TicketAlreadyResolved, TicketClosed, StaleVersion),
)
async def respond_to_ticket(
    session: Session,
    clock: CurrentClock,
    caller: CurrentCaller,
    response: Response,
    ticket_id: UUID,
    body: RespondIn,
    if_match: IfMatch = None,
) -> TicketOut:
    """Answer the customer; more than one answer may be needed."""
    ticket = await tickets.respond(session, ticket_id, body.message, if_match=if_match, at=clock.now())
    return _shown(ticket, caller, response)


@router.post(
    "/v1/tickets/{ticket_id}/resolve",
    response_model=TicketOut,
    dependencies=[allow(*STAFF)],
    responses=documented(
        TicketNotFound, TicketNotResponded, TicketAlreadyResolved, TicketClosed, StaleVersion
    ),
)
async def resolve_ticket(
    session: Session,
    clock: CurrentClock,
    caller: CurrentCaller,
    response: Response,
    ticket_id: UUID,
    body: ResolveIn,
    if_match: IfMatch = None,
) -> TicketOut:
    """Settle the matter, once the customer has been answered."""
    ticket = await tickets.resolve(session, ticket_id, body.resolution, if_match=if_match, at=clock.now())
    return _shown(ticket, caller, response)


@router.post(
    "/v1/tickets/{ticket_id}/close",
    response_model=TicketOut,
    dependencies=[allow(*STAFF)],
    responses=documented(TicketNotFound, TicketNotResolved, TicketClosed, StaleVersion),
)
async def close_ticket(
    session: Session,
    clock: CurrentClock,
    caller: CurrentCaller,
    response: Response,
    ticket_id: UUID,
    if_match: IfMatch = None,
) -> TicketOut:
    """Put a settled ticket away for good."""
    ticket = await tickets.close(session, ticket_id, if_match=if_match, at=clock.now())
    return _shown(ticket, caller, response)


def shown(found: Listing[Ticket], caller: Caller) -> Listing[TicketOut]:
    """The page as this caller may see it."""
    return found.map(lambda ticket: TicketOut.of(ticket, caller))


def _shown(ticket: Ticket, caller: Caller, response: Response) -> TicketOut:
    response.headers["ETag"] = etag(ticket.version)
    return TicketOut.of(ticket, caller)


def _self(caller: Caller, others: Collection[Role]) -> UUID | None:
    """Which customer is calling; None: one of the others who may do this for anybody."""
    if caller.has(others):
        return None
    if caller.customer_id is None:
        raise CustomerNotFound("The token names no customer.")
    return caller.customer_id


async def _is_free_to(session: Session, caller: Caller, others: Collection[Role], customer_id: UUID) -> bool:
    """Whether the customer is the caller, or the caller is one of the others."""
    own = _self(caller, others)
    if own is None or own == customer_id:
        return True
    survivors = await customers.resolve(session, [own, customer_id])
    return survivors[own] == survivors[customer_id]


async def _refuse_others(
    session: Session, caller: Caller, others: Collection[Role], customer_id: UUID
) -> None:
    """To a customer, there is nobody else."""
    if not await _is_free_to(session, caller, others, customer_id):
        raise CustomerNotFound(customer_id=str(customer_id))
