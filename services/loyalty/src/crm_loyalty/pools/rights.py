"""What customers may do about pools: see those that they belong to, manage those whose head they are."""

from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from crm_loyalty.errors import HeadOnly, PoolMemberNotFound, PoolNotFound
from crm_loyalty.models.pools import MemberState, PoolMember
from crm_shared import customers
from crm_shared.callers import READERS, STAFF, Caller
from crm_shared.customers import CustomerNotFound


async def check_self(session: AsyncSession, customer_id: UUID, caller: Caller) -> None:
    """Raises CustomerNotFound to customers who ask for somebody else."""
    if not caller.has(STAFF) and not await _is(session, caller, customer_id):
        raise CustomerNotFound(customer_id=str(customer_id))


async def check_own(session: AsyncSession, member: PoolMember, caller: Caller) -> None:
    """Raises PoolMemberNotFound to customers whose membership it is not."""
    if not caller.has(STAFF) and not await _is(session, caller, member.customer_id):
        raise PoolMemberNotFound(member_id=str(member.id))


async def check_reader(session: AsyncSession, pool_id: UUID, caller: Caller) -> None:
    """Raises PoolNotFound to customers who neither belong to the pool nor are invited."""
    if not caller.has(READERS):
        await _standing(session, pool_id, caller)


async def check_head(session: AsyncSession, pool_id: UUID, caller: Caller) -> None:
    """Raises PoolNotFound or HeadOnly to customers who are not the pool's head."""
    if not caller.has(STAFF) and not await _standing(session, pool_id, caller):
        raise HeadOnly


async def _is(session: AsyncSession, caller: Caller, customer_id: UUID) -> bool:
    if caller.customer_id is None:
        return False
    owners = await customers.resolve(session, [caller.customer_id, customer_id])
    return owners[caller.customer_id] == owners[customer_id]


async def _standing(session: AsyncSession, pool_id: UUID, caller: Caller) -> bool:
    """Whether the caller is the head; raises PoolNotFound to who is nothing in it."""
    if caller.customer_id is None:
        raise PoolNotFound(pool_id=str(pool_id))
    owners = await customers.resolve(session, [caller.customer_id])
    heads = (
        await session.scalars(
            select(PoolMember.head).where(
                PoolMember.pool_id == pool_id,
                PoolMember.customer_id == owners[caller.customer_id],
                PoolMember.state != MemberState.ENDED,
            )
        )
    ).all()
    if not heads:
        raise PoolNotFound(pool_id=str(pool_id))
    return any(heads)
