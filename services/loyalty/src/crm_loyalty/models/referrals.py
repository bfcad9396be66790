"""The tables of referrals: what they are worth, in versions, the codes of customers, and who brought whom."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, LargeBinary, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from crm_loyalty.models.base import Base
from crm_shared.customers import OwnedByCustomer
from crm_shared.database import enum_column
from crm_shared.erasure import POLICY, Delete
from crm_shared.ids import uuid7
from crm_shared.schema import APPEND_ONLY


class ReferralState(StrEnum):
    """What became of a referral; that its time is over is seen by its `qualify_by`."""

    CLAIMED = "claimed"
    QUALIFIED = "qualified"
    REVERSED = "reversed"
    VOID = "void"


class ReferralPolicy(Base):
    """One version of what bringing a friend is worth; a change is a new one, for referrals from then on."""

    __tablename__ = "referral_policies"
    __table_args__ = (
        CheckConstraint("points_referrer >= 0 AND points_friend >= 0", name="points_not_negative"),
        {"info": {APPEND_ONLY: True}},
    )

    version: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    active: Mapped[bool]
    points_referrer: Mapped[int]
    points_friend: Mapped[int]
    currency: Mapped[str]
    minimum_order: Mapped[int]
    """Minor units that the friend's order comes to at least."""
    qualify_days: Mapped[int]
    """How long after the claim."""
    return_days: Mapped[int]
    """An order that is given back as a whole this soon takes the points back."""
    max_per_referrer: Mapped[int | None]
    created_at: Mapped[datetime]
    created_by: Mapped[str]


class ReferralCode(OwnedByCustomer, Base):
    """A customer's code for friends; of it only the digest is kept, as of coupons'."""

    __tablename__ = "referral_codes"
    __table_args__ = (UniqueConstraint("origin_customer_id"), {"info": {POLICY: Delete()}})

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    # The unique constraint is the index.
    origin_customer_id: Mapped[UUID] = mapped_column()
    digest: Mapped[bytes] = mapped_column(LargeBinary, unique=True)
    made_at: Mapped[datetime]


class Referral(OwnedByCustomer, Base):
    """A new customer, the friend, who came by the code of another one."""

    __tablename__ = "referrals"
    __table_args__ = (
        UniqueConstraint("origin_customer_id"),
        Index("ix_referrals_referrer_id", "referrer_id", "id"),
        Index("ix_referrals_purchase_id", "purchase_id", postgresql_where=text("purchase_id IS NOT NULL")),
        CheckConstraint("origin_customer_id <> referrer_id", name="not_oneself"),
        CheckConstraint(
            "(state IN ('qualified', 'reversed')) <= (purchase_id IS NOT NULL)", name="qualified_by_purchase"
        ),
        {"info": {POLICY: Delete(of=("customer_id", "referrer_id"))}},
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    # The unique constraint is the index.
    origin_customer_id: Mapped[UUID] = mapped_column()
    referrer_id: Mapped[UUID]
    """For whom the code was made; whom that means today is seen by who owns that account."""
    policy_version: Mapped[int] = mapped_column(ForeignKey("referral_policies.version"))
    state: Mapped[ReferralState] = mapped_column(enum_column(ReferralState))
    claimed_at: Mapped[datetime]
    qualify_by: Mapped[datetime]
    purchase_id: Mapped[UUID | None]
    """The order by which it qualified."""
    qualified_at: Mapped[datetime | None]
    """When that was bought."""
    settled_at: Mapped[datetime | None]
    """When the points were given, or after a return taken back."""
    referrer_transaction_id: Mapped[UUID | None] = mapped_column(ForeignKey("transactions.id"))
    friend_transaction_id: Mapped[UUID | None] = mapped_column(ForeignKey("transactions.id"))
    version: Mapped[int]
