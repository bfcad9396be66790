"""What follows from who belongs to a pool: which accounts take part, who is the head, when it is no more."""

from collections.abc import Collection
from datetime import datetime
from uuid import UUID

from sqlalchemy import ARRAY, ColumnElement, DateTime, Uuid, bindparam, case, exists, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from crm_loyalty.models.ledger import Account
from crm_loyalty.models.pools import Ending, MemberState, Pool, PoolMember
from crm_shared import customers
from crm_shared.contracts.loyalty import PoolLeft
from crm_shared.outbox import News, publish_many

_OF_WHO_IS_INVITED = {Ending.LEFT: Ending.DECLINED, Ending.REMOVED: Ending.WITHDRAWN}

_ACCOUNTS = text(
    """
    UPDATE accounts SET pool_id = belonging.pool_id
    FROM (
        SELECT account.id, (
            SELECT member.pool_id FROM pool_members AS member
            WHERE member.customer_id = account.customer_id AND member.state = 'active' LIMIT 1
        ) AS pool_id
        FROM accounts AS account
        WHERE account.id IN (
            SELECT id FROM accounts WHERE pool_id = ANY(CAST(:pools AS uuid[]))
            UNION
            SELECT a.id FROM pool_members AS member JOIN accounts AS a ON a.customer_id = member.customer_id
            WHERE member.pool_id = ANY(CAST(:pools AS uuid[])) AND member.state = 'active'
        )
    ) AS belonging
    WHERE accounts.id = belonging.id AND accounts.pool_id IS DISTINCT FROM belonging.pool_id
    """
).bindparams(bindparam("pools", type_=ARRAY(Uuid)))

_HEADS = text(
    """
    UPDATE pool_members SET head = true, version = version + 1
    WHERE id IN (
        SELECT DISTINCT ON (pool_id) id FROM pool_members AS member
        WHERE pool_id = ANY(CAST(:pools AS uuid[])) AND state = 'active' AND NOT EXISTS (
            SELECT FROM pool_members AS head
            WHERE head.pool_id = member.pool_id AND head.head AND head.state = 'active'
        )
        ORDER BY pool_id, joined_at, id
    )
    """
).bindparams(bindparam("pools", type_=ARRAY(Uuid)))

_DISSOLVE = text(
    """
    UPDATE pools SET dissolved_at = :at, version = version + 1
    WHERE id = ANY(CAST(:pools AS uuid[])) AND dissolved_at IS NULL
        AND NOT EXISTS (SELECT FROM pool_members WHERE pool_id = pools.id AND state = 'active')
    RETURNING id
    """
).bindparams(bindparam("pools", type_=ARRAY(Uuid)), bindparam("at", type_=DateTime(timezone=True)))

_OF_ANOTHER_POOL = text(
    """
    SELECT id FROM (
        SELECT id, pool_id, first_value(pool_id) OVER (
            PARTITION BY customer_id ORDER BY origin_customer_id = customer_id DESC, joined_at, id
        ) AS kept
        FROM pool_members WHERE customer_id = ANY(CAST(:owners AS uuid[])) AND state = 'active'
    ) AS member WHERE pool_id <> kept
    """
).bindparams(bindparam("owners", type_=ARRAY(Uuid)))


async def settle(session: AsyncSession, pool_ids: Collection[UUID], *, at: datetime) -> None:
    """Bring these pools to what follows from their members.

    The ledger goes by the accounts, so all of a member's take part. Without a head, who has been a member
    for longest becomes it; without members, the pool is dissolved.
    """
    pools = sorted(pool_ids)
    await session.flush()
    await session.execute(_ACCOUNTS, {"pools": pools})
    await session.execute(_HEADS, {"pools": pools})
    over = list(await session.scalars(_DISSOLVE, {"pools": pools, "at": at}))
    if over:
        await end(session, PoolMember.pool_id.in_(over), ending=Ending.DISSOLVED, at=at)


async def end(session: AsyncSession, which: ColumnElement[bool], *, ending: Ending, at: datetime) -> None:
    """End these memberships and invitations, tell of the former, and settle the pools."""
    invited = PoolMember.state == MemberState.INVITED
    ended = (
        (
            await session.execute(
                update(PoolMember)
                .where(which, PoolMember.state != MemberState.ENDED)
                .values(
                    state=MemberState.ENDED,
                    ending=case((invited, _OF_WHO_IS_INVITED.get(ending, ending)), else_=ending),
                    ended_at=at,
                    version=PoolMember.version + 1,
                )
                .returning(PoolMember)
                .execution_options(synchronize_session=False, populate_existing=True)
            )
        )
        .scalars()
        .all()
    )
    left = [
        PoolLeft(
            customer_id=member.origin_customer_id,
            version=member.version,
            member_id=member.id,
            pool_id=member.pool_id,
            head=member.head,
            left_at=at,
            reason=ending.value,
        )
        for member in ended
        if member.joined_at is not None
    ]
    await publish_many(session, [News(event) for event in left], at=at)
    if left:
        await settle(session, {event.pool_id for event in left}, at=at)


async def follow(session: AsyncSession, customer_ids: Collection[UUID], *, at: datetime) -> None:
    """After these customers were merged or parted: one customer has one pool, and all accounts are in it.

    Of two pools the survivor's own stays, or else the one that was joined first; the other is left for good,
    also if the merge is undone.
    """
    owners = set((await customers.resolve(session, customer_ids)).values())
    pools = await of(session, owners)
    if not pools:
        return
    leaving = list(await session.scalars(_OF_ANOTHER_POOL, {"owners": sorted(owners)}))
    if leaving:
        await end(session, PoolMember.id.in_(leaving), ending=Ending.MERGED, at=at)
    await settle(session, pools, at=at)


async def of(session: AsyncSession, owners: Collection[UUID]) -> set[UUID]:
    """The pools of these customers, by their memberships or by their accounts."""
    by_account = select(Account.pool_id).where(Account.customer_id.in_(owners), Account.pool_id.is_not(None))
    by_member = select(PoolMember.pool_id).where(
        PoolMember.customer_id.in_(owners), PoolMember.state == MemberState.ACTIVE
    )
    found = await session.scalars(by_account.union(by_member))
    return {id for id in found if id is not None}


async def forget(session: AsyncSession, pool_ids: Collection[UUID], *, at: datetime) -> None:
    """Some of their members were erased; a name that may be a lost head's goes too."""
    if not pool_ids:
        return
    headed = exists().where(
        PoolMember.pool_id == Pool.id, PoolMember.head, PoolMember.state == MemberState.ACTIVE
    )
    await session.execute(
        update(Pool)
        .where(Pool.id.in_(pool_ids), ~headed)
        .values(name=None, version=Pool.version + 1)
        .execution_options(synchronize_session=False)
    )
    await settle(session, pool_ids, at=at)
