"""The tables of tickets: customers as far as they matter here, tickets, their steps, their targets."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Identity, Index, text
from sqlalchemy.orm import DeclarativeBase, Mapped, foreign, mapped_column, relationship

from crm_shared.contracts.segmentation import Level
from crm_shared.customers import OwnedByCustomer
from crm_shared.database import TYPES, Json, enum_column, new_metadata
from crm_shared.erasure import POLICY, Delete
from crm_shared.ids import uuid7
from crm_shared.permission_copies import ContactPolicyCopy, PermissionCopy, SentMessageCopy
from crm_shared.schema import APPEND_ONLY
from crm_tickets.flow import Status, Step, Verdict

WAITING = text("tickets.status IN ('open', 'responded')")
"""Tickets that somebody has to do something about. Spelled with constants, as the queue's index is."""


class TicketKind(StrEnum):
    """What the customer came with."""

    ENQUIRY = "enquiry"
    SUGGESTION = "suggestion"
    COMPLAINT = "complaint"
    PRAISE = "praise"


class Severity(StrEnum):
    """How bad it is."""

    LOW = "low"
    NORMAL = "normal"
    HIGH = "high"
    CRITICAL = "critical"


class TicketChannel(StrEnum):
    """How the customer reached us."""

    PHONE = "phone"
    EMAIL = "email"
    WEB = "web"
    CHAT = "chat"
    SOCIAL = "social"
    SHOP = "shop"


class Base(DeclarativeBase):
    """All tables of this service."""

    metadata = new_metadata()
    type_annotation_map = TYPES


class Customer(Base):
    """What tickets knows of a customer: the name, and the level by which the queue is ordered."""

    __tablename__ = "customers"
    __table_args__ = {"info": {POLICY: Delete()}}

    customer_id: Mapped[UUID] = mapped_column(primary_key=True)
    name: Mapped[str | None]
    profile_version: Mapped[int] = mapped_column(default=0)
    level: Mapped[Level | None] = mapped_column(enum_column(Level))
    level_version: Mapped[int] = mapped_column(default=0)


class Ticket(OwnedByCustomer, Base):
    """One matter of one customer. Its place in the queue is stored, so that the queue is one index scan."""

    __tablename__ = "tickets"
    __table_args__ = (
        Index(
            "ix_tickets_queue",
            "level_rank",
            "severity_rank",
            "due_at",
            "id",
            postgresql_where=text("status IN ('open', 'responded')"),
        ),
        Index("ix_tickets_customer_id", "customer_id", "id"),
        Index("ix_tickets_status", "status", "id"),
        CheckConstraint("(verdict IS NULL) = (judged_at IS NULL)", name="judged_once"),
        CheckConstraint("verdict IS NULL OR kind = 'complaint'", name="judged_complaint"),
        {"info": {POLICY: Delete()}},
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    number: Mapped[int] = mapped_column(Identity(always=True), unique=True)
    customer_id: Mapped[UUID] = mapped_column()
    kind: Mapped[TicketKind] = mapped_column(enum_column(TicketKind))
    severity: Mapped[Severity] = mapped_column(enum_column(Severity))
    channel: Mapped[TicketChannel] = mapped_column(enum_column(TicketChannel))
    title: Mapped[str]
    description: Mapped[str]
    status: Mapped[Status] = mapped_column(enum_column(Status))
    level: Mapped[Level | None] = mapped_column(enum_column(Level))
    level_rank: Mapped[int]
    severity_rank: Mapped[int]
    policy_version: Mapped[int]
    respond_due_at: Mapped[datetime]
    resolve_due_at: Mapped[datetime]
    due_at: Mapped[datetime | None]
    """When the next thing is due; None once the matter is settled."""
    verdict: Mapped[Verdict | None] = mapped_column(enum_column(Verdict))
    """Of a complaint that was investigated."""
    cause: Mapped[str | None]
    """What the investigation has found."""
    compensation: Mapped[str | None]
    """What is proposed for an upheld complaint, in words."""
    judged_at: Mapped[datetime | None]
    judged_by: Mapped[str | None]
    opened_at: Mapped[datetime]
    responded_at: Mapped[datetime | None]
    resolved_at: Mapped[datetime | None]
    closed_at: Mapped[datetime | None]
    version: Mapped[int]

    customer: Mapped[Customer | None] = relationship(
        primaryjoin=lambda: foreign(Ticket.customer_id) == Customer.customer_id, viewonly=True, lazy="raise"
    )


class TicketEvent(Base):
    """One step of a ticket, never changed: status and times of the ticket follow from its steps.

    It goes with its ticket when a customer is erased, which the foreign key does for a role that may not.
    """

    __tablename__ = "ticket_events"
    __table_args__ = {"info": {APPEND_ONLY: True}}

    ticket_id: Mapped[UUID] = mapped_column(ForeignKey(Ticket.id, ondelete="CASCADE"), primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    step: Mapped[Step] = mapped_column(enum_column(Step))
    at: Mapped[datetime]
    actor: Mapped[str | None]
    artefact: Mapped[Json]
    """What the step has produced: the verdict, the answer, the resolution."""


class ServiceTarget(Base):
    """How long the first response and the resolution of a ticket may take, in one version of the policy."""

    __tablename__ = "service_targets"
    __table_args__ = {"comment": "seed", "info": {APPEND_ONLY: True}}

    kind: Mapped[TicketKind] = mapped_column(enum_column(TicketKind), primary_key=True)
    severity: Mapped[Severity] = mapped_column(enum_column(Severity), primary_key=True)
    level: Mapped[Level] = mapped_column(enum_column(Level), primary_key=True)
    policy_version: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    respond_minutes: Mapped[int]
    resolve_minutes: Mapped[int]


class CalendarVersion(Base):
    """One version of a calendar; a change is a new one, the old ones stay."""

    __tablename__ = "calendars"
    # Rows that migrations put in stay when tests empty the database.
    __table_args__ = {"comment": "seed", "info": {APPEND_ONLY: True}}

    code: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    calendar: Mapped[Json]
    created_at: Mapped[datetime]
    created_by: Mapped[str | None]
    """None: it is there from the start."""


class Permission(PermissionCopy, Base):
    """Whom we may write to, as profiles tells it."""


class SentMessage(SentMessageCopy, Base):
    """What customers got lately, from whichever service."""


class ContactPolicy(ContactPolicyCopy, Base):
    """By which rules the company writes, as profiles tells it."""
