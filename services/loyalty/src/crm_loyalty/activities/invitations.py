"""Invitations: sent to an audience, answered while there is room or a waiting list, and attended once."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from crm_loyalty.activities import activities
from crm_loyalty.earning import events
from crm_loyalty.errors import (
    ActivityHasBegun,
    ActivityNotYet,
    AlreadyAttended,
    InvalidInvitationCode,
    InvitationNotFound,
    NotOnTheGuestList,
)
from crm_loyalty.ledger import ledger
from crm_loyalty.models.activities import Activity, Invitation, InvitationState
from crm_loyalty.postings import ATTENDANCE, SOURCE, Earn
from crm_loyalty.rules import codes
from crm_shared import customers
from crm_shared.contracts.loyalty import ActivityAttended
from crm_shared.ids import uuid7
from crm_shared.outbox import publish
from crm_shared.pages import Key, Listing, PageRequest, paginate

_DOORS_OPEN = timedelta(days=1)
"""So long before an activity its first guests may be there."""


async def invite(
    session: AsyncSession, activity_id: UUID, customer_ids: Sequence[UUID], *, key: bytes, at: datetime
) -> list[Invitation]:
    """Invite each of them once, and answer their invitations; who is invited already keeps theirs.

    Raises ActivityNotFound, ActivityCancelled, CustomerWasErased.
    """
    await customers.stop_merges(session)
    await activities.held(session, activity_id)
    await customers.check_not_erased(session, customer_ids)
    owners = await customers.resolve(session, customer_ids)
    ids = {customer_id: uuid7() for customer_id in customer_ids}
    rows = [
        {
            "id": id,
            "activity_id": activity_id,
            "customer_id": owners[customer_id],
            "origin_customer_id": customer_id,
            "digest": codes.digest(codes.code_of(key, id)),
            "state": InvitationState.INVITED,
            "invited_at": at,
            "version": 1,
        }
        for customer_id, id in ids.items()
    ]
    await session.execute(insert(Invitation).on_conflict_do_nothing(), rows)
    invited = select(Invitation).where(
        Invitation.activity_id == activity_id, Invitation.origin_customer_id.in_(customer_ids)
    )
    return list(await session.scalars(invited.order_by(Invitation.id)))


async def list_(
    session: AsyncSession,
    activity_id: UUID,
    *,
    state: InvitationState | None,
    page: PageRequest,
) -> Listing[Invitation]:
    """Who is invited, in the order in which they were; raises ActivityNotFound."""
    await activities.get(session, activity_id)
    statement = select(Invitation).where(Invitation.activity_id == activity_id)
    if state is not None:
        statement = statement.where(Invitation.state == state)
    return await paginate(
        session,
        statement,
        [Key(Invitation.id)],
        page=page,
        filters=[activity_id, state],
    )


async def answer(
    session: AsyncSession, activity_id: UUID, code: str, *, coming: bool, at: datetime
) -> Invitation:
    """Note a yes or a no: who comes stands in line, and the line fills the seats, whoever left them.

    Raises ActivityNotFound, ActivityCancelled, ActivityHasBegun, InvalidInvitationCode, InvitationNotFound,
    AlreadyAttended.
    """
    await customers.stop_merges(session)
    activity = await activities.held(session, activity_id)
    if at >= activity.starts_at:
        raise ActivityHasBegun(starts_at=activity.starts_at)
    invitation = await _by_code(session, activity_id, code)
    if invitation.attended_at is not None and not coming:
        raise AlreadyAttended
    in_line = invitation.state in (InvitationState.ACCEPTED, InvitationState.WAITLISTED)
    if coming != in_line or invitation.state is InvitationState.INVITED:
        invitation.state = InvitationState.WAITLISTED if coming else InvitationState.DECLINED
        invitation.answered_at, invitation.version = at, invitation.version + 1
        await session.flush()
    await _fill(session, activity)
    return invitation


async def check_in(session: AsyncSession, activity_id: UUID, code: str, *, at: datetime) -> Invitation:
    """Note that the customer is there, once, and give the points for it.

    Raises ActivityNotFound, ActivityCancelled, ActivityNotYet, InvalidInvitationCode, InvitationNotFound,
    NotOnTheGuestList, AlreadyAttended.
    """
    await customers.stop_merges(session)
    activity = await activities.held(session, activity_id)
    if at < activity.starts_at - _DOORS_OPEN:
        raise ActivityNotYet(starts_at=activity.starts_at)
    invitation = await _by_code(session, activity_id, code)
    if invitation.state is not InvitationState.ACCEPTED:
        raise NotOnTheGuestList(state=invitation.state.value)
    # After a merge one person may have two invitations: who is there is there once.
    there = select(Invitation.id).where(
        Invitation.activity_id == activity_id,
        Invitation.customer_id == invitation.customer_id,
        Invitation.attended_at.is_not(None),
    )
    if await session.scalar(there.limit(1)) is not None:
        raise AlreadyAttended
    invitation.attended_at, invitation.version = at, invitation.version + 1
    if activity.points:
        posting = Earn(
            customer_id=invitation.origin_customer_id,
            source=SOURCE,
            reference=f"{ATTENDANCE} {invitation.id}",
            effective_at=at,
            points=activity.points,
        )
        [verdict] = await ledger.post(session, [posting], at=at)
        invitation.transaction_id = verdict.accepted().id
    told = _told(activity, invitation, at)
    publish(session, told, at=at)
    await session.flush()
    await events.award(session, [told], at=at)
    return invitation


def shown(row: Invitation, key: bytes) -> str | None:
    """The code as people read it; None when it was made with another key than today's."""
    return codes.shown_again(key, row.id, row.digest)


async def _by_code(session: AsyncSession, activity_id: UUID, typed: str) -> Invitation:
    code = codes.normal(typed)
    if code is None:
        raise InvalidInvitationCode
    found = await session.scalar(
        select(Invitation).where(
            Invitation.digest == codes.digest(code), Invitation.activity_id == activity_id
        )
    )
    if found is None:
        raise InvitationNotFound
    return found


async def _fill(session: AsyncSession, activity: Activity) -> None:
    """Give free seats to those who have waited longest; the activity's lock keeps others from doing so."""
    mine = Invitation.activity_id == activity.id
    line = (
        select(Invitation)
        .where(mine, Invitation.state == InvitationState.WAITLISTED)
        .order_by(Invitation.answered_at, Invitation.id)
    )
    if activity.capacity is not None:
        accepted = select(func.count()).where(mine, Invitation.state == InvitationState.ACCEPTED)
        free = activity.capacity - (await session.scalar(accepted) or 0)
        if free <= 0:
            return
        line = line.limit(free)
    for invitation in await session.scalars(line):
        invitation.state, invitation.version = InvitationState.ACCEPTED, invitation.version + 1
    await session.flush()


def _told(activity: Activity, invitation: Invitation, at: datetime) -> ActivityAttended:
    return ActivityAttended(
        customer_id=invitation.origin_customer_id,
        version=invitation.version,
        invitation_id=invitation.id,
        activity_id=activity.id,
        attended_at=at,
        points=activity.points,
    )
