"""Adjustments over HTTP: asked for by one person, decided by another."""

from typing import Annotated
from uuid import UUID

from fastapi import Query, Response

from crm_loyalty.errors import (
    AccountNotFound,
    AdjustmentDecided,
    AdjustmentNotFound,
    InsufficientPoints,
    OwnRequest,
)
from crm_loyalty.ledger import adjustments
from crm_loyalty.models.adjustments import Adjustment, AdjustmentState
from crm_loyalty.schemas.adjustments import AdjustmentDecisionIn, AdjustmentIn, AdjustmentOut
from crm_shared.callers import READERS, STAFF, SUPERVISORS
from crm_shared.customers import CustomerWasErased
from crm_shared.etags import etag
from crm_shared.pages import InvalidCursor, Listing, Page
from crm_shared.web.idempotency import requires_key
from crm_shared.web.problems import documented
from crm_shared.web.router import Router
from crm_shared.web.session import (
    CurrentCaller,
    CurrentClock,
    Paging,
    Session,
    allow,
)

router = Router(tags=["adjustments"])


@router.post(
    "/v1/adjustments",
    status_code=201,
    response_model=AdjustmentOut,
    dependencies=[allow(*STAFF), requires_key],
    responses=documented(AccountNotFound, InsufficientPoints, CustomerWasErased),
)
async def request_adjustment(
    session: Session, clock: CurrentClock, caller: CurrentCaller, body: AdjustmentIn
) -> Adjustment:
    """Ask to put points right: done at once where the caller may alone, else when somebody else agrees.

    A manager may alone up to `approval_above` of the points policy; everybody else asks.
    """
    return await adjustments.request(session, body, caller, at=clock.now())


@router.get(
    "/v1/adjustments",
    response_model=Page[AdjustmentOut],
    dependencies=[allow(*READERS)],
    responses=documented(InvalidCursor),
)
async def list_adjustments(
    session: Session,
    page: Paging,
    state: Annotated[AdjustmentState | None, Query(description="only those in this state")] = None,
) -> Listing[Adjustment]:
    """List what was asked for, the newest first."""
    return await adjustments.list_(session, state=state, page=page)


@router.get(
    "/v1/adjustments/{adjustment_id}",
    response_model=AdjustmentOut,
    dependencies=[allow(*READERS)],
    responses=documented(AdjustmentNotFound),
)
async def get_adjustment(session: Session, response: Response, adjustment_id: UUID) -> Adjustment:
    """Read an adjustment, and who let it happen."""
    adjustment = await adjustments.get(session, adjustment_id)
    response.headers["ETag"] = etag(adjustment.version)
    return adjustment


@router.post(
    "/v1/adjustments/{adjustment_id}/approve",
    response_model=AdjustmentOut,
    dependencies=[allow(*SUPERVISORS), requires_key],
    responses=documented(
        AdjustmentNotFound, AdjustmentDecided, OwnRequest, InsufficientPoints, CustomerWasErased
    ),
)
async def approve_adjustment(
    session: Session,
    clock: CurrentClock,
    caller: CurrentCaller,
    adjustment_id: UUID,
    body: AdjustmentDecisionIn,
) -> Adjustment:
    """Let it happen; never by who asked for it."""
    return await adjustments.approve(session, adjustment_id, body.note, caller, at=clock.now())


@router.post(
    "/v1/adjustments/{adjustment_id}/reject",
    response_model=AdjustmentOut,
    dependencies=[allow(*SUPERVISORS), requires_key],
    responses=documented(AdjustmentNotFound, AdjustmentDecided, OwnRequest),
)
async def reject_adjustment(
    session: Session,
    clock: CurrentClock,
    caller: CurrentCaller,
    adjustment_id: UUID,
    body: AdjustmentDecisionIn,
) -> Adjustment:
    """Refuse it; never by who asked for it."""
    return await adjustments.reject(session, adjustment_id, body.note, caller, at=clock.now())
