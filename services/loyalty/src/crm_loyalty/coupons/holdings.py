"""Coupons as they are listed: a customer's own, a batch's, or one by its id, with their codes made anew."""

from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from crm_loyalty.errors import CouponNotFound
from crm_loyalty.models.coupons import Coupon, CouponOwner
from crm_loyalty.rules import codes
from crm_shared import customers
from crm_shared.pages import Key, Listing, PageRequest, paginate


async def get(session: AsyncSession, coupon_id: UUID) -> Coupon:
    """The coupon; raises CouponNotFound."""
    coupon = await session.get(Coupon, coupon_id)
    if coupon is None:
        raise CouponNotFound(coupon_id=str(coupon_id))
    return coupon


async def of_customer(session: AsyncSession, customer_id: UUID, *, page: PageRequest) -> Listing[Coupon]:
    """The customer's personal coupons, newest first."""
    owner = await customers.resolve_one(session, customer_id)
    owned = select(CouponOwner.coupon_id).where(CouponOwner.customer_id == owner)
    return await paginate(
        session,
        select(Coupon).where(Coupon.id.in_(owned)),
        [Key(Coupon.id, descending=True)],
        page=page,
        filters=str(customer_id),
    )


async def of_batch(session: AsyncSession, batch_id: UUID, *, page: PageRequest) -> Listing[Coupon]:
    """The coupons of a batch, in the order in which they were made."""
    return await paginate(
        session,
        select(Coupon).where(Coupon.batch_id == batch_id),
        [Key(Coupon.id)],
        page=page,
        filters=str(batch_id),
    )


def code(coupon: Coupon, key: bytes) -> str | None:
    """Its code as people read it; None when it was made with another key than today's."""
    return codes.shown_again(key, coupon.id, coupon.digest)
