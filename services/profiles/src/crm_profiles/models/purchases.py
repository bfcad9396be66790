"""The tables of purchases."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import CHAR, CheckConstraint, ForeignKey, Index, LargeBinary, SmallInteger
from sqlalchemy.orm import Mapped, mapped_column, relationship

from crm_profiles.models.base import Base
from crm_shared.customers import OwnedByCustomer
from crm_shared.erasure import POLICY, Keep
from crm_shared.ids import uuid7


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
