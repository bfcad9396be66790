"""Quotes over HTTP: what a basket costs a customer, and taking that price."""

from uuid import UUID

from crm_loyalty.errors import (
    AccountNotFound,
    CouponNotCombinable,
    CouponNotFound,
    InsufficientPoints,
    InvalidCouponCode,
    LimitReached,
    OrderHasPrice,
    OrderWasPurchased,
    QuoteCommitted,
    QuoteExpired,
    QuoteIsStale,
    QuoteNotCommitted,
    QuoteNotFound,
    QuoteReleased,
    TooManyWrongCodes,
)
from crm_loyalty.models.quotes import Quote
from crm_loyalty.postings import Order
from crm_loyalty.quotes import quotes, releasing
from crm_loyalty.routes.coupons import CurrentGuard
from crm_loyalty.schemas.baskets import OrderReference
from crm_loyalty.schemas.quotes import CommitIn, PriceOut, QuoteIn, QuoteOut, ReleaseIn
from crm_shared.callers import READERS
from crm_shared.customers import CustomerWasErased
from crm_shared.web.idempotency import requires_key
from crm_shared.web.problems import documented
from crm_shared.web.router import Router
from crm_shared.web.session import CurrentCaller, CurrentClock, Session, allow

router = Router(tags=["quotes"])


@router.post(
    "/v1/quotes",
    status_code=201,
    response_model=QuoteOut,
    dependencies=[allow(*READERS)],
    responses=documented(
        AccountNotFound, CustomerWasErased, CouponNotFound, InvalidCouponCode, TooManyWrongCodes
    ),
)
async def make_quote(
    session: Session, clock: CurrentClock, caller: CurrentCaller, guard: CurrentGuard, body: QuoteIn
) -> QuoteOut:
    """Name the price of a basket, with every effect and what does not count and why; it holds for a while.

    The order of effects: the tier's discount, promotions, coupons, points. Of the coupons that do not go
    together those count that take off most. Nothing is reserved.
    """
    at = clock.now()
    with guard.watching(caller.subject, at=at):
        return _shown(await quotes.make(session, body, at=at))


@router.get(
    "/v1/quotes/{quote_id}",
    response_model=QuoteOut,
    dependencies=[allow(*READERS)],
    responses=documented(QuoteNotFound),
)
async def get_quote(session: Session, quote_id: UUID) -> QuoteOut:
    """Read a price that was named."""
    return _shown(await quotes.get(session, quote_id))


@router.post(
    "/v1/quotes/{quote_id}/commit",
    response_model=QuoteOut,
    dependencies=[allow(*READERS), requires_key],
    responses=documented(
        QuoteNotFound,
        QuoteExpired,
        QuoteIsStale,
        QuoteCommitted,
        QuoteReleased,
        OrderHasPrice,
        CouponNotCombinable,
        InsufficientPoints,
        LimitReached,
        CustomerWasErased,
    ),
)
async def commit_quote(session: Session, clock: CurrentClock, quote_id: UUID, body: CommitIn) -> QuoteOut:
    """Take the price for an order: its coupons are redeemed and its points spent together, or nothing is.

    Refused, with what has changed, when the price would be another one now.
    """
    order = Order(body.order.source, body.order.external_id)
    return _shown(await quotes.commit(session, quote_id, order, at=clock.now()))


@router.post(
    "/v1/quotes/{quote_id}/release",
    response_model=QuoteOut,
    dependencies=[allow(*READERS), requires_key],
    responses=documented(QuoteNotFound, QuoteNotCommitted, QuoteReleased, OrderWasPurchased),
)
async def release_quote(session: Session, clock: CurrentClock, quote_id: UUID, body: ReleaseIn) -> QuoteOut:
    """Give back what was taken for an order that is not bought after all: its payment failed, say.

    The points are in their lots again, with the expiry those have; the order's coupons can be used again, and
    the budgets of promotions have its part again, as after a refund. Then the order may take another price.
    Once its purchase is recorded, only a refund gives anything back.
    """
    return _shown(await releasing.release(session, quote_id, reason=body.reason, at=clock.now()))


def _shown(quote: Quote) -> QuoteOut:
    order = None
    if quote.order_source is not None and quote.order_id is not None:
        order = OrderReference(source=quote.order_source, external_id=quote.order_id)
    return QuoteOut(
        id=quote.id,
        customer_id=quote.customer_id,
        state=quote.state,
        quoted_at=quote.quoted_at,
        expires_at=quote.expires_at,
        committed_at=quote.committed_at,
        order=order,
        **PriceOut.model_validate(quote.price).model_dump(),
    )
