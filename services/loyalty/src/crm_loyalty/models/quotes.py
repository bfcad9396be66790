"""The tables of quotes: promotions and how points pay, in versions, and the quotes themselves."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column, query_expression

from crm_loyalty.models.base import Base
from crm_loyalty.rules.pricing import ValueKind
from crm_shared.customers import OwnedByCustomer
from crm_shared.database import Json, enum_column
from crm_shared.erasure import POLICY, Delete, Redact
from crm_shared.ids import uuid7
from crm_shared.schema import APPEND_ONLY


class QuoteState(StrEnum):
    """What became of the price; that the time of an open one is over is seen by its `expires_at`."""

    OPEN = "open"
    COMMITTED = "committed"
    PURCHASED = "purchased"
    RELEASED = "released"


class Promotion(Base):
    """One version of a rule that takes money off for all whom its conditions fit: a member day, say."""

    __tablename__ = "promotions"
    __table_args__ = (
        CheckConstraint("valid_until > valid_from", name="valid_until_after_from"),
        CheckConstraint("budget IS NULL OR currency IS NOT NULL", name="budget_has_currency"),
        {"info": {APPEND_ONLY: True}},
    )

    key: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    names: Mapped[Json]
    value: Mapped[ValueKind] = mapped_column(enum_column(ValueKind))
    amount: Mapped[int | None]
    currency: Mapped[str | None]
    basis_points: Mapped[int | None]
    max_discount: Mapped[int | None]
    free_product: Mapped[str | None]
    when: Mapped[Json]
    """The conditions as they were written: those of earning rules."""
    budget: Mapped[int | None]
    """What it takes off in all, in minor units of its currency."""
    group: Mapped[str | None]
    priority: Mapped[int]
    active: Mapped[bool]
    valid_from: Mapped[datetime | None]
    valid_until: Mapped[datetime | None]
    created_at: Mapped[datetime]
    created_by: Mapped[str]
    used: Mapped[int | None] = query_expression()
    """What it has taken off in its currency, where a query asks for it."""

    @property
    def left(self) -> int | None:
        """What is left of the budget; None: there is no limit."""
        return None if self.budget is None else max(self.budget - (self.used or 0), 0)


class PromotionCount(Base):
    """What a promotion has taken off in one currency, whatever its version."""

    __tablename__ = "promotion_counts"
    __table_args__ = (CheckConstraint("used >= 0", name="used_not_negative"),)

    promotion: Mapped[str] = mapped_column(primary_key=True)
    currency: Mapped[str] = mapped_column(primary_key=True)
    used: Mapped[int]


class PromotionUse(OwnedByCustomer, Base):
    """What a promotion took off the price of one order."""

    __tablename__ = "promotion_uses"
    __table_args__ = (
        Index("ix_promotion_uses_order", "order_source", "order_id"),
        CheckConstraint("amount > 0", name="amount_positive"),
        {"info": {POLICY: Redact(("order_id",), "budgets must add up; which order it was for is cleared")}},
    )

    quote_id: Mapped[UUID] = mapped_column(primary_key=True)
    promotion: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[int]
    amount: Mapped[int]
    currency: Mapped[str]
    order_source: Mapped[str]
    order_id: Mapped[str | None]
    """What the source calls its order."""
    taken_at: Mapped[datetime]
    restored_at: Mapped[datetime | None]
    """When nothing was left of the order, and the budget had it again."""


class PaymentPolicy(Base):
    """One version of how points pay, and for how long a quote holds; the newest one counts."""

    __tablename__ = "payment_policies"
    __table_args__ = (
        CheckConstraint("points > 0 AND amount > 0", name="rate_positive"),
        # Rows that migrations put in stay when tests empty the database.
        {"info": {APPEND_ONLY: True}, "comment": "seed"},
    )

    version: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    currency: Mapped[str]
    points: Mapped[int]
    amount: Mapped[int]
    """Minor units that so many points are worth."""
    max_basis_points: Mapped[int]
    """At most this part of what is to pay is paid with points."""
    quote_minutes: Mapped[int]
    created_at: Mapped[datetime]
    created_by: Mapped[str]


class Quote(OwnedByCustomer, Base):
    """A price that was named to a customer, and what it was made of."""

    __tablename__ = "quotes"
    __table_args__ = ({"info": {POLICY: Delete()}},)

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    request: Mapped[Json]
    """What was asked, coupons by their ids."""
    price: Mapped[Json]
    """What was answered."""
    state: Mapped[QuoteState] = mapped_column(enum_column(QuoteState), default=QuoteState.OPEN)
    order_source: Mapped[str | None]
    order_id: Mapped[str | None]
    transaction_id: Mapped[UUID | None] = mapped_column(ForeignKey("transactions.id"))
    """What took the points."""
    quoted_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    committed_at: Mapped[datetime | None]
