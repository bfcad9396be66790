"""The tables of segmentation: purchases as it knows them, and the value that they give each customer."""

from datetime import date, datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from crm_shared.calendar_copies import CalendarCopy
from crm_shared.contracts.segmentation import Level
from crm_shared.customers import OwnedByCustomer
from crm_shared.database import TYPES, enum_column, new_metadata
from crm_shared.erasure import POLICY, Delete
from crm_shared.schema import APPEND_ONLY


class Base(DeclarativeBase):
    """All tables of this service."""

    metadata = new_metadata()
    type_annotation_map = TYPES


class Customer(Base):
    """What a customer's purchases up to the business day amount to, and the level this gives them."""

    __tablename__ = "customers"
    __table_args__ = {"info": {POLICY: Delete()}}

    customer_id: Mapped[UUID] = mapped_column(primary_key=True)
    first_purchase_on: Mapped[date | None]
    last_purchase_on: Mapped[date | None]
    frequency: Mapped[int] = mapped_column(default=0)
    monetary: Mapped[int] = mapped_column(default=0)
    currency: Mapped[str | None]
    level: Mapped[Level | None] = mapped_column(enum_column(Level), index=True)
    """None for who was merged into somebody else: only the survivor has a level."""
    level_version: Mapped[int] = mapped_column(default=0)
    reason: Mapped[str | None]
    thresholds_version: Mapped[int | None]
    flips_at: Mapped[datetime | None]
    """The instant at which time alone may give another level; there is due work for it."""


class Purchase(OwnedByCustomer, Base):
    """The part of a purchase that says something about its customer's value."""

    __tablename__ = "purchases"
    __table_args__ = (
        # All that the figures of a customer need, so that the table itself is not read.
        Index(
            "ix_purchases_customer_id",
            "customer_id",
            "occurred_at",
            postgresql_include=["amount", "currency", "purchase_id"],
        ),
        {"info": {POLICY: Delete()}},
    )

    purchase_id: Mapped[UUID] = mapped_column(primary_key=True)
    customer_id: Mapped[UUID] = mapped_column()
    occurred_at: Mapped[datetime]
    amount: Mapped[int]
    currency: Mapped[str]


class Refund(OwnedByCustomer, Base):
    """The part of a refund that says something about its customer's value.

    It may be known before its purchase is, and then waits for it.
    """

    __tablename__ = "refunds"
    __table_args__ = {"info": {POLICY: Delete()}}

    refund_id: Mapped[UUID] = mapped_column(primary_key=True)
    purchase_id: Mapped[UUID]
    occurred_at: Mapped[datetime]
    amount: Mapped[int]
    completes: Mapped[bool]
    """Nothing is left of the purchase after it."""


class LevelThresholds(Base):
    """One version of the numbers that decide levels."""

    __tablename__ = "level_thresholds"
    __table_args__ = {"comment": "seed", "info": {APPEND_ONLY: True}}

    version: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    currency: Mapped[str]
    vip_monetary: Mapped[int]
    vip_recency_days: Mapped[int]
    important_monetary: Mapped[int]
    ordinary_frequency: Mapped[int]
    ordinary_recency_days: Mapped[int]
    created_at: Mapped[datetime]
    created_by: Mapped[str | None]


class LevelBasis(Base):
    """What levels are decided by at present; its one row is locked by whoever decides or changes that."""

    __tablename__ = "level_basis"
    __table_args__ = (CheckConstraint("id = 1", name="one_row"), {"comment": "seed"})

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    business_day: Mapped[date | None]
    """None: the day that the clock shows in the time zone."""
    time_zone: Mapped[str]
    version: Mapped[int]
    """Of business day and time zone; the thresholds have their own."""
    thresholds_version: Mapped[int] = mapped_column(ForeignKey(LevelThresholds.version))


class Calendar(CalendarCopy, Base):
    """A calendar as tickets tells it."""
