"""The tables of customers and of what leads to them."""

from datetime import date, datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import CHAR, CheckConstraint, Computed, ForeignKey, Index, Text
from sqlalchemy import text as sql
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column, relationship

from crm_profiles.models.base import Base
from crm_shared.customers import OwnedByCustomer
from crm_shared.database import Json, enum_column
from crm_shared.erasure import POLICY, Delete
from crm_shared.ids import uuid7


class ContactKind(StrEnum):
    """By which way somebody is reached."""

    PHONE = "phone"
    EMAIL = "email"
    SOCIAL = "social"


class Gender(StrEnum):
    """As somebody says of themselves; more may come."""

    FEMALE = "female"
    MALE = "male"
    DIVERSE = "diverse"
    UNDISCLOSED = "undisclosed"


class BirthCalendar(StrEnum):
    """In which calendar somebody keeps their birthday."""

    SOLAR = "solar"
    LUNAR = "lunar"


class Channel(StrEnum):
    """How something came to be known."""

    API = "api"
    FORM = "form"
    REGISTRATION = "registration"
    QUESTIONNAIRE = "questionnaire"
    INTERVIEW = "interview"
    PURCHASE = "purchase"
    SOCIAL = "social"
    IMPORT = "import"
    MERGE = "merge"
    STAFF = "staff"


class Customer(Base):
    """Somebody whom the company knows."""

    __tablename__ = "customers"
    __table_args__ = (
        CheckConstraint("version >= 1", "version"),
        Index("ix_customers_name_key", "name_key", sql("customer_id DESC")),
        Index(
            "ix_customers_name_parts",
            "name_key",
            "tags",
            postgresql_using="gin",
            postgresql_ops={"name_key": "gin_trgm_ops"},
        ),
        Index("ix_customers_attributes", "attributes", postgresql_using="gin"),
        {"info": {POLICY: Delete()}},
    )

    id: Mapped[UUID] = mapped_column("customer_id", primary_key=True, default=uuid7)
    name: Mapped[str]
    name_key: Mapped[str] = mapped_column(
        Text(collation="C"), Computed("search_key(name)", persisted=True), deferred=True
    )
    """What is searched instead of the name: folded, a space around each word."""
    language: Mapped[str | None]
    time_zone: Mapped[str | None]
    region: Mapped[str | None] = mapped_column(CHAR(2))
    gender: Mapped[Gender | None] = mapped_column(enum_column(Gender))
    occupation: Mapped[str | None]
    address: Mapped[Json | None]
    birth_date: Mapped[date | None]
    """By the Gregorian calendar, in whichever the birthday is kept."""
    birth_calendar: Mapped[BirthCalendar] = mapped_column(enum_column(BirthCalendar))
    lunar_birth_date: Mapped[Json | None]
    """The same day, of who keeps the lunar one."""
    tags: Mapped[list[str]] = mapped_column(ARRAY(Text))
    manager: Mapped[str | None] = mapped_column(index=True)
    """By whom they are looked after: the subject of a token."""
    attributes: Mapped[Json]
    """Custom ones, as declared."""
    source: Mapped[str | None]
    """The system that first told of them."""
    channel: Mapped[Channel] = mapped_column(enum_column(Channel))
    """How they first came to be known."""
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
    __table_args__ = (
        Index("ix_contact_points_phone_end", sql("reverse(value)"), postgresql_where=sql("kind = 'phone'")),
        {"info": {POLICY: Delete()}},
    )

    kind: Mapped[ContactKind] = mapped_column(enum_column(ContactKind), primary_key=True)
    value: Mapped[str] = mapped_column(Text(collation="C"), primary_key=True)
    customer_id: Mapped[UUID] = mapped_column(_to_customer(), index=True)


class ExternalId(OwnedByCustomer, Base):
    """What another system calls a customer."""

    __tablename__ = "external_ids"
    __table_args__ = ({"info": {POLICY: Delete()}},)

    source: Mapped[str] = mapped_column(primary_key=True)
    external_id: Mapped[str] = mapped_column(primary_key=True, index=True)
    customer_id: Mapped[UUID] = mapped_column(_to_customer(), index=True)
