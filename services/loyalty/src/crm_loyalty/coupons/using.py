"""Using coupons: looked at, reserved, redeemed; a look is judged by what judges the real use."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Text, bindparam, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from crm_loyalty.coupons import finding
from crm_loyalty.coupons.finding import LIVE, Held
from crm_loyalty.errors import (
    BasketTooSmall,
    CouponAlreadyRedeemed,
    CouponExpired,
    CouponHasNoEffect,
    CouponInUse,
    CouponNotCombinable,
    CouponNotForTheseProducts,
    CouponNotYetValid,
    CouponNotYours,
    CouponOtherCurrency,
    CouponSuspended,
    CouponVoid,
    LimitReached,
)
from crm_loyalty.models.coupons import (
    Coupon,
    CouponCount,
    CouponState,
    CouponUse,
    UseState,
)
from crm_loyalty.postings import Order
from crm_loyalty.rules import pricing
from crm_loyalty.rules.pricing import Basket, Reason
from crm_shared import customers, due
from crm_shared.contracts.base import Money
from crm_shared.contracts.loyalty import CouponRedeemed
from crm_shared.ids import uuid7
from crm_shared.outbox import publish
from crm_shared.problems import Problem

RESERVATION = "coupon_reservation"
"""The kind of due work by which reservations run out."""

CODE = "/code"

_LOCK_CUSTOMER = select(func.pg_advisory_xact_lock(func.hashtextextended(bindparam("owner", type_=Text), 0)))

_UNFIT: dict[Reason, type[Problem]] = {
    Reason.OTHER_CURRENCY: CouponOtherCurrency,
    Reason.NO_SUCH_PRODUCT: CouponNotForTheseProducts,
    Reason.NOT_COMBINED: CouponNotCombinable,
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the real request would find: the coupon, what it takes off by itself, or why it cannot be used."""

    held: Held
    discount: int
    refusal: Problem | None


async def look(
    session: AsyncSession, typed: str, customer_id: UUID, basket: Basket, order: Order, *, at: datetime
) -> Verdict:
    """What `reserve` would find now; raises CustomerWasErased, InvalidCouponCode, CouponNotFound."""
    owner = await customers.resolve_one(session, customer_id)
    await _check_remembered(session, customer_id)
    [held] = await finding.by_code(session, {CODE: typed}, lock=False)
    return await _judge(session, held, owner, basket, order, at=at)


async def use(
    session: AsyncSession,
    typed: str,
    customer_id: UUID,
    basket: Basket,
    order: Order,
    *,
    expires_at: datetime | None,
    at: datetime,
) -> CouponUse:
    """Reserve the coupon until an instant, or with None redeem it at once.

    Raises CustomerWasErased, and what makes it unusable: see `refusal_of`.
    """
    owner = await lock_customer(session, customer_id)
    await _check_remembered(session, customer_id)
    [held] = await finding.by_code(session, {CODE: typed}, lock=True)
    verdict = await _judge(session, held, owner, basket, order, at=at)
    if verdict.refusal is not None:
        raise verdict.refusal
    amounts = {held.coupon.id: Money(amount=verdict.discount, currency=basket.currency)}
    [made] = await take(session, [held], amounts, customer_id, owner, order, expires_at=expires_at, at=at)
    return made


async def lock_customer(session: AsyncSession, customer_id: UUID) -> UUID:
    """Keep others from using coupons for the customer, and say whom the id means."""
    owner = await customers.resolve_one(session, customer_id, lock=True)
    await session.execute(_LOCK_CUSTOMER, {"owner": f"coupons of {owner}"})
    return owner


async def _check_remembered(session: AsyncSession, customer_id: UUID) -> None:
    """Raises CustomerWasErased."""
    await customers.check_not_erased(session, [customer_id])


async def _judge(
    session: AsyncSession, held: Held, owner: UUID, basket: Basket, order: Order, *, at: datetime
) -> Verdict:
    reason = pricing.objection(held.discount, basket)
    amount = pricing.price(basket, coupons=[held.discount]).subtotal
    amount -= pricing.price(basket, coupons=[held.discount]).total
    refusal = refusal_of(held, owner, at=at)
    if refusal is None:
        refusal = (await limits(session, [held], owner, at=at)).get(held.coupon.id)
    if refusal is None and reason is not None:
        refusal = unfit(held, reason)
    if refusal is None and not amount:
        refusal = CouponHasNoEffect()
    if refusal is None and not pricing.combinable([held.discount, *await finding.beside(session, order)]):
        refusal = CouponNotCombinable()
    return Verdict(held, amount, refusal)


def unfit(held: Held, reason: Reason) -> Problem:
    """Why the coupon does not fit the basket."""
    if reason is Reason.BASKET_TOO_SMALL:
        return BasketTooSmall(minimum=held.terms.minimum)
    return _UNFIT[reason]()


def refusal_of(held: Held, owner: UUID, *, at: datetime) -> Problem | None:
    """Why the customer cannot use the coupon now, whatever is in the basket; None: they can."""
    coupon, use = held.coupon, held.use
    if coupon.personal and held.owner != owner:
        return CouponNotYours()
    if coupon.state is CouponState.VOID:
        return CouponVoid()
    if coupon.state is CouponState.REDEEMED:
        return CouponAlreadyRedeemed()
    if use is not None and not _is_over(use, at):
        return CouponInUse(expires_at=use.expires_at)
    if not held.active:
        return CouponSuspended()
    if coupon.valid_from is not None and at < coupon.valid_from:
        return CouponNotYetValid(valid_from=coupon.valid_from)
    if coupon.valid_until is not None and at >= coupon.valid_until:
        return CouponExpired(valid_until=coupon.valid_until)
    return None


