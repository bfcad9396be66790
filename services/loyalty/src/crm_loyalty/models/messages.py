"""The table of messages that loyalty sends."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import Index, text
from sqlalchemy.orm import Mapped, mapped_column

from crm_loyalty.models.base import Base
from crm_shared.customers import OwnedByCustomer
from crm_shared.database import enum_column
from crm_shared.erasure import POLICY, Delete
from crm_shared.ids import uuid7


class MessageState(StrEnum):
    """How far a message has come."""

    QUEUED = "queued"
    SENT = "sent"
    DELIVERED = "delivered"
    FAILED = "failed"
    ANSWERED = "answered"


class Message(OwnedByCustomer, Base):
    """A message to a customer: queued by the transaction that decided it, sent by the worker after that."""

    __tablename__ = "messages"
    __table_args__ = (
        Index("ix_messages_queued", "try_at", "id", postgresql_where=text("state = 'queued'")),
        Index("ix_messages_of_plan", "plan_key"),
        Index("ix_messages_mailbox", "id", postgresql_where=text("carrier = 'mailbox'")),
        {"info": {POLICY: Delete()}},
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    channel: Mapped[str]
    purpose: Mapped[str]
    address: Mapped[str]
    subject: Mapped[str | None]
    body: Mapped[str | None]
    """Cleared once a carrier has it: it may hold the code of a coupon."""
    html: Mapped[str | None]
    unsubscribe_url: Mapped[str | None]
    template: Mapped[str]
    template_version: Mapped[int]
    language: Mapped[str]
    plan_key: Mapped[str]
    state: Mapped[MessageState] = mapped_column(enum_column(MessageState), default=MessageState.QUEUED)
    version: Mapped[int] = mapped_column(default=0)
    carrier: Mapped[str | None]
    """By which it went."""
    attempts: Mapped[int] = mapped_column(default=0)
    try_at: Mapped[datetime]
    """When it is tried next; while somebody sends it, the end of their lease."""
    give_up_at: Mapped[datetime]
    queued_at: Mapped[datetime]
    sent_at: Mapped[datetime | None]
    delivered_at: Mapped[datetime | None]
    failed_at: Mapped[datetime | None]
    failure: Mapped[str | None]
    answered_at: Mapped[datetime | None]
