"""One customer's value over HTTP."""

from uuid import UUID

from fastapi import Response

from crm_segmentation import rfm
from crm_segmentation.schemas import RfmOut, SegmentationSummaryOut
from crm_shared.callers import READERS, Role
from crm_shared.customers import CustomerNotFound
from crm_shared.web.problems import documented
from crm_shared.web.router import Router
from crm_shared.web.session import CurrentClock, Session, allow

router = Router(tags=["value"])


@router.get(
    "/v1/rfm/{customer_id}",
    response_model=RfmOut,
    dependencies=[allow(*READERS, Role.CUSTOMER, own="customer_id")],
    responses=documented(CustomerNotFound),
)
async def get_rfm(session: Session, clock: CurrentClock, customer_id: UUID) -> RfmOut:
    """Read a customer's recency, frequency, monetary value and level; an unknown id has none of them."""
    return await rfm.get(session, customer_id, at=clock.now())


@router.get(
    "/v1/customers/{customer_id}/summary/segmentation",
    response_model=SegmentationSummaryOut,
    dependencies=[allow(*READERS, Role.CUSTOMER, own="customer_id")],
    responses=documented(CustomerNotFound),
)
async def summarize_segmentation(session: Session, clock: CurrentClock, customer_id: UUID) -> Response:
    """Read what segmentation contributes to the view of a customer at a glance."""
    content = await rfm.summarize(session, customer_id, at=clock.now())
    return Response(content, media_type="application/json")
