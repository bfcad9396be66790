"""Quotes: a price is named with all that made it, holds for a while, and is taken at once or not at all."""

from collections.abc import Collection
from datetime import datetime, timedelta
from uuid import UUID

from pydantic import JsonValue
from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncSession

from crm_loyalty.coupons import finding, using
from crm_loyalty.coupons.finding import Held
from crm_loyalty.errors import (
    CouponNotCombinable,
    OrderHasPrice,
    PromotionBudgetSpent,
    QuoteCommitted,
    QuoteExpired,
    QuoteIsStale,
    QuoteNotFound,
    QuoteReleased,
)
from crm_loyalty.ledger import accounts, ledger
from crm_loyalty.models.quotes import Quote, QuoteState
from crm_loyalty.postings import Order, Spend
from crm_loyalty.quotes import budgets
from crm_loyalty.quotes.evaluating import Asked, evaluate
from crm_loyalty.rules import pricing
from crm_loyalty.rules.pricing import EffectKind
from crm_loyalty.schemas.quotes import EffectOut, PriceOut, QuoteIn
from crm_shared import customers, due
from crm_shared.contracts.base import Money
from crm_shared.ids import uuid7

FORGET = "quote"
"""The kind of due work by which quotes that nobody took are forgotten."""

SOURCE = "/crm/loyalty/quotes"
_KEPT = timedelta(days=1)


async def make(session: AsyncSession, body: QuoteIn, *, at: datetime) -> Quote:
    """Name the price, and keep what it was made of.

    Raises AccountNotFound, CustomerWasErased, InvalidCouponCode, CouponNotFound.
    """
    owner = await customers.resolve_one(session, body.customer_id, lock=True)
    await customers.check_not_erased(session, [body.customer_id])
    typed = {f"/coupons/{index}": code for index, code in enumerate(body.coupons)}
    held = await finding.by_code(session, typed, lock=False)
    named = await evaluate(session, Asked(body.customer_id, owner, body, held), at=at)
    request = body.model_dump(mode="json") | {"coupons": [str(each.coupon.id) for each in held]}
    quote = Quote(
        id=uuid7(),
        customer_id=owner,
        origin_customer_id=body.customer_id,
        request=request,
        price=named.price.model_dump(mode="json"),
        state=QuoteState.OPEN,
        quoted_at=at,
        expires_at=at + timedelta(minutes=named.policy.quote_minutes),
    )
    session.add(quote)
    await session.flush()
    await due.schedule(session, FORGET, {quote.id: quote.expires_at + _KEPT})
    return quote


async def get(session: AsyncSession, quote_id: UUID, *, lock: bool = False) -> Quote:
    """The quote; raises QuoteNotFound."""
    quote = await session.get(Quote, quote_id, with_for_update=lock or None, populate_existing=lock)
    if quote is None:
        raise QuoteNotFound(quote_id=str(quote_id))
    return quote


async def commit(session: AsyncSession, quote_id: UUID, order: Order, *, at: datetime) -> Quote:
    """Take the price for an order: coupons are redeemed, points spent, budgets drawn on together, once.

    It is reckoned anew under locks, and refused when it has become another one. Raises QuoteNotFound,
    QuoteCommitted, QuoteReleased, OrderHasPrice, QuoteExpired, QuoteIsStale, CouponNotCombinable,
    InsufficientPoints, LimitReached.
    """
    customer_id = (await get(session, quote_id)).origin_customer_id
    owner = await using.lock_customer(session, customer_id)
    quote = await get(session, quote_id, lock=True)
    if quote.state is not QuoteState.OPEN:
        _check_taken_for(quote, order)
        return quote
    await _check_unpriced(session, owner, order)
    if at >= quote.expires_at:
        raise QuoteExpired(expires_at=quote.expires_at)
    body = QuoteIn.model_validate(quote.request)
    # Before the coupons, as refunds do it.
    await accounts.lock(session, [customer_id])
    held = await finding.by_id(session, [UUID(id) for id in body.coupons])
    named = await evaluate(session, Asked(customer_id, owner, body, held), at=at)
    if changes := _changes(PriceOut.model_validate(quote.price), named.price):
        raise QuoteIsStale(changes=changes)
    await _check_beside(session, named.used, order)
    quote.transaction_id = await _spend(session, quote, named.price, order, at=at)
    amounts = {
        UUID(effect.key): Money(amount=effect.amount, currency=named.price.currency)
        for effect in named.price.effects
        if effect.kind is EffectKind.COUPON
    }
    await using.take(session, named.used, amounts, customer_id, owner, order, expires_at=None, at=at)
    quote.state, quote.committed_at = QuoteState.COMMITTED, at
    quote.order_source, quote.order_id = order.source, order.external_id
    await session.flush()
    if overdrawn := await budgets.take(session, quote, named.price, order, at=at):
        raise QuoteIsStale(changes=[_overdrawn(effect) for effect in overdrawn])
    return quote


