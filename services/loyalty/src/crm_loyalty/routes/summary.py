"""What loyalty contributes to the view of a customer at a glance."""

from uuid import UUID

from fastapi import Response

from crm_loyalty import summary
from crm_loyalty.schemas.summary import LoyaltySummaryOut
from crm_shared.callers import READERS, Role
from crm_shared.customers import CustomerNotFound
from crm_shared.web.problems import documented
from crm_shared.web.router import Router
from crm_shared.web.session import CurrentClock, Session, allow

router = Router(tags=["accounts"])


@router.get(
    "/v1/customers/{customer_id}/summary/loyalty",
    response_model=LoyaltySummaryOut,
    dependencies=[allow(*READERS, Role.CUSTOMER, own="customer_id")],
    responses=documented(CustomerNotFound),
)
async def summarize_loyalty(session: Session, clock: CurrentClock, customer_id: UUID) -> Response:
    """Read points, what expires next and open holds; zeros for an id that nobody knows."""
    content = await summary.summarize(session, customer_id, at=clock.now())
    return Response(content, media_type="application/json")
