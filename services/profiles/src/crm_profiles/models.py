"""The tables of profiles."""

from datetime import date, datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import CHAR, CheckConstraint, ForeignKey, Index, LargeBinary, SmallInteger, Text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from crm_shared.customers import OwnedByCustomer
from crm_shared.database import TYPES, Json, enum_column, new_metadata
from crm_shared.erasure import POLICY, Delete, Keep
from crm_shared.ids import uuid7


class Base(DeclarativeBase):
    """All tables of this service."""

    metadata = new_metadata()
    type_annotation_map = TYPES


class ContactKind(StrEnum):
    """By which way somebody is reached."""

    PHONE = "phone"
    EMAIL = "email"
    SOCIAL = "social"


class EntryType(StrEnum):
    """What an entry of the timeline tells of."""

    PURCHASE_RECORDED = "purchase.recorded"
    POINTS_EARNED = "points.earned"
    POINTS_ADJUSTED = "points.adjusted"
    POINTS_SPENT = "points.spent"
    POINTS_HELD = "points.held"
    POINTS_RELEASED = "points.released"
    LEVEL_CHANGED = "level.changed"
    TICKET_OPENED = "ticket.opened"
    TICKET_RESPONDED = "ticket.responded"
    TICKET_RESOLVED = "ticket.resolved"
    TICKET_CLOSED = "ticket.closed"


class Customer(Base):
    """Somebody whom the company knows."""

    __tablename__ = "customers"
    __table_args__ = (
        CheckConstraint("version >= 1", "version"),
        Index("ix_customers_tags", "tags", postgresql_using="gin"),
        {"info": {POLICY: Delete()}},
    )

    id: Mapped[UUID] = mapped_column("customer_id", primary_key=True, default=uuid7)
    name: Mapped[str]
    language: Mapped[str | None]
    time_zone: Mapped[str | None]
    region: Mapped[str | None] = mapped_column(CHAR(2))
    birth_date: Mapped[date | None]
    tags: Mapped[list[str]] = mapped_column(ARRAY(Text))
    source: Mapped[str | None]
    """The system that first told of them."""
    version: Mapped[int]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]

    contact_points: Mapped[list["ContactPoint"]] = relationship(
        lazy="raise", viewonly=True, order_by="(ContactPoint.kind, ContactPoint.value)"
    )
    external_ids: Mapped[list["ExternalId"]] = relationship(
        lazy="raise", viewonly=True, order_by="(ExternalId.source, ExternalId.external_id)"
    )


def _to_customer() -> ForeignKey:
    """Checked at the commit: who gets the claim writes the customer after it."""
    return ForeignKey(Customer.id, deferrable=True, initially="DEFERRED")


class ContactPoint(OwnedByCustomer, Base):
    """A normalised way to reach a customer, and nobody else."""

    __tablename__ = "contact_points"
    __table_args__ = ({"info": {POLICY: Delete()}},)

    kind: Mapped[ContactKind] = mapped_column(enum_column(ContactKind), primary_key=True)
    value: Mapped[str] = mapped_column(primary_key=True)
    customer_id: Mapped[UUID] = mapped_column(_to_customer(), index=True)


class ExternalId(OwnedByCustomer, Base):
    """What another system calls a customer."""

    __tablename__ = "external_ids"
    __table_args__ = ({"info": {POLICY: Delete()}},)

    source: Mapped[str] = mapped_column(primary_key=True)
    external_id: Mapped[str] = mapped_column(primary_key=True)
    customer_id: Mapped[UUID] = mapped_column(_to_customer(), index=True)


class Purchase(OwnedByCustomer, Base):
    """One order, as the shop told of it."""

    __tablename__ = "purchases"
    __table_args__ = (
        CheckConstraint("amount >= 0", "amount"),
        Index("uq_purchases_source_external_id", "source", "external_id", unique=True),
        Index(
            "ix_purchases_of_customer",
            "customer_id",
            "occurred_at",
            "id",
            postgresql_include=["currency", "amount"],
        ),
        {"info": {POLICY: Keep("bookkeeping: what was sold for how much, under an id that names nobody")}},
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    customer_id: Mapped[UUID] = mapped_column()
    source: Mapped[str]
    external_id: Mapped[str]
    occurred_at: Mapped[datetime]
    recorded_at: Mapped[datetime]
    shop: Mapped[str | None]
    currency: Mapped[str] = mapped_column(CHAR(3))
    amount: Mapped[int]
    version: Mapped[int]
    digest: Mapped[bytes] = mapped_column(LargeBinary)
    """Of all that the shop told; another one under the same external id is a contradiction."""

    lines: Mapped[list["PurchaseLine"]] = relationship(
        lazy="raise", viewonly=True, order_by="PurchaseLine.line"
    )


class PurchaseLine(Base):
    """One line of an order, in the order's currency."""

    __tablename__ = "purchase_lines"
    __table_args__ = (CheckConstraint("quantity >= 1", "quantity"),)

    purchase_id: Mapped[UUID] = mapped_column(ForeignKey(Purchase.id), primary_key=True)
    line: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    product: Mapped[str | None]
    category: Mapped[str | None]
    brand: Mapped[str | None]
    quantity: Mapped[int]
    amount: Mapped[int]


class TimelineEntry(OwnedByCustomer, Base):
    """Something that happened with a customer, wherever it happened; the id is the event's."""

    __tablename__ = "timeline_entries"
    __table_args__ = (
        Index("ix_timeline_entries_of_customer", "customer_id", "occurred_at", "id"),
        {"info": {POLICY: Delete()}},
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    customer_id: Mapped[UUID] = mapped_column()
    type: Mapped[EntryType] = mapped_column(enum_column(EntryType))
    occurred_at: Mapped[datetime]
    recorded_at: Mapped[datetime]
    title: Mapped[str]
    data: Mapped[Json]


class Erasure(Base):
    """A customer who had to be forgotten."""

    __tablename__ = "erasures"
    __table_args__ = ({"info": {POLICY: Keep("the receipt of the erasure: ids and counts only")}},)

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    customer_id: Mapped[UUID] = mapped_column(unique=True)
    requested_at: Mapped[datetime]
    requested_by: Mapped[str]

    confirmations: Mapped[list["ErasureConfirmation"]] = relationship(
        lazy="raise", viewonly=True, order_by="ErasureConfirmation.service"
    )


class ErasureConfirmation(Base):
    """What one service removed, and what it kept and why."""

    __tablename__ = "erasure_confirmations"

    erasure_id: Mapped[UUID] = mapped_column(ForeignKey(Erasure.id), primary_key=True)
    service: Mapped[str] = mapped_column(primary_key=True)
    confirmed_at: Mapped[datetime]
    removed: Mapped[Json]
    kept: Mapped[Json]
