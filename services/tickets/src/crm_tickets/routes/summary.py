"""What tickets contributes to the view of a customer at a glance."""

from uuid import UUID

from fastapi import Response

from crm_shared.callers import READERS, Role
from crm_shared.customers import CustomerNotFound
from crm_shared.web.problems import documented
from crm_shared.web.router import Router
from crm_shared.web.session import Session, allow
from crm_tickets import summary
from crm_tickets.schemas import TicketsSummaryOut

router = Router(tags=["tickets"])


@router.get(
    "/v1/customers/{customer_id}/summary/tickets",
    response_model=TicketsSummaryOut,
    dependencies=[allow(*READERS, Role.CUSTOMER, own="customer_id")],
    responses=documented(CustomerNotFound),
)
async def summarize_tickets(session: Session, customer_id: UUID) -> Response:
    """Read a customer's open tickets, the most urgent first, and how many there are of each status."""
    return Response(await summary.summarize(session, customer_id), media_type="application/json")
