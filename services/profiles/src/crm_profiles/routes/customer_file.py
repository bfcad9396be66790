"""The customer's file over HTTP."""

from typing import Annotated
from uuid import UUID

from fastapi import Query

from crm_profiles.activity import customer_file, tickets
from crm_profiles.customers import documents
from crm_profiles.models.tickets import Ticket
from crm_profiles.schemas.customer_file import CustomerFileOut, TicketOnFileOut
from crm_shared.callers import STAFF
from crm_shared.customers import CustomerNotFound
from crm_shared.pages import InvalidCursor, Listing, Page
from crm_shared.web.problems import documented
from crm_shared.web.router import Router
from crm_shared.web.session import Paging, Session, allow

router = Router(tags=["file"])


@router.get(
    "/v1/customers/{customer_id}/file",
    response_model=CustomerFileOut,
    dependencies=[allow(*STAFF)],
    responses=documented(CustomerNotFound),
)
async def get_customer_file(session: Session, customer_id: UUID) -> CustomerFileOut:
    """Read a customer's complaints, refunds, needs, notes and last contact.

    It is answered from the archive alone, whichever other service is away; the whole lists are at
    `/file/tickets`, `/refunds`, `/notes` and `/interactions`.
    """
    return await customer_file.get(session, await documents.current_id(session, customer_id))


@router.get(
    "/v1/customers/{customer_id}/file/tickets",
    response_model=Page[TicketOnFileOut],
    dependencies=[allow(*STAFF)],
    responses=documented(CustomerNotFound, InvalidCursor),
)
async def list_tickets_on_file(
    session: Session,
    page: Paging,
    customer_id: UUID,
    kind: Annotated[str | None, Query(max_length=50, description="enquiry, complaint, …")] = None,
) -> Listing[Ticket]:
    """List a customer's tickets as they were last told of, the newest first."""
    current = await documents.current_id(session, customer_id)
    return await tickets.list_(session, current, kind, page=page)
