"""Holds over HTTP: reserve points, then capture or release them."""

from datetime import timedelta
from typing import Annotated
from uuid import UUID

from fastapi import Query, Request, Response

from crm_loyalty.errors import (
    AccountNotFound,
    HoldNotFound,
    HoldRanOut,
    HoldResolved,
    InsufficientPoints,
    OrderNotYours,
    ReferenceReused,
)
from crm_loyalty.ledger import holds
from crm_loyalty.models.ledger import HoldState
from crm_loyalty.postings import Capture, PlaceHold, Release
from crm_loyalty.routes import desk
from crm_loyalty.routes.accounts import Reference, order
from crm_loyalty.schemas.holds import AccountHoldOut, HoldIn, HoldOut
from crm_shared.callers import READERS, STAFF, Role
from crm_shared.customers import CustomerNotFound, CustomerWasErased
from crm_shared.pages import InvalidCursor, Listing, Page
from crm_shared.web.idempotency import requires_key
from crm_shared.web.problems import documented
from crm_shared.web.router import Router
from crm_shared.web.session import (
    CurrentCaller,
    CurrentClock,
    CurrentDesks,
    Paging,
    Session,
    allow,
)

router = Router(tags=["holds"])


@router.get(
    "/v1/accounts/{customer_id}/holds",
    response_model=Page[AccountHoldOut],
    dependencies=[allow(*READERS, Role.CUSTOMER, own="customer_id")],
    responses=documented(AccountNotFound, CustomerNotFound, InvalidCursor),
)
async def list_holds(
    session: Session,
    page: Paging,
    customer_id: UUID,
    state: Annotated[HoldState | None, Query(description="only those in this state")] = None,
) -> Listing[AccountHoldOut]:
    """List holds, newest first: the customer's, and those of others in a pool that reserve their points.

    The `own_points` of all open ones add up to what the account says is `held`.
    """
    return await holds.list_(session, customer_id, state=state, page=page)


@router.get(
    "/v1/accounts/{customer_id}/holds/{hold_id}",
    response_model=AccountHoldOut,
    dependencies=[allow(*READERS, Role.CUSTOMER, own="customer_id")],
    responses=documented(AccountNotFound, CustomerNotFound, HoldNotFound),
)
async def get_hold(session: Session, customer_id: UUID, hold_id: UUID) -> AccountHoldOut:
    """Read a hold that the customer placed, or that reserves the customer's points."""
    return await holds.get(session, customer_id, hold_id)


@router.post(
    "/v1/accounts/{customer_id}/holds",
    status_code=201,
    response_model=HoldOut,
    dependencies=[allow(*STAFF, Role.CUSTOMER, own="customer_id"), requires_key],
    responses=documented(
        AccountNotFound,
        CustomerNotFound,
        InsufficientPoints,
        ReferenceReused,
        CustomerWasErased,
        OrderNotYours,
    ),
)
async def place_hold(
    request: Request,
    desks: CurrentDesks,
    clock: CurrentClock,
    caller: CurrentCaller,
    reference: Reference,
    customer_id: UUID,
    body: HoldIn,
) -> Response:
    """Reserve points for a while, of all members of the customer's pool.

    What nobody captures in time is free again by itself.
    """
    at = clock.now()
    posting = PlaceHold(
        customer_id=customer_id,
        source=reference[0],
        reference=reference[1],
        effective_at=at,
        points=body.points,
        expires_at=at + timedelta(seconds=body.expires_in),
        purpose=body.reference,
        order=order(caller, body.order),
    )
    return await desk.answer(desks, request, posting)


@router.post(
    "/v1/accounts/{customer_id}/holds/{hold_id}/capture",
    response_model=HoldOut,
    dependencies=[allow(*STAFF), requires_key],
    responses=documented(AccountNotFound, HoldNotFound, HoldRanOut, HoldResolved, ReferenceReused),
)
async def capture_hold(
    request: Request,
    desks: CurrentDesks,
    clock: CurrentClock,
    reference: Reference,
    customer_id: UUID,
    hold_id: UUID,
) -> Response:
    """Spend what is held; refused once its time is over."""
    posting = Capture(
        customer_id=customer_id,
        source=reference[0],
        reference=reference[1],
        effective_at=clock.now(),
        hold_id=hold_id,
    )
    return await desk.answer(desks, request, posting)


@router.post(
    "/v1/accounts/{customer_id}/holds/{hold_id}/release",
    response_model=HoldOut,
    dependencies=[allow(*STAFF), requires_key],
    responses=documented(AccountNotFound, HoldNotFound, HoldRanOut, HoldResolved, ReferenceReused),
)
async def release_hold(
    request: Request,
    desks: CurrentDesks,
    clock: CurrentClock,
    reference: Reference,
    customer_id: UUID,
    hold_id: UUID,
) -> Response:
    """Give back what is held."""
    posting = Release(
        customer_id=customer_id,
        source=reference[0],
        reference=reference[1],
        effective_at=clock.now(),
        hold_id=hold_id,
    )
    return await desk.answer(desks, request, posting)
