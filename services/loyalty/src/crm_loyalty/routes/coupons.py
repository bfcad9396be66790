"""Coupons over HTTP: whose they are, and their use by shops. Codes travel in bodies, which nobody logs."""

from datetime import timedelta
from typing import Annotated
from uuid import UUID

from fastapi import Depends, Request, Response

from crm_loyalty.coupons import ending, holdings, using
from crm_loyalty.coupons.guard import Guard
from crm_loyalty.errors import (
    BasketTooSmall,
    CouponAlreadyRedeemed,
    CouponExpired,
    CouponHasNoEffect,
    CouponInUse,
    CouponNotCombinable,
    CouponNotForTheseProducts,
    CouponNotFound,
    CouponNotYetValid,
    CouponNotYours,
    CouponOtherCurrency,
    CouponSuspended,
    CouponUseEnded,
    CouponUseNotFound,
    CouponVoid,
    InvalidCouponCode,
    LimitReached,
    TooManyWrongCodes,
)
from crm_loyalty.postings import Order
from crm_loyalty.routes.settings import CurrentSettings
from crm_loyalty.schemas.base import WhyNotOut
from crm_loyalty.schemas.coupons import (
    CouponOut,
    CouponReservationIn,
    CouponUseIn,
    CouponUseOut,
    CouponVerdictOut,
)
from crm_shared.callers import MANAGERS, READERS, STAFF, Role
from crm_shared.contracts.base import Money
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

router = Router(tags=["coupons"])


async def get_guard(request: Request) -> Guard:
    guard: Guard = request.app.state.coupon_guard
    return guard


CurrentGuard = Annotated[Guard, Depends(get_guard)]

UNKNOWN = (CouponNotFound, InvalidCouponCode, TooManyWrongCodes)
REFUSALS = (
    CouponNotYours,
    CouponVoid,
    CouponAlreadyRedeemed,
    CouponInUse,
    CouponSuspended,
    CouponNotYetValid,
    CouponExpired,
    LimitReached,
    CouponOtherCurrency,
    CouponNotForTheseProducts,
    BasketTooSmall,
    CouponNotCombinable,
    CouponHasNoEffect,
)
ENDED = documented(CouponUseNotFound, CouponUseEnded)


@router.get(
    "/v1/accounts/{customer_id}/coupons",
    response_model=Page[CouponOut],
    dependencies=[allow(*STAFF, Role.CUSTOMER, own="customer_id")],
    responses=documented(CustomerNotFound, InvalidCursor),
)
async def list_coupons(
    session: Session,
    clock: CurrentClock,
    page: Paging,
    settings: CurrentSettings,
    customer_id: UUID,
) -> Listing[CouponOut]:
    """List a customer's own coupons with their codes, newest first."""
    found = await holdings.of_customer(session, customer_id, page=page)
    at, key = clock.now(), settings.coupon_key
    return found.map(lambda coupon: CouponOut.of(coupon, at=at, code=holdings.code(coupon, key)))


@router.get(
    "/v1/coupons/{coupon_id}",
    response_model=CouponOut,
    dependencies=[allow(*READERS)],
    responses=documented(CouponNotFound),
)
async def get_coupon(session: Session, clock: CurrentClock, response: Response, coupon_id: UUID) -> CouponOut:
    """Read where a coupon stands."""
    coupon = await holdings.get(session, coupon_id)
    response.headers["ETag"] = etag(coupon.version)
    return CouponOut.of(coupon, at=clock.now())


@router.post(
    "/v1/coupons/check",
    response_model=CouponVerdictOut,
    dependencies=[allow(*READERS)],
    responses=documented(*UNKNOWN, CustomerWasErased),
)
async def check_coupon(
    session: Session, clock: CurrentClock, caller: CurrentCaller, guard: CurrentGuard, body: CouponUseIn
) -> CouponVerdictOut:
    """Say what reserving or redeeming the coupon would answer now; nothing is changed."""
    at, basket = clock.now(), body.basket.basket()
    with guard.watching(caller.subject, at=at):
        verdict = await using.look(session, body.code, body.customer_id, basket, _order(body), at=at)
    refusal = verdict.refusal
    return CouponVerdictOut(
        usable=refusal is None,
        refusal=refusal and WhyNotOut(code=refusal.code(), detail=refusal.detail, values=refusal.extensions),
        discount=Money(amount=verdict.discount, currency=basket.currency),
        coupon=CouponOut.of(verdict.held.coupon, at=at),
    )


