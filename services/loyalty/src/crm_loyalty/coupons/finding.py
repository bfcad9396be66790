"""Coupons as they are found: by the codes that people type, by their ids, or by an order that has some."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from crm_loyalty.errors import CouponNotFound, InvalidCouponCode
from crm_loyalty.models.coupons import Coupon, CouponOwner, CouponSeries, CouponUse, UseState
from crm_loyalty.postings import Order
from crm_loyalty.rules import codes
from crm_loyalty.rules.pricing import Discount

LIVE = (UseState.RESERVED, UseState.REDEEMED)
"""The states of a use that keeps its coupon from others."""

_WRONG = "A sign is missing, wrong, or has changed places with another one"


@dataclass(frozen=True, slots=True)
class Held:
    """A coupon with all that decides whether it can be used."""

    coupon: Coupon
    terms: CouponSeries
    active: bool
    owner: UUID | None
    use: CouponUse | None
    """The live one."""

    @property
    def discount(self) -> Discount:
        return discount_of(self.coupon.id, self.terms)


def discount_of(coupon_id: UUID, terms: CouponSeries) -> Discount:
    """The coupon as pricing takes it."""
    return Discount(
        key=str(coupon_id),
        rule=terms.key,
        version=terms.version,
        value=terms.value,
        amount=terms.amount or 0,
        basis_points=terms.basis_points or 0,
        cap=terms.max_discount,
        currency=terms.currency,
        product=terms.free_product,
        products=frozenset(terms.products),
        categories=frozenset(terms.categories),
        minimum=terms.minimum,
        stacking=terms.stacking,
        stacking_class=terms.stacking_class,
        stacks_with=frozenset(terms.stacks_with),
    )


async def by_code(session: AsyncSession, typed: Mapping[str, str], *, lock: bool) -> list[Held]:
    """The coupons with these codes, by the pointers to where they stand; locked in the order of their ids.

    Raises InvalidCouponCode, CouponNotFound.
    """
    normal = {pointer: codes.normal(code) for pointer, code in typed.items()}
    if wrong := [pointer for pointer, code in normal.items() if code is None]:
        raise InvalidCouponCode(
            errors=[
                {"pointer": pointer, "code": "invalid_coupon_code", "message": _WRONG} for pointer in wrong
            ]
        )
    digests = [codes.digest(code) for code in normal.values() if code is not None]
    wanted = select(Coupon).where(Coupon.digest.in_(digests)).order_by(Coupon.id)
    if lock:
        wanted = wanted.with_for_update()
    coupons = list(await session.scalars(wanted.execution_options(populate_existing=True)))
    by_digest = {coupon.digest: coupon for coupon in coupons}
    if any(digest not in by_digest for digest in digests):
        raise CouponNotFound
    held = {each.coupon.id: each for each in await _held(session, coupons)}
    return [held[by_digest[digest].id] for digest in dict.fromkeys(digests)]


async def by_id(session: AsyncSession, ids: Sequence[UUID]) -> list[Held]:
    """The coupons with these ids, locked in their order."""
    wanted = select(Coupon).where(Coupon.id.in_(ids)).order_by(Coupon.id).with_for_update()
    found = await session.scalars(wanted.execution_options(populate_existing=True))
    return await _held(session, list(found))


async def _held(session: AsyncSession, coupons: Sequence[Coupon]) -> list[Held]:
    newest = aliased(CouponSeries)
    active = select(newest.active).where(newest.key == Coupon.series_key)
    active = active.order_by(newest.version.desc()).limit(1)
    rows = await session.execute(
        select(Coupon.id, CouponSeries, active.scalar_subquery(), CouponOwner.customer_id, CouponUse)
        .join(
            CouponSeries,
            (CouponSeries.key == Coupon.series_key) & (CouponSeries.version == Coupon.series_version),
        )
        .outerjoin(CouponOwner, CouponOwner.coupon_id == Coupon.id)
        .outerjoin(CouponUse, (CouponUse.coupon_id == Coupon.id) & CouponUse.state.in_(LIVE))
        .where(Coupon.id.in_([coupon.id for coupon in coupons]))
        .execution_options(populate_existing=True)
    )
    known = {row[0]: row for row in rows}
    return [Held(coupon, *known[coupon.id][1:]) for coupon in coupons]


async def beside(session: AsyncSession, order: Order) -> list[Discount]:
    """The coupons that are used for the order already."""
    rows = await session.execute(
        select(Coupon.id, CouponSeries)
        .join(CouponUse, CouponUse.coupon_id == Coupon.id)
        .join(
            CouponSeries,
            (CouponSeries.key == Coupon.series_key) & (CouponSeries.version == Coupon.series_version),
        )
        .where(
            CouponUse.order_source == order.source,
            CouponUse.order_id == order.external_id,
            CouponUse.state.in_(LIVE),
        )
    )
    return [discount_of(coupon_id, terms) for coupon_id, terms in rows]
