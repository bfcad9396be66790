"""What tickets tells the world: enquiries and complaints, from opening to closing."""

from datetime import datetime
from typing import ClassVar
from uuid import UUID

from pydantic import Field

from crm_shared.contracts.base import CompanyEvent, Event
from crm_shared.contracts.calendars import Calendar
from crm_shared.contracts.messages import MessageState


class TicketState(Event):
    """The ticket after the change. Kinds, severities, statuses and channels may become more."""

    subject_field: ClassVar[str] = "ticket_id"

    ticket_id: UUID
    number: int = Field(description="for people to name it by")
    kind: str = Field(description="enquiry, suggestion, complaint or praise")
    severity: str = Field(description="low, normal, high or critical")
    channel: str | None = Field(default=None, description="how the customer reached us")
    status: str = Field(description="open, responded, resolved or closed")
    title: str
    level: str | None = Field(default=None, description="the customer's level, by which the queue is ordered")
    verdict: str | None = Field(
        default=None, description="of a complaint that was investigated: upheld or rejected"
    )
    opened_at: datetime
    due_at: datetime | None = Field(
        default=None, description="when the response, then the resolution is due; null once resolved"
    )


class TicketOpened(TicketState):
    """The customer asked, suggested, complained or praised."""

    type: ClassVar[str] = "tickets.ticket.opened.v1"


class TicketResponded(TicketState):
    """The customer was answered; it may not be the first time."""

    type: ClassVar[str] = "tickets.ticket.responded.v1"


class TicketResolved(TicketState):
    """The matter was settled."""

    type: ClassVar[str] = "tickets.ticket.resolved.v1"

    resolution: str | None = Field(default=None, description="how")


class TicketClosed(TicketState):
    """Nothing more is to be done."""

    type: ClassVar[str] = "tickets.ticket.closed.v1"


class ComplaintUpheld(TicketState):
    """The complaint was investigated and is right."""

    type: ClassVar[str] = "tickets.complaint.upheld.v1"

    cause: str | None = Field(default=None, description="what went wrong")
    compensation: str | None = Field(default=None, description="what was proposed for it, in words")


class ComplaintRejected(TicketState):
    """The complaint was investigated and is not right."""

    type: ClassVar[str] = "tickets.complaint.rejected.v1"

    cause: str | None = Field(default=None, description="why not")


class MessageSent(MessageState):
    """The customer was written to."""

    type: ClassVar[str] = "tickets.message.sent.v1"


class MessageDelivered(MessageState):
    """The message reached the customer."""

    type: ClassVar[str] = "tickets.message.delivered.v1"


class MessageFailed(MessageState):
    """The message did not reach the customer."""

    type: ClassVar[str] = "tickets.message.failed.v1"


class MessageAnswered(MessageState):
    """The customer has answered the message."""

    type: ClassVar[str] = "tickets.message.answered.v1"


class CalendarChanged(CompanyEvent):
    """Working hours, holidays or make-up days of a calendar are others than before; its code is the key."""

    type: ClassVar[str] = "tickets.calendar.changed.v1"
    subject_field: ClassVar[str] = "code"

    code: str = Field(description="a country's, such as CN, or one of the company's own")
    calendar: Calendar
