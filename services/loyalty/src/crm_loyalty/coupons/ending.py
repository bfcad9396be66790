"""How uses of coupons end: redeemed, released, run out, given back by a refund; and voiding coupons."""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

from crm_loyalty.coupons.finding import LIVE
from crm_loyalty.coupons.using import count, tell
from crm_loyalty.errors import (
    CouponAlreadyRedeemed,
    CouponNotFound,
    CouponUseEnded,
    CouponUseNotFound,
    CouponVoid,
)
from crm_loyalty.models.coupons import (
    Coupon,
    CouponOwner,
    CouponSeries,
    CouponState,
    CouponUse,
    OnRefund,
    UseState,
)
from crm_loyalty.postings import Order
from crm_shared import customers
from crm_shared.contracts.loyalty import CouponVoided
from crm_shared.outbox import publish


async def get_use(session: AsyncSession, use_id: UUID) -> CouponUse:
    """The use; raises CouponUseNotFound."""
    use = await session.get(CouponUse, use_id)
    if use is None:
        raise CouponUseNotFound(use_id=str(use_id))
    return use


async def redeem(session: AsyncSession, use_id: UUID, *, at: datetime) -> CouponUse:
    """Use up what is reserved; raises CouponUseNotFound, CouponUseEnded."""
    coupon, use = await _reserved(session, use_id, at=at)
    _change(coupon, use, CouponState.REDEEMED, UseState.REDEEMED, at)
    tell(session, coupon, use, at=at)
    await session.flush()
    return use


async def release(session: AsyncSession, use_id: UUID, *, at: datetime) -> CouponUse:
    """Give back what is reserved; raises CouponUseNotFound, CouponUseEnded."""
    coupon, use = await _reserved(session, use_id, at=at)
    await _end(session, [(coupon, use)], UseState.RELEASED, at=at)
    return use


async def run_out(session: AsyncSession, use_ids: Collection[UUID], *, at: datetime) -> None:
    """Release the reservations whose time is over; what was resolved before is left alone."""
    found = await _lock(session, use_ids)
    over = [
        (coupon, use)
        for coupon, use in found
        if use.state is UseState.RESERVED and use.expires_at is not None and at >= use.expires_at
    ]
    await _end(session, over, UseState.RELEASED, at=at)


async def restore(session: AsyncSession, orders: Collection[Order], *, at: datetime) -> None:
    """Give back the coupons that were used for orders of which nothing is left, as their terms say."""
    if not orders:
        return
    named = [(order.source, order.external_id) for order in orders]
    used = select(CouponUse.id).where(
        tuple_(CouponUse.order_source, CouponUse.order_id).in_(named), CouponUse.state == UseState.REDEEMED
    )
    found = await _lock(session, list(await session.scalars(used)))
    terms = await _terms(session, [coupon for coupon, _ in found])
    back = [
        (coupon, use)
        for coupon, use in found
        if use.state is UseState.REDEEMED and terms[coupon.id].on_refund is not OnRefund.LOST
    ]
    for coupon, _ in back:
        if terms[coupon.id].on_refund is OnRefund.EXTEND and coupon.valid_until is not None:
            coupon.valid_until = max(coupon.valid_until, at + timedelta(days=terms[coupon.id].extend_days))
    await _end(session, back, UseState.RESTORED, at=at)


async def void(session: AsyncSession, coupon_id: UUID, *, at: datetime) -> Coupon:
    """Withdraw the coupon, and end its reservation.

    Raises CouponNotFound, CouponVoid, CouponAlreadyRedeemed.
    """
    await customers.stop_merges(session)
    coupon = await session.get(Coupon, coupon_id, with_for_update=True, populate_existing=True)
    if coupon is None:
        raise CouponNotFound(coupon_id=str(coupon_id))
    if coupon.state is CouponState.REDEEMED:
        raise CouponAlreadyRedeemed
    if coupon.state is CouponState.VOID:
        raise CouponVoid
    live = select(CouponUse).where(CouponUse.coupon_id == coupon_id, CouponUse.state.in_(LIVE))
    uses = list(await session.scalars(live))
    for use in uses:
        use.state, use.changed_at = UseState.RELEASED, at
    coupon.state, coupon.changed_at = CouponState.VOID, at
    coupon.version += 1
    owner = await session.get(CouponOwner, coupon_id)
    if owner is not None:
        event = CouponVoided(
            customer_id=owner.origin_customer_id,
            version=coupon.version,
            coupon_id=coupon.id,
            series=coupon.series_key,
        )
        publish(session, event, at=at)
    await session.flush()
    await count(session, {coupon.series_key: -1} if uses else {})
    return coupon


async def _reserved(session: AsyncSession, use_id: UUID, *, at: datetime) -> tuple[Coupon, CouponUse]:
    """The reservation and its coupon, locked."""
    found = await _lock(session, [use_id])
    if not found:
        raise CouponUseNotFound(use_id=str(use_id))
    [(coupon, use)] = found
    if use.state is not UseState.RESERVED:
        raise CouponUseEnded(f"It was {use.state.value} before.", state=use.state.value)
    if use.expires_at is not None and at >= use.expires_at:
        raise CouponUseEnded("Its time is over.", state=UseState.RELEASED.value)
    return coupon, use


async def _lock(session: AsyncSession, use_ids: Collection[UUID]) -> Sequence[tuple[Coupon, CouponUse]]:
    """The uses with their coupons, locked in the order of their ids: whoever changes a use does so."""
    await customers.stop_merges(session)
    coupons = (
        select(Coupon)
        .where(Coupon.id.in_(select(CouponUse.coupon_id).where(CouponUse.id.in_(use_ids))))
        .order_by(Coupon.id)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    locked = {coupon.id: coupon for coupon in await session.scalars(coupons)}
    uses = select(CouponUse).where(CouponUse.id.in_(use_ids)).order_by(CouponUse.id)
    found = await session.scalars(uses.execution_options(populate_existing=True))
    return [(locked[use.coupon_id], use) for use in found]


async def _terms(session: AsyncSession, coupons: Iterable[Coupon]) -> dict[UUID, CouponSeries]:
    """The terms under which each was issued."""
    versions = {coupon.id: (coupon.series_key, coupon.series_version) for coupon in coupons}
    rows = await session.scalars(
        select(CouponSeries).where(tuple_(CouponSeries.key, CouponSeries.version).in_(set(versions.values())))
    )
    by_version = {(row.key, row.version): row for row in rows}
    return {id: by_version[version] for id, version in versions.items()}


async def _end(
    session: AsyncSession, found: Sequence[tuple[Coupon, CouponUse]], to: UseState, *, at: datetime
) -> None:
    """Let each coupon be used again; its use stays as it ended."""
    for coupon, use in found:
        _change(coupon, use, CouponState.ISSUED, to, at)
    await session.flush()
    ended = Counter(coupon.series_key for coupon, _ in found)
    await count(session, {key: -number for key, number in ended.items()})


def _change(coupon: Coupon, use: CouponUse, state: CouponState, to: UseState, at: datetime) -> None:
    coupon.state, coupon.changed_at = state, at
    coupon.version += 1
    use.state, use.changed_at = to, at
