"""Pools over HTTP: households that share their points."""

from typing import Annotated
from uuid import UUID

from fastapi import Query, Response

from crm_loyalty.errors import (
    AccountNotFound,
    AlreadyInPool,
    HeadOnly,
    MembershipEnded,
    NotAMember,
    PoolDissolved,
    PoolIsFull,
    PoolMemberNotFound,
    PoolNotFound,
)
from crm_loyalty.models.pools import MemberState, Pool, PoolMember
from crm_loyalty.pools import members, pools
from crm_loyalty.schemas.pools import InviteeIn, PoolIn, PoolMemberOut, PoolOut, PoolPatch
from crm_shared.callers import READERS, STAFF, Role
from crm_shared.customers import CustomerNotFound, CustomerWasErased
from crm_shared.etags import StaleVersion, etag
from crm_shared.pages import InvalidCursor, Listing, Page
from crm_shared.web.idempotency import requires_key
from crm_shared.web.problems import documented
from crm_shared.web.router import Router
from crm_shared.web.session import (
    CurrentCaller,
    CurrentClock,
    IfMatch,
    Paging,
    Session,
    allow,
)

router = Router(tags=["pools"])


@router.post(
    "/v1/pools",
    status_code=201,
    response_model=PoolOut,
    dependencies=[allow(*STAFF, Role.CUSTOMER), requires_key],
    responses=documented(AccountNotFound, AlreadyInPool, CustomerNotFound, CustomerWasErased, PoolIsFull),
)
async def create_pool(session: Session, clock: CurrentClock, caller: CurrentCaller, body: PoolIn) -> Pool:
    """Make a pool, in which a household shares its points; customers make their own.

    Each keeps an account of their own: who earns points has them, and tiers and caps are as without a pool.
    What a member spends or reserves comes from the lots of all, what expires first goes first. Who is in a
    pool cannot be in another one.
    """
    return await pools.create(session, body, caller, at=clock.now())


@router.get(
    "/v1/pools",
    response_model=Page[PoolOut],
    dependencies=[allow(*READERS)],
    responses=documented(InvalidCursor),
)
async def list_pools(session: Session, page: Paging) -> Listing[Pool]:
    """List pools, the newest first."""
    return await pools.list_(session, page=page)


@router.get(
    "/v1/pools/{pool_id}",
    response_model=PoolOut,
    dependencies=[allow(*READERS, Role.CUSTOMER)],
    responses=documented(PoolNotFound),
)
async def get_pool(session: Session, caller: CurrentCaller, response: Response, pool_id: UUID) -> Pool:
    """Read on which terms points are shared. To customers who are not in it, a pool is not there."""
    found = await pools.get(session, pool_id, caller)
    response.headers["ETag"] = etag(found.version)
    return found


@router.patch(
    "/v1/pools/{pool_id}",
    response_model=PoolOut,
    dependencies=[allow(*STAFF, Role.CUSTOMER)],
    responses=documented(PoolNotFound, PoolDissolved, HeadOnly, StaleVersion),
)
async def change_pool(
    session: Session,
    caller: CurrentCaller,
    response: Response,
    pool_id: UUID,
    body: PoolPatch,
    if_match: IfMatch = None,
) -> Pool:
    """Change its name, who may spend what all have, and how much in a day; the head or staff do."""
    changed = await pools.change(session, pool_id, body, caller, if_match=if_match)
    response.headers["ETag"] = etag(changed.version)
    return changed


@router.post(
    "/v1/pools/{pool_id}/dissolve",
    response_model=PoolOut,
    dependencies=[allow(*STAFF, Role.CUSTOMER), requires_key],
    responses=documented(PoolNotFound, PoolDissolved, HeadOnly),
)
async def dissolve_pool(session: Session, clock: CurrentClock, caller: CurrentCaller, pool_id: UUID) -> Pool:
    """Share no more: each has what their own lots have left, and holds that were placed are honoured."""
    return await pools.dissolve(session, pool_id, caller, at=clock.now())


