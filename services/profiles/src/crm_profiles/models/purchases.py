"""The tables of purchases and of what was given back of them."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import CHAR, CheckConstraint, ForeignKey, Index, LargeBinary, SmallInteger, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from crm_profiles.models.base import Base
from crm_shared.customers import OwnedByCustomer
from crm_shared.database import enum_column
from crm_shared.erasure import POLICY, Keep, Redact
from crm_shared.exports import EXPORT, Shown
from crm_shared.ids import uuid7


class SalesChannel(StrEnum):
    """Where somebody bought."""

    STORE = "store"
    WEB = "web"
    APP = "app"
    MARKETPLACE = "marketplace"
    PHONE = "phone"
    SOCIAL = "social"
    OTHER = "other"


class PurchaseStatus(StrEnum):
    """How much of a purchase was given back."""

    KEPT = "kept"
    PARTLY_REFUNDED = "partly_refunded"
    REFUNDED = "refunded"


class Purchase(OwnedByCustomer, Base):
    """One order, as the shop told of it."""

    __tablename__ = "purchases"
    __table_args__ = (
        CheckConstraint("amount >= 0", "amount"),
        CheckConstraint("refunded BETWEEN 0 AND amount", "refunded"),
        Index("uq_purchases_source_external_id", "source", "external_id", unique=True),
        Index(
            "ix_purchases_of_customer",
            "customer_id",
            "occurred_at",
            "id",
            postgresql_include=["currency", "amount", "refunded"],
        ),
        {
            "info": {
                POLICY: Keep("bookkeeping: what was sold for how much, under an id that names nobody"),
                EXPORT: Shown(hidden=("digest",)),
            }
        },
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    customer_id: Mapped[UUID] = mapped_column()
    source: Mapped[str]
    external_id: Mapped[str]
    occurred_at: Mapped[datetime]
    recorded_at: Mapped[datetime]
    channel: Mapped[SalesChannel | None] = mapped_column(enum_column(SalesChannel))
    shop: Mapped[str | None]
    currency: Mapped[str] = mapped_column(CHAR(3))
    amount: Mapped[int]
    refunded: Mapped[int] = mapped_column(server_default=text("0"))
    """The sum of the refunds' amounts."""
    status: Mapped[PurchaseStatus] = mapped_column(
        enum_column(PurchaseStatus), server_default=PurchaseStatus.KEPT.value
    )
    version: Mapped[int]
    """One more with each refund."""
    digest: Mapped[bytes] = mapped_column(LargeBinary)
    """Of all that the shop told; another one under the same external id is a contradiction."""

    lines: Mapped[list["PurchaseLine"]] = relationship(
        lazy="raise", viewonly=True, order_by="PurchaseLine.line"
    )
    refunds: Mapped[list["Refund"]] = relationship(
        lazy="raise", viewonly=True, order_by="Refund.purchase_version"
    )


class PurchaseLine(Base):
    """One line of an order, in the order's currency."""

    __tablename__ = "purchase_lines"
    __table_args__ = (
        CheckConstraint("quantity >= 1", "quantity"),
        CheckConstraint("refunded_quantity BETWEEN 0 AND quantity", "refunded_quantity"),
        CheckConstraint("refunded BETWEEN 0 AND amount", "refunded"),
    )

    purchase_id: Mapped[UUID] = mapped_column(ForeignKey(Purchase.id), primary_key=True)
    line: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    product: Mapped[str | None]
    category: Mapped[str | None]
    brand: Mapped[str | None]
    quantity: Mapped[int]
    amount: Mapped[int]
    price: Mapped[int | None]
    """Of one piece."""
    discount: Mapped[int | None]
    """Of all pieces together."""
    refunded_quantity: Mapped[int] = mapped_column(server_default=text("0"))
    refunded: Mapped[int] = mapped_column(server_default=text("0"))


class Refund(OwnedByCustomer, Base):
    """What was given back of a purchase at one time; it belongs to whom the purchase belongs."""

    __tablename__ = "refunds"
    __table_args__ = (
        CheckConstraint("amount >= 0", "amount"),
        Index("uq_refunds_source_external_id", "source", "external_id", unique=True),
        Index("ix_refunds_of_customer", "customer_id", "occurred_at", "id"),
        {
            "info": {
                POLICY: Redact(("reason",), "bookkeeping: what was given back, under an id that names nobody")
            }
        },
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    purchase_id: Mapped[UUID] = mapped_column(ForeignKey(Purchase.id), index=True)
    customer_id: Mapped[UUID] = mapped_column()
    source: Mapped[str]
    external_id: Mapped[str]
    occurred_at: Mapped[datetime]
    recorded_at: Mapped[datetime]
    reason: Mapped[str | None]
    currency: Mapped[str] = mapped_column(CHAR(3))
    amount: Mapped[int]
    purchase_version: Mapped[int]
    purchase_status: Mapped[PurchaseStatus] = mapped_column(enum_column(PurchaseStatus))
    refunded_total: Mapped[int]
    """Version, status and sum of refunds of the purchase after it."""
    digest: Mapped[bytes] = mapped_column(LargeBinary)
    """Of all that the shop told; another one under the same external id is a contradiction."""

    lines: Mapped[list["RefundLine"]] = relationship(lazy="raise", viewonly=True, order_by="RefundLine.line")


class RefundLine(Base):
    """What was given back of one line of the purchase."""

    __tablename__ = "refund_lines"
    __table_args__ = (
        CheckConstraint("quantity >= 0", "quantity"),
        CheckConstraint("amount >= 0", "amount"),
    )

    refund_id: Mapped[UUID] = mapped_column(ForeignKey(Refund.id), primary_key=True)
    line: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    quantity: Mapped[int]
    amount: Mapped[int]
