"""What loyalty keeps of purchases and of who makes them: its own small copies."""

from datetime import date, datetime
from uuid import UUID

from sqlalchemy import ARRAY, CheckConstraint, Index, Text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from crm_loyalty.models.base import Base
from crm_shared.customers import OwnedByCustomer
from crm_shared.database import Json
from crm_shared.erasure import POLICY, Delete


class Purchase(OwnedByCustomer, Base):
    """A purchase, and what was known of its customer when its points were reckoned."""

    __tablename__ = "purchases"
    __table_args__ = (
        Index(
            "ix_purchases_of_customer",
            "customer_id",
            "occurred_at",
            postgresql_include=["amount", "refunded", "currency"],
        ),
        Index("ix_purchases_occurred_at", "occurred_at", "purchase_id"),
        {"info": {POLICY: Delete()}},
    )

    purchase_id: Mapped[UUID] = mapped_column(primary_key=True)
    customer_id: Mapped[UUID] = mapped_column()
    occurred_at: Mapped[datetime]
    recorded_at: Mapped[datetime]
    amount: Mapped[int]
    """Minor units, of the whole purchase."""
    refunded: Mapped[int] = mapped_column(default=0)
    """Given back of it so far."""
    currency: Mapped[str]
    channel: Mapped[str | None]
    shop: Mapped[str | None]
    lines: Mapped[list[Json]] = mapped_column(JSONB)
    """Position, amount, quantity, product, category and brand of each."""
    number: Mapped[int]
    """Which of the customer's purchases it was, as we heard of them: the first is 1."""
    level: Mapped[str | None]
    tier: Mapped[str | None]
    birthday_offset: Mapped[int | None]
    """Days since the customer's nearest birthday, negative before it."""
    segments: Mapped[list[str]] = mapped_column(ARRAY(Text))
    """In which the customer was."""


class Member(Base):
    """What rules may ask of a customer, as the newest events tell it."""

    __tablename__ = "members"
    __table_args__ = ({"info": {POLICY: Delete()}},)

    customer_id: Mapped[UUID] = mapped_column(primary_key=True)
    level: Mapped[str | None]
    level_version: Mapped[int] = mapped_column(default=0)
    birth_date: Mapped[date | None]
    lunar_birth_date: Mapped[Json | None] = mapped_column(JSONB(none_as_null=True))
    """Of who keeps the lunar birthday."""
    profile_version: Mapped[int] = mapped_column(default=0)


class PendingAward(OwnedByCustomer, Base):
    """Points that were given but cannot be spent yet: they come to the account when their time is over."""

    __tablename__ = "pending_awards"
    __table_args__ = (
        CheckConstraint("points >= 0", name="points_not_negative"),
        {"info": {POLICY: Delete()}},
    )

    cause_id: Mapped[UUID] = mapped_column(primary_key=True)
    """The purchase or the event that they were given for."""
    event_type: Mapped[str | None]
    """None: it was a purchase."""
    source: Mapped[str]
    """Of their posting, whose reference is `cause_id`."""
    points: Mapped[int]
    """What refunds so far have left of them."""
    lines: Mapped[list[Json]] = mapped_column(JSONB)
    """What each line of the purchase earned; an event is one line, numbered 0."""
    explanation: Mapped[list[Json]] = mapped_column(JSONB)
    returned: Mapped[list[Json]] = mapped_column(JSONB)
    """What refunds gave back of which line."""
    occurred_at: Mapped[datetime]
    available_at: Mapped[datetime]

    @property
    def purchase_id(self) -> UUID | None:
        return self.cause_id if self.event_type is None else None

    @property
    def event_id(self) -> UUID | None:
        return None if self.event_type is None else self.cause_id
