"""Messages over HTTP: what would have been sent, and what carriers report of what was."""

from typing import Annotated
from uuid import UUID

from fastapi import Query

from crm_loyalty.care import messages
from crm_loyalty.errors import MessageNotFound, MessageNotSent
from crm_loyalty.models.messages import Message, MessageState
from crm_loyalty.schemas.messages import MailboxMessageOut, MessageReportIn, MessageStateOut
from crm_shared.callers import MANAGERS, STAFF, Role
from crm_shared.pages import InvalidCursor, Listing, Page
from crm_shared.web.problems import documented
from crm_shared.web.router import Router
from crm_shared.web.session import (
    CurrentCaller,
    CurrentClock,
    Paging,
    Session,
    allow,
)

router = Router(tags=["care"])


@router.get(
    "/v1/care/mailbox",
    response_model=Page[MailboxMessageOut],
    dependencies=[allow(*STAFF)],
    responses=documented(InvalidCursor),
)
async def list_mailbox(
    session: Session,
    caller: CurrentCaller,
    page: Paging,
    customer_id: Annotated[UUID | None, Query(description="only this customer's")] = None,
) -> Listing[MailboxMessageOut]:
    """List what would have been sent by channels for which no carrier is set up, newest first."""
    found = await messages.mailbox(session, customer_id, page=page)
    # A text may hold the code of a coupon: agents see that there was one, managers what it said.
    whole = caller.sees_personal_data and caller.has(MANAGERS)
    return found.map(lambda message: MailboxMessageOut.of(message, whole=whole))


@router.post(
    "/v1/care/messages/{care_message_id}/reports",
    response_model=MessageStateOut,
    dependencies=[allow(Role.PARTNER, *MANAGERS)],
    responses=documented(MessageNotFound, MessageNotSent),
)
async def report_message(
    session: Session, clock: CurrentClock, care_message_id: UUID, body: MessageReportIn
) -> Message:
    """Report what became of a message, as a carrier does; reporting it twice changes nothing."""
    return await messages.report(
        session,
        care_message_id,
        MessageState(body.state),
        failure=body.failure,
        occurred_at=body.occurred_at,
        at=clock.now(),
    )
