"""The message log and its report over HTTP."""

from datetime import datetime, timedelta
from typing import Annotated
from uuid import UUID

from fastapi import Query, Response

from crm_profiles.errors import MessageDiffers, MessageNotFound, PeriodEmpty
from crm_profiles.messages import conversions, message_report, messages, partner_messages
from crm_profiles.routes.parameters import require_period
from crm_profiles.schemas.messages import (
    MessageIn,
    MessageLineOut,
    MessageOut,
    MessageReportOut,
    ShareOut,
)
from crm_shared.callers import READERS, Role
from crm_shared.contracts.permissions import Purpose
from crm_shared.customers import CustomerNotFound
from crm_shared.etags import etag
from crm_shared.fields import Instant
from crm_shared.pages import InvalidCursor, Listing, Page
from crm_shared.web.problems import documented
from crm_shared.web.router import Router
from crm_shared.web.session import CurrentClock, Paging, Session, allow

router = Router(tags=["messages"])

From = Annotated[Instant | None, Query(alias="from", description="30 days before the end, if absent")]
To = Annotated[Instant | None, Query(alias="to", description="before this; now, if absent")]

_MONTH = timedelta(days=30)
_DEFINITIONS = {
    "sent": "messages whose sending lies in [since, until), failed ones included",
    "delivered": "of the messages sent, those whose delivery was reported, whenever that was",
    "failed": "of the messages sent, those reported as not delivered",
    "answered": "of the messages sent, those that the customer has answered",
    "converted": conversions.DEFINITION,
    "against_consent": (
        "of the messages sent, those that went out though the customer, by what was known when they were"
        " logged, had not agreed; it should be none"
    ),
}


@router.post(
    "/v1/messages",
    status_code=201,
    response_model=MessageOut,
    dependencies=[allow(*READERS)],
    responses={
        200: {"model": MessageOut, "description": "It was on the log already"},
        **documented(CustomerNotFound, MessageDiffers),
    },
)
async def log_message(
    session: Session, clock: CurrentClock, response: Response, body: MessageIn
) -> MessageOut:
    """Log a message that another system has sent, or complete it with what came of it.

    Telling of it again changes nothing; an effect that was not known yet is filled in. It is recorded even if
    the customer had not agreed, and says so.
    """
    message_id, new = await partner_messages.record(session, body, at=clock.now())
    message = await messages.get(session, message_id)
    response.headers["ETag"] = etag(message.version)
    response.headers["Location"] = f"/v1/messages/{message.id}"
    response.status_code = 201 if new else 200
    return MessageOut.of(message)


@router.get(
    "/v1/messages/{message_id}",
    response_model=MessageOut,
    dependencies=[allow(*READERS)],
    responses=documented(MessageNotFound),
)
async def get_message(session: Session, response: Response, message_id: UUID) -> MessageOut:
    """Read a message and what came of it."""
    message = await messages.get(session, message_id)
    response.headers["ETag"] = etag(message.version)
    return MessageOut.of(message)


@router.get(
    "/v1/customers/{customer_id}/messages",
    response_model=Page[MessageOut],
    dependencies=[allow(*READERS, Role.CUSTOMER, own="customer_id")],
    responses=documented(CustomerNotFound, InvalidCursor),
)
async def list_messages(
    session: Session,
    page: Paging,
    customer_id: UUID,
    purpose: Annotated[Purpose | None, Query(description="only those for this")] = None,
) -> Listing[MessageOut]:
    """List what was sent to a customer, the newest first."""
    found = await messages.list_(session, customer_id, purpose, page=page)
    return found.map(MessageOut.of)


@router.get(
    "/v1/reports/messages",
    response_model=MessageReportOut,
    dependencies=[allow(*READERS)],
    responses=documented(PeriodEmpty),
)
async def report_messages(
    session: Session,
    clock: CurrentClock,
    since: From = None,
    until: To = None,
) -> MessageReportOut:
    """Report what was sent for each purpose by each way, and what came of it."""
    end: datetime = until or clock.now()
    start: datetime = since or end - _MONTH
    require_period(start, end)
    lines = await message_report.report(session, since=start, until=end)
    return MessageReportOut(
        since=start, until=end, items=[_line(line) for line in lines], definitions=_DEFINITIONS
    )


def _line(line: message_report.Line) -> MessageLineOut:
    def of_sent(numerator: int) -> ShareOut:
        return ShareOut(numerator=numerator, denominator=line.sent)

    return MessageLineOut(
        purpose=line.purpose,
        channel=line.channel,
        sent=line.sent,
        delivered=of_sent(line.delivered),
        failed=of_sent(line.failed),
        answered=of_sent(line.answered),
        converted=ShareOut(numerator=line.converted, denominator=line.attributed),
        against_consent=of_sent(line.against_consent),
    )
