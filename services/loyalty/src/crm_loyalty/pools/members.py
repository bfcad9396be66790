"""Members of pools: invited, taken in when they agree, and gone with what is their own."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import and_, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from crm_loyalty.errors import MembershipEnded, NotAMember, PoolIsFull, PoolMemberNotFound
from crm_loyalty.ledger import accounts, points_policy
from crm_loyalty.models.pools import Ending, MemberState, PoolMember
from crm_loyalty.pools import belonging, pools, rights
from crm_shared import customers
from crm_shared.callers import Caller
from crm_shared.ids import uuid7
from crm_shared.pages import Key, Listing, PageRequest, paginate


async def invite(
    session: AsyncSession, pool_id: UUID, customer_id: UUID, caller: Caller, *, at: datetime
) -> PoolMember:
    """Ask a customer into the pool; who is invited or a member already stays so.

    Raises AccountNotFound, CustomerWasErased, HeadOnly, PoolDissolved, PoolIsFull, PoolNotFound.
    """
    await rights.check_head(session, pool_id, caller)
    await pools.lock(session, pool_id)
    await customers.check_not_erased(session, [customer_id])
    owner = await accounts.owner(session, customer_id)
    belongs = (PoolMember.pool_id == pool_id, PoolMember.state != MemberState.ENDED)
    known = await session.scalar(
        select(PoolMember).where(*belongs, PoolMember.customer_id == owner).order_by(PoolMember.id).limit(1)
    )
    if known is not None:
        return known
    await _check_room(session, pool_id, MemberState.INVITED, MemberState.ACTIVE)
    member = PoolMember(
        id=uuid7(),
        pool_id=pool_id,
        customer_id=owner,
        origin_customer_id=customer_id,
        head=False,
        state=MemberState.INVITED,
        invited_at=at,
        version=1,
    )
    session.add(member)
    await session.flush()
    return member


async def accept(
    session: AsyncSession, pool_id: UUID, member_id: UUID, caller: Caller, *, at: datetime
) -> PoolMember:
    """Share one's points from now on; who does already, does.

    Raises AlreadyInPool, MembershipEnded, PoolDissolved, PoolIsFull, PoolMemberNotFound, PoolNotFound.
    """
    member = await _own(session, pool_id, member_id, caller)
    if member.state is MemberState.ACTIVE:
        return member
    if member.ending is not None:
        raise MembershipEnded(ending=member.ending.value)
    # The members too: whoever has locked them may count on it that nobody comes in before the end.
    beside = await pools.origins(session, pool_id)
    await pools.lock_outsider(session, member.origin_customer_id, *beside)
    await _check_room(session, pool_id, MemberState.ACTIVE)
    member.state, member.joined_at, member.version = MemberState.ACTIVE, at, member.version + 1
    pools.welcome(session, member, at=at)
    await belonging.settle(session, [pool_id], at=at)
    return member


async def leave(
    session: AsyncSession, pool_id: UUID, member_id: UUID, caller: Caller, *, at: datetime
) -> PoolMember:
    """Go with what one's own lots have left, or decline; who has gone, has.

    Raises PoolDissolved, PoolMemberNotFound, PoolNotFound.
    """
    member = await _own(session, pool_id, member_id, caller)
    return await _end(session, member, Ending.LEFT, at=at)


async def remove(
    session: AsyncSession, pool_id: UUID, member_id: UUID, caller: Caller, *, at: datetime
) -> PoolMember:
    """Send a member away or withdraw an invitation; who has gone, has.

    Raises HeadOnly, PoolDissolved, PoolMemberNotFound, PoolNotFound.
    """
    await rights.check_head(session, pool_id, caller)
    await pools.lock(session, pool_id)
    return await _end(session, await _get(session, pool_id, member_id), Ending.REMOVED, at=at)


async def appoint(session: AsyncSession, pool_id: UUID, member_id: UUID, caller: Caller) -> PoolMember:
    """Make a member the head, in the place of who was it.

    Raises HeadOnly, NotAMember, PoolDissolved, PoolMemberNotFound, PoolNotFound.
    """
    await rights.check_head(session, pool_id, caller)
    await pools.lock(session, pool_id)
    member = await _get(session, pool_id, member_id)
    if member.state is not MemberState.ACTIVE:
        raise NotAMember(state=member.state.value)
    if member.head:
        return member
    heads = (PoolMember.pool_id == pool_id, PoolMember.head, PoolMember.state == MemberState.ACTIVE)
    step_down = update(PoolMember).where(*heads).values(head=False, version=PoolMember.version + 1)
    await session.execute(step_down.execution_options(synchronize_session=False))
    member.head, member.version = True, member.version + 1
    await session.flush()
    return member


async def list_(
    session: AsyncSession,
    pool_id: UUID,
    caller: Caller,
    *,
    state: MemberState | None,
    page: PageRequest,
) -> Listing[PoolMember]:
    """Who belongs or belonged to the pool, in the order of the invitations; raises PoolNotFound."""
    await pools.get(session, pool_id, caller)
    statement = select(PoolMember).where(PoolMember.pool_id == pool_id)
    if state is not None:
        statement = statement.where(PoolMember.state == state)
    keys, filters = [Key(PoolMember.id)], [str(pool_id), state]
    return await paginate(session, statement, keys, page=page, filters=filters)


async def list_of(session: AsyncSession, customer_id: UUID, *, page: PageRequest) -> Listing[PoolMember]:
    """The customer's invitations and memberships, the newest first."""
    owners = await customers.resolve(session, [customer_id])
    statement = select(PoolMember).where(PoolMember.customer_id == owners[customer_id])
    keys, filters = [Key(PoolMember.id, descending=True)], [str(customer_id)]
    return await paginate(session, statement, keys, page=page, filters=filters)


async def _own(session: AsyncSession, pool_id: UUID, member_id: UUID, caller: Caller) -> PoolMember:
    """The caller's membership, with the pool locked unless it has ended."""
    member = await _get(session, pool_id, member_id)
    await rights.check_own(session, member, caller)
    if member.state is MemberState.ENDED:
        return member
    await pools.lock(session, pool_id)
    return await _get(session, pool_id, member_id)


async def _get(session: AsyncSession, pool_id: UUID, member_id: UUID) -> PoolMember:
    found = await session.get(PoolMember, member_id, populate_existing=True)
    if found is None or found.pool_id != pool_id:
        raise PoolMemberNotFound(member_id=str(member_id))
    return found


async def _end(session: AsyncSession, member: PoolMember, ending: Ending, *, at: datetime) -> PoolMember:
    """After a merge a customer may have several memberships in the pool: all of them end."""
    if member.state is MemberState.ENDED:
        return member
    await accounts.lock(session, [member.origin_customer_id])
    theirs = and_(PoolMember.pool_id == member.pool_id, PoolMember.customer_id == member.customer_id)
    await belonging.end(session, theirs, ending=ending, at=at)
    await session.refresh(member)
    return member


async def _check_room(session: AsyncSession, pool_id: UUID, *counted: MemberState) -> None:
    """Asked with the pool locked; raises PoolIsFull."""
    limit = (await points_policy.current(session)).pool_members_max
    who = select(func.count(PoolMember.customer_id.distinct())).where(
        PoolMember.pool_id == pool_id, PoolMember.state.in_(counted)
    )
    if (await session.scalar(who) or 0) >= limit:
        raise PoolIsFull(f"A pool has {limit} members at most.", limit=limit)