@router.post(
    "/v1/coupons/reserve",
    status_code=201,
    response_model=CouponUseOut,
    dependencies=[allow(*READERS), requires_key],
    responses=documented(*UNKNOWN, *REFUSALS, CustomerWasErased),
)
async def reserve_coupon(
    session: Session,
    clock: CurrentClock,
    caller: CurrentCaller,
    guard: CurrentGuard,
    body: CouponReservationIn,
) -> CouponUseOut:
    """Reserve a coupon for an order; it is released by itself if nobody redeems it in time."""
    at = clock.now()
    with guard.watching(caller.subject, at=at):
        use = await using.use(
            session,
            body.code,
            body.customer_id,
            body.basket.basket(),
            _order(body),
            expires_at=at + timedelta(seconds=body.expires_in),
            at=at,
        )
    return CouponUseOut.of(use)


@router.post(
    "/v1/coupons/redeem",
    status_code=201,
    response_model=CouponUseOut,
    dependencies=[allow(*READERS), requires_key],
    responses=documented(*UNKNOWN, *REFUSALS, CustomerWasErased),
)
async def redeem_coupon(
    session: Session, clock: CurrentClock, caller: CurrentCaller, guard: CurrentGuard, body: CouponUseIn
) -> CouponUseOut:
    """Use a coupon up for an order, without reserving it before."""
    at = clock.now()
    with guard.watching(caller.subject, at=at):
        use = await using.use(
            session,
            body.code,
            body.customer_id,
            body.basket.basket(),
            _order(body),
            expires_at=None,
            at=at,
        )
    return CouponUseOut.of(use)


@router.post(
    "/v1/coupons/{coupon_id}/void",
    response_model=CouponOut,
    dependencies=[allow(*MANAGERS), requires_key],
    responses=documented(CouponNotFound, CouponVoid, CouponAlreadyRedeemed),
)
async def void_coupon(
    session: Session, clock: CurrentClock, response: Response, coupon_id: UUID
) -> CouponOut:
    """Withdraw a coupon; a reservation of it ends."""
    at = clock.now()
    coupon = await ending.void(session, coupon_id, at=at)
    response.headers["ETag"] = etag(coupon.version)
    return CouponOut.of(coupon, at=at)


@router.get(
    "/v1/coupon-uses/{use_id}",
    response_model=CouponUseOut,
    dependencies=[allow(*READERS)],
    responses=documented(CouponUseNotFound),
)
async def get_coupon_use(session: Session, use_id: UUID) -> CouponUseOut:
    """Read what became of a use of a coupon."""
    return CouponUseOut.of(await ending.get_use(session, use_id))


@router.post(
    "/v1/coupon-uses/{use_id}/redeem",
    response_model=CouponUseOut,
    dependencies=[allow(*READERS), requires_key],
    responses=ENDED,
)
async def redeem_reservation(session: Session, clock: CurrentClock, use_id: UUID) -> CouponUseOut:
    """Use up a coupon that is reserved."""
    return CouponUseOut.of(await ending.redeem(session, use_id, at=clock.now()))


@router.post(
    "/v1/coupon-uses/{use_id}/release",
    response_model=CouponUseOut,
    dependencies=[allow(*READERS), requires_key],
    responses=ENDED,
)
async def release_reservation(session: Session, clock: CurrentClock, use_id: UUID) -> CouponUseOut:
    """Give a reserved coupon back."""
    return CouponUseOut.of(await ending.release(session, use_id, at=clock.now()))


def _order(body: CouponUseIn) -> Order:
    return Order(body.order.source, body.order.external_id)
