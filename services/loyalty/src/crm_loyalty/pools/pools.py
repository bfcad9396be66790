"""Pools: made by a head, changed, dissolved."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from crm_loyalty.errors import AccountNotFound, AlreadyInPool, PoolDissolved, PoolIsFull, PoolNotFound
from crm_loyalty.ledger import accounts, points_policy
from crm_loyalty.models.pools import Ending, MemberState, Pool, PoolMember
from crm_loyalty.pools import belonging, rights
from crm_loyalty.schemas.pools import PoolIn, PoolPatch
from crm_shared import customers, etags
from crm_shared.callers import Caller
from crm_shared.contracts.loyalty import PoolJoined
from crm_shared.ids import uuid7
from crm_shared.outbox import publish
from crm_shared.pages import Key, Listing, PageRequest, paginate


async def create(session: AsyncSession, body: PoolIn, caller: Caller, *, at: datetime) -> Pool:
    """Make a pool with a head, who is its first member.

    Raises AccountNotFound, AlreadyInPool, CustomerNotFound, CustomerWasErased, PoolIsFull.
    """
    await customers.stop_merges(session)
    await rights.check_self(session, body.head, caller)
    await customers.check_not_erased(session, [body.head])
    policy = await points_policy.current(session)
    if not policy.pool_members_max:
        raise PoolIsFull("The programme has no pools.", limit=0)
    owner = await lock_outsider(session, body.head)
    pool = Pool(
        id=uuid7(),
        name=body.name,
        spending=body.spending,
        daily_limit=body.daily_limit,
        created_at=at,
        created_by=caller.subject,
        version=1,
    )
    session.add(pool)
    await session.flush()
    head = PoolMember(
        id=uuid7(),
        pool_id=pool.id,
        customer_id=owner,
        origin_customer_id=body.head,
        head=True,
        state=MemberState.ACTIVE,
        invited_at=at,
        joined_at=at,
        version=1,
    )
    session.add(head)
    welcome(session, head, at=at)
    await belonging.settle(session, [pool.id], at=at)
    return pool


async def lock_outsider(session: AsyncSession, customer_id: UUID, *beside: UUID) -> UUID:
    """Lock the accounts of who is about to join a pool, and of the members `beside`; who that is today.

    Raises AccountNotFound, AlreadyInPool.
    """
    owners = await accounts.lock(session, [customer_id, *beside])
    if customer_id not in owners:
        raise AccountNotFound(customer_id=str(customer_id))
    owner = owners[customer_id]
    active = (PoolMember.customer_id == owner, PoolMember.state == MemberState.ACTIVE)
    pool_id = await session.scalar(select(PoolMember.pool_id).where(*active).limit(1))
    if pool_id is not None:
        raise AlreadyInPool(pool_id=str(pool_id))
    return owner


async def get(session: AsyncSession, pool_id: UUID, caller: Caller) -> Pool:
    """Raises PoolNotFound."""
    await rights.check_reader(session, pool_id, caller)
    pool = await session.get(Pool, pool_id)
    if pool is None:
        raise PoolNotFound(pool_id=str(pool_id))
    return pool


async def lock(session: AsyncSession, pool_id: UUID) -> Pool:
    """The pool, locked, unless it is no more; raises PoolNotFound, PoolDissolved."""
    await customers.stop_merges(session)
    pool = await session.get(Pool, pool_id, with_for_update=True, populate_existing=True)
    if pool is None:
        raise PoolNotFound(pool_id=str(pool_id))
    if pool.dissolved_at is not None:
        raise PoolDissolved(dissolved_at=pool.dissolved_at)
    return pool


async def list_(session: AsyncSession, *, page: PageRequest) -> Listing[Pool]:
    """Pools, the newest first."""
    return await paginate(
        session,
        select(Pool),
        [Key(Pool.id, descending=True)],
        page=page,
    )


async def change(
    session: AsyncSession, pool_id: UUID, body: PoolPatch, caller: Caller, *, if_match: str | None
) -> Pool:
    """Apply what was sent; raises HeadOnly, PoolDissolved, PoolNotFound, StaleVersion."""
    await rights.check_head(session, pool_id, caller)
    pool = await lock(session, pool_id)
    etags.check(if_match, pool.version)
    sent = body.model_dump(exclude_unset=True)
    changed = {name: value for name, value in sent.items() if getattr(pool, name) != value}
    for name, value in changed.items():
        setattr(pool, name, value)
    if changed:
        pool.version += 1
    await session.flush()
    return pool


async def dissolve(session: AsyncSession, pool_id: UUID, caller: Caller, *, at: datetime) -> Pool:
    """Each goes with what their own lots have left; raises HeadOnly, PoolDissolved, PoolNotFound."""
    await rights.check_head(session, pool_id, caller)
    pool = await lock(session, pool_id)
    await accounts.lock(session, await origins(session, pool_id))
    await belonging.end(session, PoolMember.pool_id == pool_id, ending=Ending.DISSOLVED, at=at)
    await session.refresh(pool)
    return pool


async def origins(session: AsyncSession, pool_id: UUID) -> list[UUID]:
    """The ids under which the members joined."""
    active = (PoolMember.pool_id == pool_id, PoolMember.state == MemberState.ACTIVE)
    return list(await session.scalars(select(PoolMember.origin_customer_id).where(*active)))


def welcome(session: AsyncSession, member: PoolMember, *, at: datetime) -> None:
    """Tell that somebody shares their points now."""
    event = PoolJoined(
        customer_id=member.origin_customer_id,
        version=member.version,
        member_id=member.id,
        pool_id=member.pool_id,
        head=member.head,
        joined_at=at,
    )
    publish(session, event, at=at)
