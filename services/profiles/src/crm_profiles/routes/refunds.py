"""Refunds over HTTP."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import Path, Response
from sqlalchemy.ext.asyncio import AsyncSession

from crm_profiles.activity import refunds
from crm_profiles.customers import documents
from crm_profiles.errors import (
    NothingLeftToRefund,
    PurchaseNotFound,
    RefundDiffers,
    RefundExceedsPurchase,
    TooManyRefunds,
)
from crm_profiles.fields import Reference, Source
from crm_profiles.schemas.refunds import RefundIn, RefundOut
from crm_shared.callers import READERS, STAFF, Role
from crm_shared.customers import CustomerNotFound, CustomerWasErased
from crm_shared.pages import InvalidCursor, Listing, Page
from crm_shared.web.problems import documented
from crm_shared.web.router import Router
from crm_shared.web.session import CurrentClock, Paging, Session, allow

router = Router(tags=["purchases"])

_RESPONSES = {
    200: {"model": RefundOut, "description": "It was on file already"},
    **documented(
        PurchaseNotFound,
        CustomerWasErased,
        RefundDiffers,
        RefundExceedsPurchase,
        NothingLeftToRefund,
        TooManyRefunds,
    ),
}


@router.post(
    "/v1/purchases/{purchase_id}/refunds",
    status_code=201,
    response_model=RefundOut,
    dependencies=[allow(*STAFF)],
    responses=_RESPONSES,
)
async def refund_purchase(
    session: Session, clock: CurrentClock, response: Response, purchase_id: UUID, body: RefundIn
) -> RefundOut:
    """Give back some lines of a purchase, or all that is left; telling of it again changes nothing.

    Of no line more comes back than was bought and is still left, in pieces and in money. A refund is known
    by its `source` and `external_id`.
    """
    return await _record(session, response, purchase_id, body, clock.now())


@router.post(
    "/v1/purchases/by-external-id/{source}/{external_id}/refunds",
    status_code=201,
    response_model=RefundOut,
    dependencies=[allow(*STAFF)],
    responses=_RESPONSES,
)
async def refund_purchase_by_external_id(
    session: Session,
    clock: CurrentClock,
    response: Response,
    source: Annotated[Source, Path()],
    external_id: Annotated[Reference, Path()],
    body: RefundIn,
) -> RefundOut:
    """Give back of a purchase that is named as the shop names it."""
    purchase_id = await refunds.find_purchase(session, source, external_id)
    return await _record(session, response, purchase_id, body, clock.now())


@router.get(
    "/v1/customers/{customer_id}/refunds",
    response_model=Page[RefundOut],
    dependencies=[allow(*READERS, Role.CUSTOMER, own="customer_id")],
    responses=documented(CustomerNotFound, InvalidCursor),
)
async def list_refunds(
    session: Session,
    page: Paging,
    customer_id: UUID,
) -> Listing[RefundOut]:
    """List what was given back to a customer, the newest first."""
    current = await documents.current_id(session, customer_id)
    found = await refunds.list_(session, current, page=page)
    return found.map(RefundOut.of)


async def _record(
    session: AsyncSession, response: Response, purchase_id: UUID, body: RefundIn, at: datetime
) -> RefundOut:
    outcome = await refunds.record(session, purchase_id, body, at=at)
    response.headers["Location"] = f"/v1/purchases/{purchase_id}"
    response.status_code = 201 if outcome.created else 200
    return RefundOut.of(outcome.refund)
