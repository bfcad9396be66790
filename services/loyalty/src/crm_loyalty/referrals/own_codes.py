"""Customers' codes for their friends: one each, made when it is first asked for."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from crm_loyalty.errors import InvalidReferralCode, ReferralCodeNotFound
from crm_loyalty.ledger import accounts
from crm_loyalty.models.referrals import ReferralCode
from crm_loyalty.rules import codes
from crm_shared import customers
from crm_shared.ids import uuid7


async def get(session: AsyncSession, customer_id: UUID) -> ReferralCode:
    """Whom the id means today may have several after merges: the oldest; raises ReferralCodeNotFound."""
    owner = await customers.resolve_one(session, customer_id)
    found = await _of(session, owner)
    if found is None:
        raise ReferralCodeNotFound(customer_id=str(customer_id))
    return found


async def make(session: AsyncSession, customer_id: UUID, *, key: bytes, at: datetime) -> ReferralCode:
    """The customer's code, made if there is none; raises AccountNotFound, CustomerWasErased."""
    await customers.stop_merges(session)
    owner = await accounts.owner(session, customer_id)
    await customers.check_not_erased(session, [customer_id])
    known = await _of(session, owner)
    if known is not None:
        return known
    id = uuid7()
    row = {
        "id": id,
        "customer_id": owner,
        "origin_customer_id": customer_id,
        "digest": codes.digest(codes.code_of(key, id)),
        "made_at": at,
    }
    # Of two who ask at once, the second gets what the first has made.
    await session.execute(insert(ReferralCode).values(row).on_conflict_do_nothing())
    return await get(session, customer_id)


async def find(session: AsyncSession, typed: str) -> ReferralCode:
    """Whose code it is; raises InvalidReferralCode, ReferralCodeNotFound."""
    code = codes.normal(typed)
    if code is None:
        raise InvalidReferralCode
    found = await session.scalar(select(ReferralCode).where(ReferralCode.digest == codes.digest(code)))
    if found is None:
        raise ReferralCodeNotFound
    return found


def shown(row: ReferralCode, key: bytes) -> str | None:
    """The code as people read it; None when it was made with another key than today's."""
    return codes.shown_again(key, row.id, row.digest)


async def _of(session: AsyncSession, owner: UUID) -> ReferralCode | None:
    oldest = select(ReferralCode).where(ReferralCode.customer_id == owner).order_by(ReferralCode.id).limit(1)
    return await session.scalar(oldest)
