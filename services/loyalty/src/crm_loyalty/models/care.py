"""The tables of care: texts and plans in versions, whom they reach, and what became of each occasion."""

from datetime import date, datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import Index, UniqueConstraint
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from crm_loyalty.models.base import Base
from crm_shared.customers import OwnedByCustomer
from crm_shared.database import Json, enum_column
from crm_shared.erasure import POLICY, Delete
from crm_shared.ids import uuid7
from crm_shared.schema import APPEND_ONLY


class OccasionState(StrEnum):
    """What became of a customer's occasion."""

    PLANNED = "planned"
    HELD = "held"
    """Nothing is done while a severe complaint of the customer is open."""
    DONE = "done"
    SKIPPED = "skipped"


class AfterComplaint(StrEnum):
    """What becomes of an occasion that was held back, once the complaint is settled."""

    RELEASE = "release"
    DROP = "drop"


class CareTemplate(Base):
    """One version of a message's text, in several languages and for several channels."""

    __tablename__ = "care_templates"
    __table_args__ = ({"info": {APPEND_ONLY: True}},)

    key: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    default_language: Mapped[str]
    texts: Mapped[list[Json]] = mapped_column(JSONB)
    created_at: Mapped[datetime]
    created_by: Mapped[str]


class CarePlan(Base):
    """One version of a plan: when, to whom, what, and how often at most."""

    __tablename__ = "care_plans"
    __table_args__ = ({"info": {APPEND_ONLY: True}},)

    key: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    names: Mapped[Json]
    trigger: Mapped[Json]
    audience: Mapped[Json]
    action: Mapped[Json]
    max_per_year: Mapped[int | None]
    budget: Mapped[int | None]
    window_start: Mapped[str]
    window_end: Mapped[str]
    patience_days: Mapped[int]
    after_complaint: Mapped[AfterComplaint] = mapped_column(enum_column(AfterComplaint))
    active: Mapped[bool]
    created_at: Mapped[datetime]
    created_by: Mapped[str]


class CareSchedule(Base):
    """How far a plan has been planned, and how much of its budget is used, all versions together."""

    __tablename__ = "care_schedules"

    key: Mapped[str] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(unique=True, default=uuid7)
    """By which due work knows the plan."""
    planned_on: Mapped[date | None]
    """The first of the days that were looked at last: earlier ones are over everywhere."""
    done: Mapped[int] = mapped_column(default=0)
    walking_on: Mapped[date | None]
    """The day whose customers are being written down, in several transactions."""
    walked_to: Mapped[UUID | None]
    """The last customer who was looked at for it."""


class Addressee(OwnedByCustomer, Base):
    """What care needs to know of a customer, as profiles told it last."""

    __tablename__ = "addressees"
    __table_args__ = (
        Index("ix_addressees_birthday", "birthday"),
        Index("ix_addressees_joined_day", "joined_day"),
        {"info": {POLICY: Delete()}},
    )

    origin_customer_id: Mapped[UUID] = mapped_column(primary_key=True)
    version: Mapped[int]
    name: Mapped[str]
    language: Mapped[str | None]
    time_zone: Mapped[str | None]
    region: Mapped[str | None]
    tags: Mapped[list[str]] = mapped_column(JSONB)
    email: Mapped[str | None]
    phone: Mapped[str | None]
    birthday: Mapped[str | None]
    """As `rules.care.key_of` writes it."""
    joined_on: Mapped[date | None]
    joined_day: Mapped[str | None]
    """Month and day of it, written as a birthday."""


class SevereComplaint(OwnedByCustomer, Base):
    """A severe complaint, as tickets told it last; who has an open one gets no greetings."""

    __tablename__ = "severe_complaints"
    __table_args__ = ({"info": {POLICY: Delete()}},)

    ticket_id: Mapped[UUID] = mapped_column(primary_key=True)
    version: Mapped[int]
    open: Mapped[bool]


class CareOccasion(OwnedByCustomer, Base):
    """That a plan reaches a customer in one cycle, which happens once, and what became of it."""

    __tablename__ = "care_occasions"
    __table_args__ = (
        UniqueConstraint("plan_key", "origin_customer_id", "cycle"),
        Index("ix_care_occasions_of_customer", "customer_id", "plan_key", "cycle"),
        Index("ix_care_occasions_of_plan", "plan_key", "id"),
        {"info": {POLICY: Delete()}},
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    customer_id: Mapped[UUID] = mapped_column()
    plan_key: Mapped[str]
    cycle: Mapped[str]
    """The year, or the day or event that it is about."""
    day: Mapped[date]
    """On which it is to happen, by the customer's clock."""
    state: Mapped[OccasionState] = mapped_column(enum_column(OccasionState), default=OccasionState.PLANNED)
    reason: Mapped[str | None]
    """Why it is held, was put off, or was skipped."""
    planned_at: Mapped[datetime]
    act_at: Mapped[datetime]
    give_up_at: Mapped[datetime]
    plan_version: Mapped[int | None]
    """By which it was done or skipped."""
    settled_at: Mapped[datetime | None]
    message_id: Mapped[UUID | None]
    points: Mapped[int | None]
    coupon_id: Mapped[UUID | None]
