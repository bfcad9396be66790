"""Activities over HTTP: announced, invited to, answered, attended."""

from typing import Annotated
from uuid import UUID

from fastapi import Query, Response

from crm_loyalty.activities import activities, invitations
from crm_loyalty.errors import (
    ActivityCancelled,
    ActivityHasBegun,
    ActivityNotFound,
    ActivityNotYet,
    AlreadyAttended,
    InvalidInvitationCode,
    InvitationNotFound,
    NotOnTheGuestList,
)
from crm_loyalty.models.activities import Activity, Invitation, InvitationState
from crm_loyalty.routes.settings import CurrentSettings
from crm_loyalty.schemas.activities import (
    ActivityIn,
    ActivityOut,
    AnswerIn,
    CheckInIn,
    InvitationOut,
    InvitationsIn,
    InvitedOut,
)
from crm_shared.callers import READERS, STAFF, SUPERVISORS
from crm_shared.customers import CustomerWasErased
from crm_shared.etags import etag
from crm_shared.pages import InvalidCursor, Listing, Page
from crm_shared.web.idempotency import requires_key
from crm_shared.web.problems import documented
from crm_shared.web.router import Router
from crm_shared.web.session import (
    CurrentCaller,
    CurrentClock,
    Paging,
    Session,
    allow,
)

router = Router(tags=["activities"])


@router.post(
    "/v1/activities",
    status_code=201,
    response_model=ActivityOut,
    dependencies=[allow(*SUPERVISORS), requires_key],
)
async def create_activity(
    session: Session, clock: CurrentClock, caller: CurrentCaller, body: ActivityIn
) -> Activity:
    """Announce something that customers are invited to."""
    return await activities.create(session, body, at=clock.now(), by=caller.subject)


@router.get(
    "/v1/activities",
    response_model=Page[ActivityOut],
    dependencies=[allow(*READERS)],
    responses=documented(InvalidCursor),
)
async def list_activities(session: Session, page: Paging) -> Listing[Activity]:
    """List activities, the newest first."""
    return await activities.list_(session, page=page)


@router.get(
    "/v1/activities/{activity_id}",
    response_model=ActivityOut,
    dependencies=[allow(*READERS)],
    responses=documented(ActivityNotFound),
)
async def get_activity(session: Session, response: Response, activity_id: UUID) -> Activity:
    """Read where and when, and how many find room."""
    found = await activities.get(session, activity_id)
    response.headers["ETag"] = etag(found.version)
    return found


@router.post(
    "/v1/activities/{activity_id}/cancel",
    response_model=ActivityOut,
    dependencies=[allow(*SUPERVISORS), requires_key],
    responses=documented(ActivityNotFound, ActivityCancelled),
)
async def cancel_activity(session: Session, clock: CurrentClock, activity_id: UUID) -> Activity:
    """Call it off: nobody answers or comes any more."""
    return await activities.cancel(session, activity_id, at=clock.now())


@router.post(
    "/v1/activities/{activity_id}/invitations",
    response_model=InvitedOut,
    dependencies=[allow(*STAFF), requires_key],
    responses=documented(ActivityNotFound, ActivityCancelled, CustomerWasErased),
)
async def invite_to_activity(
    session: Session, clock: CurrentClock, settings: CurrentSettings, activity_id: UUID, body: InvitationsIn
) -> InvitedOut:
    """Invite customers, each with a code of their own; who is invited already keeps theirs."""
    key = settings.invitation_key
    invited = await invitations.invite(session, activity_id, body.customer_ids, key=key, at=clock.now())
    return InvitedOut(items=[_out(invitation, key) for invitation in invited])


@router.get(
    "/v1/activities/{activity_id}/invitations",
    response_model=Page[InvitationOut],
    dependencies=[allow(*STAFF)],
    responses=documented(ActivityNotFound, InvalidCursor),
)
async def list_invitations(
    session: Session,
    page: Paging,
    settings: CurrentSettings,
    activity_id: UUID,
    state: Annotated[InvitationState | None, Query(description="only those in this state")] = None,
) -> Listing[InvitationOut]:
    """List who is invited, in the order in which they were, with their codes."""
    found = await invitations.list_(session, activity_id, state=state, page=page)
    return found.map(lambda invitation: _out(invitation, settings.invitation_key))


@router.post(
    "/v1/activities/{activity_id}/answers",
    response_model=InvitationOut,
    dependencies=[allow(*STAFF), requires_key],
    responses=documented(
        ActivityNotFound,
        ActivityCancelled,
        ActivityHasBegun,
        InvalidInvitationCode,
        InvitationNotFound,
        AlreadyAttended,
    ),
)
async def answer_invitation(
    session: Session, clock: CurrentClock, settings: CurrentSettings, activity_id: UUID, body: AnswerIn
) -> InvitationOut:
    """Say yes or no to an invitation; without room, yes is a place on the waiting list, which moves up."""
    answered = await invitations.answer(session, activity_id, body.code, coming=body.coming, at=clock.now())
    return _out(answered, settings.invitation_key)


@router.post(
    "/v1/activities/{activity_id}/check-ins",
    response_model=InvitationOut,
    dependencies=[allow(*STAFF), requires_key],
    responses=documented(
        ActivityNotFound,
        ActivityCancelled,
        ActivityNotYet,
        InvalidInvitationCode,
        InvitationNotFound,
        NotOnTheGuestList,
        AlreadyAttended,
    ),
)
async def check_in(
    session: Session, clock: CurrentClock, settings: CurrentSettings, activity_id: UUID, body: CheckInIn
) -> InvitationOut:
    """Note that a customer is there, from a day before it begins, once; they get the points for it."""
    attended = await invitations.check_in(session, activity_id, body.code, at=clock.now())
    return _out(attended, settings.invitation_key)


def _out(invitation: Invitation, key: bytes) -> InvitationOut:
    return InvitationOut(
        id=invitation.id,
        activity_id=invitation.activity_id,
        customer_id=invitation.customer_id,
        code=invitations.shown(invitation, key),
        state=invitation.state,
        invited_at=invitation.invited_at,
        answered_at=invitation.answered_at,
        attended_at=invitation.attended_at,
        transaction_id=invitation.transaction_id,
        version=invitation.version,
    )
