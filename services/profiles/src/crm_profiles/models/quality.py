"""The tables of how complete, valid and fresh customers' data are."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import CheckConstraint, Index, Text
from sqlalchemy import text as sql
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from crm_profiles.models.base import Base
from crm_shared.customers import OwnedByCustomer
from crm_shared.database import Json, enum_column
from crm_shared.erasure import POLICY, Delete
from crm_shared.ids import uuid7
from crm_shared.schema import APPEND_ONLY


class Subject(StrEnum):
    """What can be verified of a customer."""

    PHONE = "phone"
    EMAIL = "email"
    SOCIAL = "social"
    ADDRESS = "address"


class Outcome(StrEnum):
    """What verifying came to."""

    CONFIRMED = "confirmed"
    CHANGED = "changed"
    """It is another one now, and that is on file."""
    INVALID = "invalid"
    """Nobody is reached by it."""


class TaskReason(StrEnum):
    """Why something is to be verified."""

    STALE = "stale"
    BOUNCED = "bounced"


class QualityPolicy(Base):
    """One version of what counts how much; the last is in force."""

    __tablename__ = "quality_policies"
    __table_args__ = {"comment": "seed", "info": {APPEND_ONLY: True}}

    version: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    rules: Mapped[Json]
    created_at: Mapped[datetime]
    created_by: Mapped[str | None]


class QualityScore(Base):
    """How good a customer's data are, as the worker last saw them; it can be made again at any time."""

    __tablename__ = "quality_scores"
    __table_args__ = (
        CheckConstraint("score BETWEEN 0 AND 100", "score"),
        Index("ix_quality_scores_worst", "score", "customer_id"),
        Index("ix_quality_scores_look_at", "look_at", postgresql_where=sql("look_at IS NOT NULL")),
        {"info": {POLICY: Delete()}},
    )

    customer_id: Mapped[UUID] = mapped_column(primary_key=True)
    score: Mapped[int]
    missing: Mapped[list[str]] = mapped_column(ARRAY(Text))
    invalid: Mapped[int]
    """How many of their contact points reach nobody."""
    stale: Mapped[int]
    """How much of what can be verified was last confirmed too long ago."""
    look_at: Mapped[datetime | None]
    """When it changes by itself: something becomes stale."""
    version: Mapped[int]
    """The customer's, whose state this is."""
    policy_version: Mapped[int]
    computed_at: Mapped[datetime]


class Verification(OwnedByCustomer, Base):
    """What was last found out about a contact point or the address, whose value is empty."""

    __tablename__ = "verifications"
    __table_args__ = ({"info": {POLICY: Delete()}},)

    origin_customer_id: Mapped[UUID] = mapped_column(primary_key=True)
    subject: Mapped[Subject] = mapped_column(enum_column(Subject), primary_key=True)
    value: Mapped[str] = mapped_column(primary_key=True)
    outcome: Mapped[Outcome] = mapped_column(enum_column(Outcome))
    verified_at: Mapped[datetime]
    verified_by: Mapped[str]


class VerificationTask(OwnedByCustomer, Base):
    """Something that staff are to verify; of one thing there is one open task."""

    __tablename__ = "verification_tasks"
    __table_args__ = (
        Index(
            "uq_verification_tasks_open",
            "origin_customer_id",
            "subject",
            "value",
            unique=True,
            postgresql_where=sql("outcome IS NULL"),
        ),
        Index("ix_verification_tasks_queue", "created_at", "id", postgresql_where=sql("outcome IS NULL")),
        Index("ix_verification_tasks_all", "created_at", "id"),
        {"info": {POLICY: Delete()}},
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    subject: Mapped[Subject] = mapped_column(enum_column(Subject))
    value: Mapped[str]
    reason: Mapped[TaskReason] = mapped_column(enum_column(TaskReason))
    created_at: Mapped[datetime]
    outcome: Mapped[Outcome | None] = mapped_column(enum_column(Outcome))
    completed_at: Mapped[datetime | None]
    completed_by: Mapped[str | None]
    version: Mapped[int]