async def forget(session: AsyncSession, quote_ids: Collection[UUID]) -> None:
    """Nobody took these prices in time."""
    await session.execute(delete(Quote).where(Quote.id.in_(quote_ids), Quote.state == QuoteState.OPEN))


def _check_taken_for(quote: Quote, order: Order) -> None:
    """Raises QuoteReleased, QuoteCommitted."""
    if quote.state is QuoteState.RELEASED:
        raise QuoteReleased
    if (quote.order_source, quote.order_id) != (order.source, order.external_id):
        raise QuoteCommitted


async def _check_unpriced(session: AsyncSession, owner: UUID, order: Order) -> None:
    """Who lost the answer and asked for a new price does not pay twice; raises OrderHasPrice.

    The customer's lock keeps others from taking a price for the same order meanwhile.
    """
    taken = select(Quote.id).where(
        Quote.customer_id == owner,
        Quote.order_source == order.source,
        Quote.order_id == order.external_id,
        Quote.state != QuoteState.RELEASED,
    )
    if (other := await session.scalar(taken.limit(1))) is not None:
        raise OrderHasPrice(quote_id=str(other))


async def _check_beside(session: AsyncSession, used: list[Held], order: Order) -> None:
    """The order may have coupons already; raises CouponNotCombinable."""
    if used and not pricing.combinable(
        [*(held.discount for held in used), *await finding.beside(session, order)]
    ):
        raise CouponNotCombinable


async def _spend(
    session: AsyncSession, quote: Quote, price: PriceOut, order: Order, *, at: datetime
) -> UUID | None:
    points = sum(effect.points for effect in price.effects)
    if not points:
        return None
    spend = Spend(
        customer_id=quote.origin_customer_id,
        source=SOURCE,
        reference=f"quote {quote.id}",
        effective_at=at,
        points=points,
        order=order,
    )
    [verdict] = await ledger.post(session, [spend], at=at)
    return verdict.accepted().id


def _changes(was: PriceOut, now: PriceOut) -> list[JsonValue]:
    """What counts differently now; what would be earned does not, for it is not promised."""
    old = {f"{effect.kind} {effect.key}": effect.model_dump(mode="json") for effect in was.effects}
    new = {f"{effect.kind} {effect.key}": effect.model_dump(mode="json") for effect in now.effects}
    codes = {f"{refusal.kind} {refusal.key}": refusal.code for refusal in now.not_used}
    changes: list[JsonValue] = []
    for name in sorted(old.keys() | new.keys()):
        if old.get(name) != new.get(name):
            changes.append(
                {"effect": name, "was": old.get(name), "is": new.get(name), "code": codes.get(name)}
            )
    return changes


def _overdrawn(effect: EffectOut) -> JsonValue:
    """Somebody took from the budget at the same moment: there is not so much of it any more."""
    return {
        "effect": f"{effect.kind} {effect.key}",
        "was": effect.model_dump(mode="json"),
        "is": None,
        "code": PromotionBudgetSpent.code(),
    }
