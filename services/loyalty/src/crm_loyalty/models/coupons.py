"""The tables of coupons: series in versions, the coupons themselves, whose they are, and their uses."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    CheckConstraint,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    LargeBinary,
    Text,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from crm_loyalty.models.base import Base
from crm_loyalty.rules.pricing import Stacking, ValueKind
from crm_shared.customers import OwnedByCustomer
from crm_shared.database import Json, enum_column
from crm_shared.erasure import POLICY, Delete, Redact
from crm_shared.ids import uuid7
from crm_shared.schema import APPEND_ONLY


class OnRefund(StrEnum):
    """What becomes of a used coupon when the whole order is given back."""

    LOST = "lost"
    KEEP = "keep"
    EXTEND = "extend"


class CouponState(StrEnum):
    """Where a coupon stands; that its time is over is seen by its `valid_until`."""

    ISSUED = "issued"
    RESERVED = "reserved"
    REDEEMED = "redeemed"
    VOID = "void"


class UseState(StrEnum):
    """What became of one use of a coupon."""

    RESERVED = "reserved"
    REDEEMED = "redeemed"
    RELEASED = "released"
    RESTORED = "restored"


class CouponSeries(Base):
    """One version of the terms under which coupons are issued; each coupon keeps those of its own."""

    __tablename__ = "coupon_series"
    __table_args__ = (
        CheckConstraint("valid_until > valid_from", name="valid_until_after_from"),
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
    products: Mapped[list[str]] = mapped_column(ARRAY(Text))
    categories: Mapped[list[str]] = mapped_column(ARRAY(Text))
    minimum: Mapped[int]
    max_issued: Mapped[int | None]
    max_uses: Mapped[int | None]
    max_uses_per_customer: Mapped[int | None]
    stacking: Mapped[Stacking] = mapped_column(enum_column(Stacking))
    stacking_class: Mapped[str | None]
    stacks_with: Mapped[list[str]] = mapped_column(ARRAY(Text))
    valid_from: Mapped[datetime | None]
    valid_until: Mapped[datetime | None]
    valid_days: Mapped[int | None]
    on_refund: Mapped[OnRefund] = mapped_column(enum_column(OnRefund))
    extend_days: Mapped[int]
    active: Mapped[bool]
    created_at: Mapped[datetime]
    created_by: Mapped[str]


class CouponCount(Base):
    """How many of a series were issued and are in use: what its total limits are held against."""

    __tablename__ = "coupon_counts"
    __table_args__ = (CheckConstraint("issued >= 0 AND used >= 0", name="not_negative"),)

    series_key: Mapped[str] = mapped_column(primary_key=True)
    issued: Mapped[int] = mapped_column(default=0)
    used: Mapped[int] = mapped_column(default=0)
    """Reserved or redeemed."""


class Coupon(Base):
    """One coupon; of its code only the digest and the last signs are kept: nobody can use what they read."""

    __tablename__ = "coupons"
    __table_args__ = (
        ForeignKeyConstraint(
            ["series_key", "series_version"], ["coupon_series.key", "coupon_series.version"]
        ),
        Index("ix_coupons_batch_id", "batch_id", "id", postgresql_where=text("batch_id IS NOT NULL")),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    series_key: Mapped[str]
    series_version: Mapped[int]
    digest: Mapped[bytes] = mapped_column(LargeBinary, unique=True)
    hint: Mapped[str]
    """The last signs of the code, to tell it from others."""
    personal: Mapped[bool]
    """Only for its owner; else for whoever has the code."""
    state: Mapped[CouponState] = mapped_column(enum_column(CouponState), default=CouponState.ISSUED)
    version: Mapped[int] = mapped_column(default=1)
    valid_from: Mapped[datetime | None]
    valid_until: Mapped[datetime | None]
    batch_id: Mapped[UUID | None]
    issued_at: Mapped[datetime]
    changed_at: Mapped[datetime]


class CouponOwner(OwnedByCustomer, Base):
    """To whom a personal coupon was issued; without it nobody can use it."""

    __tablename__ = "coupon_owners"
    __table_args__ = ({"info": {POLICY: Delete()}},)

    coupon_id: Mapped[UUID] = mapped_column(ForeignKey("coupons.id"), primary_key=True)


class CouponUse(OwnedByCustomer, Base):
    """That a coupon was reserved for an order, and what came of it; a coupon has one live use at most."""

    __tablename__ = "coupon_uses"
    __table_args__ = (
        Index(
            "uq_coupon_uses_live",
            "coupon_id",
            unique=True,
            postgresql_where=text("state IN ('reserved', 'redeemed')"),
        ),
        Index("ix_coupon_uses_order", "order_source", "order_id"),
        CheckConstraint("discount >= 0", name="discount_not_negative"),
        {
            "info": {
                POLICY: Redact(
                    ("order_id",), "limits and budgets must add up; which order it was for is cleared"
                )
            }
        },
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    coupon_id: Mapped[UUID] = mapped_column(ForeignKey("coupons.id"), index=True)
    series_key: Mapped[str]
    state: Mapped[UseState] = mapped_column(enum_column(UseState))
    order_source: Mapped[str]
    order_id: Mapped[str | None]
    """What the source calls its order."""
    discount: Mapped[int]
    currency: Mapped[str]
    reserved_at: Mapped[datetime]
    expires_at: Mapped[datetime | None]
    """When a reservation is released by itself."""
    changed_at: Mapped[datetime]
