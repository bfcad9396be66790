"""Referrals as they are claimed and listed: each friend comes by one code, once, before the first order."""

from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import Select, func, or_, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from crm_loyalty.errors import (
    AccountNotFound,
    AlreadyReferred,
    LimitReached,
    NotANewCustomer,
    ReferralCircle,
    ReferralNotFound,
    ReferralsClosed,
    SelfReferral,
)
from crm_loyalty.ledger import accounts
from crm_loyalty.models.ledger import Account
from crm_loyalty.models.purchases import Purchase
from crm_loyalty.models.referrals import Referral, ReferralState
from crm_loyalty.referrals import own_codes, policy
from crm_loyalty.schemas.referrals import ReferralIn
from crm_shared import customers
from crm_shared.ids import uuid7
from crm_shared.pages import Key, Listing, PageRequest, paginate

# Claims are rare: one after the other, so that no circle closes by several at once.
_IN_TURN = select(func.pg_advisory_xact_lock(0x72656672))

_LEADS_BACK = text(
    """
    WITH RECURSIVE brought_by (id) AS (
        SELECT CAST(:referrer AS uuid)
        UNION
        SELECT account.customer_id
        FROM brought_by
        JOIN referrals ON referrals.customer_id = brought_by.id AND referrals.state <> 'void'
        JOIN accounts AS account ON account.origin_customer_id = referrals.referrer_id
    )
    SELECT EXISTS (SELECT FROM brought_by WHERE id = CAST(:friend AS uuid))
    """
)


async def claim(session: AsyncSession, body: ReferralIn, *, at: datetime) -> Referral:
    """Note that the customer came by this code.

    Raises InvalidReferralCode, ReferralCodeNotFound, ReferralsClosed, AccountNotFound, CustomerWasErased,
    SelfReferral, NotANewCustomer, AlreadyReferred, ReferralCircle, LimitReached.
    """
    terms = await policy.current(session)
    if not terms.active:
        raise ReferralsClosed
    await customers.stop_merges(session)
    await session.execute(_IN_TURN)
    code = await own_codes.find(session, body.code)
    # Purchases are reckoned under the same locks: the first one is known, or comes after us.
    owners = await accounts.lock(session, [body.customer_id, code.origin_customer_id])
    if body.customer_id not in owners:
        raise AccountNotFound(customer_id=str(body.customer_id))
    await customers.check_not_erased(session, [body.customer_id])
    friend, referrer = owners[body.customer_id], owners[code.origin_customer_id]
    await _check_friend(session, friend, referrer)
    await _check_limit(session, referrer, terms.max_per_referrer, at)
    referral = Referral(
        id=uuid7(),
        customer_id=friend,
        origin_customer_id=body.customer_id,
        referrer_id=code.origin_customer_id,
        policy_version=terms.version,
        state=ReferralState.CLAIMED,
        claimed_at=at,
        qualify_by=at + timedelta(days=terms.qualify_days),
        version=1,
    )
    session.add(referral)
    await session.flush()
    return referral


async def get(session: AsyncSession, referral_id: UUID) -> Referral:
    """Raises ReferralNotFound."""
    found = await session.get(Referral, referral_id)
    if found is None:
        raise ReferralNotFound(referral_id=str(referral_id))
    return found


async def list_(
    session: AsyncSession,
    *,
    referrer_id: UUID | None,
    state: ReferralState | None,
    page: PageRequest,
) -> Listing[Referral]:
    """Who came by codes, the newest first; of one customer's codes, those of merged ids included."""
    statement = select(Referral)
    if referrer_id is not None:
        owner = await customers.resolve_one(session, referrer_id)
        statement = statement.where(Referral.referrer_id.in_(_ids_of(owner)))
    if state is not None:
        statement = statement.where(Referral.state == state)
    return await paginate(
        session,
        statement,
        [Key(Referral.id, descending=True)],
        page=page,
        filters=[referrer_id, state],
    )


async def _check_friend(session: AsyncSession, friend: UUID, referrer: UUID) -> None:
    if friend == referrer:
        raise SelfReferral
    if await session.scalar(select(select(Referral.id).where(Referral.customer_id == friend).exists())):
        raise AlreadyReferred
    bought = select(Purchase.purchase_id).where(Purchase.customer_id == friend).exists()
    if await session.scalar(select(bought)):
        raise NotANewCustomer
    if await session.scalar(_LEADS_BACK, {"referrer": referrer, "friend": friend}):
        raise ReferralCircle


async def _check_limit(session: AsyncSession, referrer: UUID, most: int | None, at: datetime) -> None:
    if most is None:
        return
    counts = or_(
        Referral.state == ReferralState.QUALIFIED,
        (Referral.state == ReferralState.CLAIMED) & (Referral.qualify_by >= at),
    )
    brought = select(func.count()).where(Referral.referrer_id.in_(_ids_of(referrer)), counts)
    if (await session.scalar(brought) or 0) >= most:
        raise LimitReached(scope="referrer", limit=most)


def _ids_of(owner: UUID) -> Select[UUID]:
    return select(Account.origin_customer_id).where(Account.customer_id == owner)
