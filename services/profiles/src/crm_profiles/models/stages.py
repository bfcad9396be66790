"""The tables of the life cycle; what they say follows from the timeline and can be made again from it."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from crm_profiles.models.base import Base
from crm_profiles.rules.lifecycle import Stage
from crm_shared.database import Json, enum_column
from crm_shared.erasure import POLICY, Delete
from crm_shared.schema import APPEND_ONLY


class CustomerStage(Base):
    """The stage that a customer is in. Who was merged into somebody keeps theirs, which counts nowhere."""

    __tablename__ = "customer_stages"
    __table_args__ = (
        CheckConstraint("version >= 1", "version"),
        Index("ix_customer_stages_stage", "stage", "since", "customer_id"),
        {"info": {POLICY: Delete()}},
    )

    customer_id: Mapped[UUID] = mapped_column(primary_key=True)
    stage: Mapped[Stage] = mapped_column(enum_column(Stage))
    since: Mapped[datetime]
    silent_at: Mapped[datetime | None]
    """When time alone will change it."""
    version: Mapped[int]


class StageSpell(Base):
    """One stay in a stage, in business time; the last has no end. The id is that of its event."""

    __tablename__ = "stage_spells"
    __table_args__ = (
        UniqueConstraint("customer_id", "number"),
        Index("ix_stage_spells_since", "since", "stage"),
        {"info": {POLICY: Delete()}},
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    customer_id: Mapped[UUID] = mapped_column()
    number: Mapped[int]
    stage: Mapped[Stage] = mapped_column(enum_column(Stage))
    since: Mapped[datetime]
    until: Mapped[datetime | None]
    reason: Mapped[str]
    explanation: Mapped[str]
    ref: Mapped[UUID | None]
    """The entry of the timeline that led to it."""
    policy_version: Mapped[int]
    recorded_at: Mapped[datetime]


class StagePolicy(Base):
    """One version of the silences after which customers count as gone; the last is in force."""

    __tablename__ = "stage_policies"
    __table_args__ = {"comment": "seed", "info": {APPEND_ONLY: True}}

    version: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    silence_days: Mapped[Json]
    created_at: Mapped[datetime]
    created_by: Mapped[str | None]
