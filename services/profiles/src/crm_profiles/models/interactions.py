"""The table of interactions."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import CheckConstraint, Index, LargeBinary, SmallInteger
from sqlalchemy.orm import Mapped, mapped_column

from crm_profiles.models.base import Base
from crm_shared.customers import OwnedByCustomer
from crm_shared.database import enum_column
from crm_shared.erasure import POLICY, Delete
from crm_shared.ids import uuid7


class InteractionChannel(StrEnum):
    """By which way somebody and the company spoke with each other."""

    CALL = "call"
    EMAIL = "email"
    VISIT = "visit"
    CHAT = "chat"
    SOCIAL = "social"
    LETTER = "letter"
    OTHER = "other"


class Direction(StrEnum):
    """Who turned to whom."""

    INBOUND = "inbound"
    OUTBOUND = "outbound"


class Interaction(OwnedByCustomer, Base):
    """Once that somebody and the company spoke with each other."""

    __tablename__ = "interactions"
    __table_args__ = (
        CheckConstraint("version >= 1", "version"),
        Index("uq_interactions_source_external_id", "source", "external_id", unique=True),
        Index("ix_interactions_of_customer", "customer_id", "occurred_at", "id"),
        {"info": {POLICY: Delete()}},
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    customer_id: Mapped[UUID] = mapped_column()
    source: Mapped[str | None]
    external_id: Mapped[str | None]
    channel: Mapped[InteractionChannel] = mapped_column(enum_column(InteractionChannel))
    direction: Mapped[Direction] = mapped_column(enum_column(Direction))
    purpose: Mapped[str | None]
    summary: Mapped[str | None]
    occurred_at: Mapped[datetime]
    recorded_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    duration_seconds: Mapped[int | None]
    agent: Mapped[str | None]
    feedback_score: Mapped[int | None] = mapped_column(SmallInteger)
    feedback_text: Mapped[str | None]
    version: Mapped[int]
    digest: Mapped[bytes] = mapped_column(LargeBinary)
    """Of all that was told at first; another one under the same external id is a contradiction."""