async def limits(
    session: AsyncSession, found: Sequence[Held], owner: UUID, *, at: datetime
) -> Mapping[UUID, LimitReached]:
    """Which of the coupons, used in this order, would be one too many for the customer or for everybody."""
    keys = {held.terms.key for held in found}
    live = select(CouponUse.series_key, func.count()).where(
        CouponUse.customer_id == owner,
        CouponUse.series_key.in_(keys),
        CouponUse.state.in_(LIVE),
        or_(CouponUse.expires_at.is_(None), CouponUse.expires_at > at, CouponUse.state == UseState.REDEEMED),
    )
    mine = {row[0]: row[1] for row in await session.execute(live.group_by(CouponUse.series_key))}
    counts = select(CouponCount.series_key, CouponCount.used).where(CouponCount.series_key.in_(keys))
    everybodys = {row[0]: row[1] for row in await session.execute(counts)}
    refused: dict[UUID, LimitReached] = {}
    for held in found:
        terms, stale = held.terms, held.use is not None
        for scope, limit, used in (
            ("customer", terms.max_uses_per_customer, mine.get(terms.key, 0)),
            ("total", terms.max_uses, everybodys.get(terms.key, 0) - stale),
        ):
            if limit is not None and used >= limit and held.coupon.id not in refused:
                refused[held.coupon.id] = LimitReached(scope=scope, limit=limit)
        mine[terms.key] = mine.get(terms.key, 0) + 1
        everybodys[terms.key] = everybodys.get(terms.key, 0) + 1 - stale
    return refused


async def take(
    session: AsyncSession,
    found: Sequence[Held],
    amounts: Mapping[UUID, Money],
    customer_id: UUID,
    owner: UUID,
    order: Order,
    *,
    expires_at: datetime | None,
    at: datetime,
) -> list[CouponUse]:
    """Reserve locked coupons that were found usable, or with no instant redeem them; raises LimitReached."""
    uses = [
        _use(held, amounts[held.coupon.id], customer_id, owner, order, expires_at=expires_at, at=at)
        for held in found
    ]
    for held in found:
        _begin_use(held, CouponState.RESERVED if expires_at else CouponState.REDEEMED, at=at)
    await session.flush()  # what ran out ends before another one begins
    session.add_all(uses)
    await session.flush()
    if expires_at is not None:
        await due.schedule(session, RESERVATION, {use.id: expires_at for use in uses})
    else:
        for held, use in zip(found, uses, strict=True):
            tell(session, held.coupon, use, at=at)
    await count(session, Counter(held.terms.key for held in found if held.use is None), found)
    return uses


def _use(
    held: Held,
    discount: Money,
    customer_id: UUID,
    owner: UUID,
    order: Order,
    *,
    expires_at: datetime | None,
    at: datetime,
) -> CouponUse:
    return CouponUse(
        id=uuid7(),
        customer_id=owner,
        origin_customer_id=customer_id,
        coupon_id=held.coupon.id,
        series_key=held.terms.key,
        state=UseState.RESERVED if expires_at else UseState.REDEEMED,
        order_source=order.source,
        order_id=order.external_id,
        discount=discount.amount,
        currency=discount.currency,
        reserved_at=at,
        expires_at=expires_at,
        changed_at=at,
    )


def _begin_use(held: Held, state: CouponState, *, at: datetime) -> None:
    if held.use is not None:  # it ran out, and nobody has noticed yet
        held.use.state, held.use.changed_at = UseState.RELEASED, at
    held.coupon.state, held.coupon.changed_at = state, at
    held.coupon.version += 1


async def count(session: AsyncSession, more: Mapping[str, int], found: Collection[Held] = ()) -> None:
    """Change how many of each series are used; the last thing before the commit. Raises LimitReached."""
    most = {held.terms.key: held.terms.max_uses for held in found}
    for key in sorted(more):
        limit = most.get(key)
        allowed = [] if limit is None else [CouponCount.used + more[key] <= limit]
        counted = await session.scalar(
            update(CouponCount)
            .where(CouponCount.series_key == key, *allowed)
            .values(used=CouponCount.used + more[key])
            .returning(CouponCount.used)
        )
        if counted is None:
            raise LimitReached(scope="total", limit=limit)


def tell(session: AsyncSession, coupon: Coupon, use: CouponUse, *, at: datetime) -> None:
    """Publish that the coupon was redeemed."""
    event = CouponRedeemed(
        customer_id=use.origin_customer_id,
        version=coupon.version,
        coupon_id=coupon.id,
        series=coupon.series_key,
        use_id=use.id,
        order_source=use.order_source,
        order_id=use.order_id or "",
        discount=Money(amount=use.discount, currency=use.currency),
    )
    publish(session, event, at=at)


def _is_over(use: CouponUse, at: datetime) -> bool:
    return use.state is UseState.RESERVED and use.expires_at is not None and at >= use.expires_at
