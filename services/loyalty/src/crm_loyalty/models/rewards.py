"""The tables of rewards: the catalogue in versions, its stock, orders and their steps."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import ARRAY, CheckConstraint, ForeignKey, Index, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from crm_loyalty.models.base import Base
from crm_shared.customers import OwnedByCustomer
from crm_shared.database import Json, enum_column
from crm_shared.erasure import POLICY, Redact
from crm_shared.ids import uuid7
from crm_shared.schema import APPEND_ONLY


class RewardKind(StrEnum):
    """What the customer gets."""

    GIFT = "gift"
    COUPON = "coupon"
    DISCOUNT = "discount"


class OrderState(StrEnum):
    """Where an order stands."""

    ORDERED = "ordered"
    APPROVED = "approved"
    PACKED = "packed"
    SHIPPED = "shipped"
    DELIVERED = "delivered"
    CANCELLED = "cancelled"


class Reward(Base):
    """One version of something that points can be exchanged for; a change is a new version."""

    __tablename__ = "rewards"
    __table_args__ = (
        CheckConstraint("points > 0", name="points_positive"),
        CheckConstraint("max_per_customer > 0 AND max_total > 0", name="limits_positive"),
        CheckConstraint("valid_until > valid_from", name="valid_until_after_from"),
        {"info": {APPEND_ONLY: True}},
    )

    key: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    kind: Mapped[RewardKind] = mapped_column(enum_column(RewardKind))
    names: Mapped[Json]
    """By language."""
    points: Mapped[int]
    """The price of one."""
    limited: Mapped[bool]
    """Its stock is kept; else there is always enough."""
    max_per_customer: Mapped[int | None]
    max_total: Mapped[int | None]
    tiers: Mapped[list[str]] = mapped_column(ARRAY(Text))
    """Only for customers in one of these; none: for all. `levels` likewise."""
    levels: Mapped[list[str]] = mapped_column(ARRAY(Text))
    segments: Mapped[Json]
    """See SegmentsIn."""
    needs_approval: Mapped[bool]
    coupon_series: Mapped[str | None]
    """Of which series each piece is a coupon; gifts have none."""
    active: Mapped[bool]
    valid_from: Mapped[datetime | None]
    valid_until: Mapped[datetime | None]
    created_at: Mapped[datetime]
    created_by: Mapped[str]


class RewardStock(Base):
    """How many of a reward are left, and how many were ordered: one row that all who order it change."""

    __tablename__ = "reward_stock"
    __table_args__ = (
        CheckConstraint("remaining >= 0", name="remaining_not_negative"),
        CheckConstraint("ordered >= 0", name="ordered_not_negative"),
    )

    reward_key: Mapped[str] = mapped_column(primary_key=True)
    remaining: Mapped[int] = mapped_column(default=0)
    """Means something where the reward is limited."""
    ordered: Mapped[int] = mapped_column(default=0)
    """In all orders that are not cancelled."""


class RewardOrder(OwnedByCustomer, Base):
    """A reward that a customer has paid with points, on its way to them."""

    __tablename__ = "reward_orders"
    __table_args__ = (
        CheckConstraint("quantity > 0 AND points > 0", name="quantity_positive"),
        Index(
            "ix_reward_orders_limit",
            "customer_id",
            "reward_key",
            postgresql_where=text("state <> 'cancelled'"),
        ),
        Index("ix_reward_orders_state", "state", "id"),
        {
            "info": {
                POLICY: Redact(
                    ("deliver_to", "tracking"),
                    "stock and points must add up; where the order was sent is cleared",
                )
            }
        },
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    reward_key: Mapped[str]
    reward_version: Mapped[int]
    kind: Mapped[RewardKind] = mapped_column(enum_column(RewardKind))
    quantity: Mapped[int]
    points: Mapped[int]
    """Paid for all of it."""
    state: Mapped[OrderState] = mapped_column(enum_column(OrderState))
    version: Mapped[int] = mapped_column(default=1)
    deliver_to: Mapped[str | None]
    """In words; the profile's address where there are none."""
    tracking: Mapped[str | None]
    transaction_id: Mapped[UUID] = mapped_column(ForeignKey("transactions.id"), unique=True)
    """What paid for it."""
    ordered_at: Mapped[datetime]
    changed_at: Mapped[datetime]


class OrderStep(Base):
    """That an order came into a state: when, and by whom."""

    __tablename__ = "reward_order_steps"
    __table_args__ = ({"info": {APPEND_ONLY: True}},)

    order_id: Mapped[UUID] = mapped_column(ForeignKey("reward_orders.id"), primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    """The order's, after it."""
    state: Mapped[OrderState] = mapped_column(enum_column(OrderState))
    at: Mapped[datetime]
    by: Mapped[str]
