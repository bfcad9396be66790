"""The bodies of tickets' requests and answers."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, JsonValue, StringConstraints

from crm_shared.contracts.segmentation import Level
from crm_shared.fields import VISIBLE, legible
from crm_tickets.flow import Status, Step
from crm_tickets.models import Severity, Ticket, TicketChannel, TicketKind

Line = Annotated[str, StringConstraints(strip_whitespace=True, max_length=200, pattern=VISIBLE), legible]
Text = Annotated[str, StringConstraints(strip_whitespace=True, max_length=10_000, pattern=r"\S")]


class TicketIn(BaseModel):
    """What the customer came with."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "customer_id": "0198f2c4-7a10-7c3e-9d52-3f6b8e1a2c4d",
                    "kind": "complaint",
                    "severity": "high",
                    "channel": "phone",
                    "title": "Two discs arrived broken",
                    "description": "The parcel of Monday held two broken discs; she wants new ones.",
                }
            ]
        },
    )

    customer_id: UUID
    kind: TicketKind
    severity: Severity = Severity.NORMAL
    channel: TicketChannel = TicketChannel.WEB
    title: Line
    description: Annotated[str, StringConstraints(max_length=10_000)] = ""


class RespondIn(BaseModel):
    """What the customer was answered."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"message": "We send two new discs today."}]}
    )

    message: Text


class ResolveIn(BaseModel):
    """How the matter was settled."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"resolution": "New discs delivered on Friday."}]}
    )

    resolution: Text


class TicketOut(BaseModel):
    """A ticket and how far it is."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    number: int = Field(description="for people to name it by")
    customer_id: UUID
    customer_name: str | None = Field(
        default=None, description="for callers with the scope pii:read; null also while it is not known here"
    )
    kind: TicketKind
    severity: Severity
    channel: TicketChannel
    title: str
    description: str
    status: Status
    level: Level | None = Field(default=None, description="the customer's level, which orders the queue")
    due_at: datetime | None = Field(
        default=None, description="when the response, then the resolution is due; null once resolved"
    )
    respond_due_at: datetime
    resolve_due_at: datetime
    policy_version: int = Field(description="of the targets that the ticket is held to")
    opened_at: datetime
    responded_at: datetime | None = None
    resolved_at: datetime | None = None
    closed_at: datetime | None = None
    version: int

    @classmethod
    def of(cls, ticket: Ticket, *, named: bool) -> "TicketOut":
        """The ticket as shown to somebody who may, or may not, see the customer's name."""
        shown = cls.model_validate(ticket)
        if named and ticket.customer is not None:
            shown.customer_name = ticket.customer.name
        return shown


class StepOut(BaseModel):
    """One step that was taken with a ticket."""

    model_config = ConfigDict(from_attributes=True)

    version: int = Field(description="of the ticket after the step")
    step: Step
    at: datetime
    actor: str | None = None
    artefact: dict[str, JsonValue] = Field(
        description="what the step has produced: the answer, the resolution"
    )


class OpenTicketOut(BaseModel):
    """A ticket that somebody has to do something about, at a glance."""

    id: UUID
    number: int
    kind: TicketKind
    severity: Severity
    status: Status
    title: str
    opened_at: datetime
    due_at: datetime | None


class TicketCountsOut(BaseModel):
    """How many tickets the customer has, by status."""

    open: int
    responded: int
    resolved: int
    closed: int


class TicketsSummaryOut(BaseModel):
    """What tickets has to say of a customer at a glance."""

    customer_id: UUID
    counts: TicketCountsOut
    open: list[OpenTicketOut] = Field(description="the most urgent twenty that are open or responded to")
