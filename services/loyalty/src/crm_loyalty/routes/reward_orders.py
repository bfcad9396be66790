"""Orders of rewards over HTTP: placed by or for customers, fulfilled by the staff."""

from typing import Annotated
from uuid import UUID

from fastapi import Query, Response

from crm_loyalty.errors import (
    AccountNotFound,
    CouponSuspended,
    InsufficientPoints,
    IssueLimitReached,
    LimitReached,
    NoLongerValid,
    NotForThisTier,
    NotYetValid,
    OrderStateConflict,
    OutOfStock,
    ReferenceReused,
    RewardNotFound,
    RewardNotOffered,
    RewardOrderNotFound,
)
from crm_loyalty.models.rewards import OrderState, RewardOrder
from crm_loyalty.rewards import orders
from crm_loyalty.routes.accounts import Reference
from crm_loyalty.routes.settings import CurrentSettings
from crm_loyalty.schemas.rewards import RewardOrderIn, RewardOrderOut, RewardOrderWithStepsOut, ShipIn
from crm_shared.callers import READERS, STAFF, SUPERVISORS, Role
from crm_shared.customers import CustomerNotFound, CustomerWasErased
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

router = Router(tags=["reward orders"])

State = Annotated[OrderState | None, Query(description="only those in this state")]
STEP = documented(RewardOrderNotFound, OrderStateConflict)


@router.post(
    "/v1/accounts/{customer_id}/reward-orders",
    status_code=201,
    response_model=RewardOrderOut,
    dependencies=[allow(*STAFF, Role.CUSTOMER, own="customer_id"), requires_key],
    responses=documented(
        AccountNotFound,
        CustomerNotFound,
        RewardNotFound,
        RewardNotOffered,
        NotYetValid,
        NoLongerValid,
        NotForThisTier,
        InsufficientPoints,
        LimitReached,
        OutOfStock,
        CouponSuspended,
        IssueLimitReached,
        ReferenceReused,
        CustomerWasErased,
    ),
)
async def order_reward(
    session: Session,
    clock: CurrentClock,
    response: Response,
    reference: Reference,
    settings: CurrentSettings,
    customer_id: UUID,
    body: RewardOrderIn,
) -> RewardOrderOut:
    """Exchange points for a reward: points and stock are taken together, or neither is.

    A coupon is the customer's at once; a gift goes its way.
    """
    order = await orders.place(
        session,
        customer_id,
        body,
        reference=reference,
        coupon_key=settings.coupon_key,
        at=clock.now(),
    )
    response.headers["Location"] = f"/v1/reward-orders/{order.id}"
    return _shown(response, order)


@router.get(
    "/v1/accounts/{customer_id}/reward-orders",
    response_model=Page[RewardOrderOut],
    dependencies=[allow(*READERS, Role.CUSTOMER, own="customer_id")],
    responses=documented(CustomerNotFound, InvalidCursor),
)
async def list_reward_orders_of_customer(
    session: Session,
    page: Paging,
    customer_id: UUID,
    state: State = None,
) -> Listing[RewardOrderOut]:
    """List a customer's orders, newest first."""
    found = await orders.list_(session, customer_id=customer_id, state=state, page=page)
    return found.map(RewardOrderOut.of)


@router.get(
    "/v1/reward-orders",
    response_model=Page[RewardOrderOut],
    dependencies=[allow(*READERS)],
    responses=documented(InvalidCursor),
)
async def list_reward_orders(
    session: Session,
    page: Paging,
    state: State = None,
) -> Listing[RewardOrderOut]:
    """List everybody's orders, newest first: what is to be approved, packed or sent."""
    found = await orders.list_(session, state=state, page=page)
    return found.map(RewardOrderOut.of)


@router.get(
    "/v1/reward-orders/{order_id}",
    response_model=RewardOrderWithStepsOut,
    dependencies=[allow(*READERS)],
    responses=documented(RewardOrderNotFound),
)
async def get_reward_order(session: Session, response: Response, order_id: UUID) -> RewardOrderWithStepsOut:
    """Read an order with its history."""
    order = await orders.get(session, order_id)
    response.headers["ETag"] = etag(order.version)
    return RewardOrderWithStepsOut.with_steps(order, await orders.steps(session, order_id))


@router.post(
    "/v1/reward-orders/{order_id}/approve",
    response_model=RewardOrderOut,
    dependencies=[allow(*SUPERVISORS)],
    responses=STEP,
)
async def approve_reward_order(
    session: Session, clock: CurrentClock, caller: CurrentCaller, response: Response, order_id: UUID
) -> RewardOrderOut:
    """Approve an order of a reward that needs it."""
    order = await orders.move(session, order_id, OrderState.APPROVED, at=clock.now(), by=caller.subject)
    return _shown(response, order)


@router.post(
    "/v1/reward-orders/{order_id}/pack",
    response_model=RewardOrderOut,
    dependencies=[allow(*STAFF)],
    responses=STEP,
)
async def pack_reward_order(
    session: Session, clock: CurrentClock, caller: CurrentCaller, response: Response, order_id: UUID
) -> RewardOrderOut:
    """Say that the reward is packed."""
    order = await orders.move(session, order_id, OrderState.PACKED, at=clock.now(), by=caller.subject)
    return _shown(response, order)


@router.post(
    "/v1/reward-orders/{order_id}/ship",
    response_model=RewardOrderOut,
    dependencies=[allow(*STAFF)],
    responses=STEP,
)
async def ship_reward_order(
    session: Session,
    clock: CurrentClock,
    caller: CurrentCaller,
    response: Response,
    order_id: UUID,
    body: ShipIn,
) -> RewardOrderOut:
    """Say that the reward was sent, and how the parcel can be followed."""
    order = await orders.move(
        session, order_id, OrderState.SHIPPED, tracking=body.tracking, at=clock.now(), by=caller.subject
    )
    return _shown(response, order)


@router.post(
    "/v1/reward-orders/{order_id}/deliver",
    response_model=RewardOrderOut,
    dependencies=[allow(*STAFF)],
    responses=STEP,
)
async def deliver_reward_order(
    session: Session, clock: CurrentClock, caller: CurrentCaller, response: Response, order_id: UUID
) -> RewardOrderOut:
    """Say that the customer has it: the parcel came, or it was handed over."""
    order = await orders.move(session, order_id, OrderState.DELIVERED, at=clock.now(), by=caller.subject)
    return _shown(response, order)


@router.post(
    "/v1/reward-orders/{order_id}/cancel",
    response_model=RewardOrderOut,
    dependencies=[allow(*STAFF)],
    responses=STEP,
)
async def cancel_reward_order(
    session: Session, clock: CurrentClock, caller: CurrentCaller, response: Response, order_id: UUID
) -> RewardOrderOut:
    """Cancel an order that was not sent yet: points and stock come back.

    Each point goes back to the lot that it came from, and expires with it. So it does if the customer was
    erased since: the account stays in the books under an id that leads to nobody, and what others of the pool
    had paid is theirs again.
    """
    order = await orders.move(session, order_id, OrderState.CANCELLED, at=clock.now(), by=caller.subject)
    return _shown(response, order)


def _shown(response: Response, order: RewardOrder) -> RewardOrderOut:
    response.headers["ETag"] = etag(order.version)
    return RewardOrderOut.of(order)