@router.get(
    "/v1/pools/{pool_id}/members",
    response_model=Page[PoolMemberOut],
    dependencies=[allow(*READERS, Role.CUSTOMER)],
    responses=documented(PoolNotFound, InvalidCursor),
)
async def list_pool_members(
    session: Session,
    page: Paging,
    caller: CurrentCaller,
    pool_id: UUID,
    state: Annotated[MemberState | None, Query(description="only those in this state")] = None,
) -> Listing[PoolMember]:
    """List who is invited, a member, or was one, in the order of the invitations."""
    return await members.list_(session, pool_id, caller, state=state, page=page)


@router.post(
    "/v1/pools/{pool_id}/members",
    response_model=PoolMemberOut,
    dependencies=[allow(*STAFF, Role.CUSTOMER), requires_key],
    responses=documented(
        AccountNotFound, CustomerWasErased, HeadOnly, PoolDissolved, PoolIsFull, PoolNotFound
    ),
)
async def invite_to_pool(
    session: Session, clock: CurrentClock, caller: CurrentCaller, pool_id: UUID, body: InviteeIn
) -> PoolMember:
    """Ask a customer into the pool; nothing is shared before they agree. Who is asked already stays so."""
    return await members.invite(session, pool_id, body.customer_id, caller, at=clock.now())


@router.post(
    "/v1/pools/{pool_id}/members/{member_id}/accept",
    response_model=PoolMemberOut,
    dependencies=[allow(*STAFF, Role.CUSTOMER), requires_key],
    responses=documented(
        AlreadyInPool, MembershipEnded, PoolDissolved, PoolIsFull, PoolMemberNotFound, PoolNotFound
    ),
)
async def accept_pool_invitation(
    session: Session, clock: CurrentClock, caller: CurrentCaller, pool_id: UUID, member_id: UUID
) -> PoolMember:
    """Share one's points from now on; customers accept for themselves, staff for them."""
    return await members.accept(session, pool_id, member_id, caller, at=clock.now())


@router.post(
    "/v1/pools/{pool_id}/members/{member_id}/leave",
    response_model=PoolMemberOut,
    dependencies=[allow(*STAFF, Role.CUSTOMER), requires_key],
    responses=documented(PoolDissolved, PoolMemberNotFound, PoolNotFound),
)
async def leave_pool(
    session: Session, clock: CurrentClock, caller: CurrentCaller, pool_id: UUID, member_id: UUID
) -> PoolMember:
    """Go with what one's own lots have left, or decline the invitation.

    Holds that were placed before are honoured. When the head goes, who has been a member for longest becomes
    the head; when the last one goes, the pool is dissolved.
    """
    return await members.leave(session, pool_id, member_id, caller, at=clock.now())


@router.post(
    "/v1/pools/{pool_id}/members/{member_id}/remove",
    response_model=PoolMemberOut,
    dependencies=[allow(*STAFF, Role.CUSTOMER), requires_key],
    responses=documented(HeadOnly, PoolDissolved, PoolMemberNotFound, PoolNotFound),
)
async def remove_pool_member(
    session: Session, clock: CurrentClock, caller: CurrentCaller, pool_id: UUID, member_id: UUID
) -> PoolMember:
    """Send a member away, or withdraw an invitation; the head or staff do."""
    return await members.remove(session, pool_id, member_id, caller, at=clock.now())


@router.post(
    "/v1/pools/{pool_id}/members/{member_id}/appoint",
    response_model=PoolMemberOut,
    dependencies=[allow(*STAFF, Role.CUSTOMER), requires_key],
    responses=documented(HeadOnly, NotAMember, PoolDissolved, PoolMemberNotFound, PoolNotFound),
)
async def appoint_pool_head(
    session: Session, caller: CurrentCaller, pool_id: UUID, member_id: UUID
) -> PoolMember:
    """Make a member the head, in the place of who was it; the head or staff do."""
    return await members.appoint(session, pool_id, member_id, caller)


@router.get(
    "/v1/accounts/{customer_id}/pool-memberships",
    response_model=Page[PoolMemberOut],
    dependencies=[allow(*READERS, Role.CUSTOMER, own="customer_id")],
    responses=documented(CustomerNotFound, InvalidCursor),
)
async def list_pool_memberships(
    session: Session,
    page: Paging,
    customer_id: UUID,
) -> Listing[PoolMember]:
    """List a customer's invitations to pools and memberships, the newest first."""
    return await members.list_of(session, customer_id, page=page)
