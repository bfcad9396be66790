"""What tickets tells the world: enquiries and complaints, from opening to closing."""

from datetime import datetime
from typing import ClassVar
from uuid import UUID

from crm_shared.contracts.base import Event


class TicketState(Event):
    """The ticket after the change."""

    subject_field: ClassVar[str] = "ticket_id"

    ticket_id: UUID
    number: int
    kind: str
    severity: str
    status: str
    title: str
    level: str | None = None
    opened_at: datetime
    due_at: datetime | None = None


class TicketOpened(TicketState):
    """The customer asked, suggested or complained."""

    type: ClassVar[str] = "tickets.ticket.opened.v1"


class TicketResponded(TicketState):
    """The customer was answered."""

    type: ClassVar[str] = "tickets.ticket.responded.v1"


class TicketResolved(TicketState):
    """The matter was settled."""

    type: ClassVar[str] = "tickets.ticket.resolved.v1"

    resolution: str | None = None


class TicketClosed(TicketState):
    """Nothing more is to be done."""

    type: ClassVar[str] = "tickets.ticket.closed.v1"
