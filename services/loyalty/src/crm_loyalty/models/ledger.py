"""The tables of the points ledger: what may never change is apart from what does."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column, relationship

from crm_loyalty.models.base import BOOKKEEPING, Base
from crm_shared.customers import OwnedByCustomer
from crm_shared.database import Json, enum_column
from crm_shared.erasure import POLICY, Delete, Keep, Redact
from crm_shared.exports import EXPORT, Shown
from crm_shared.ids import uuid7
from crm_shared.schema import APPEND_ONLY


class Kind(StrEnum):
    """What a transaction did."""

    EARN = "earn"
    SPEND = "spend"
    ADJUST = "adjust"
    HOLD = "hold"
    CAPTURE = "capture"
    RELEASE = "release"
    RUN_OUT = "run_out"
    EXPIRE = "expire"
    REVERSE = "reverse"
    SETTLE = "settle"
    TRANSFER = "transfer"
    RECEIVE = "receive"


class ProgrammeAccount(StrEnum):
    """The programme's side of every entry; nobody keeps its balance, for all postings would wait for it."""

    ISSUED = "issued"
    REDEEMED = "redeemed"
    ADJUSTED = "adjusted"
    EXPIRED = "expired"
    REVERSED = "reversed"
    FORGIVEN = "forgiven"
    TRANSFERRED = "transferred"


class HoldState(StrEnum):
    """Where a hold stands; only an open one reserves points."""

    OPEN = "open"
    CAPTURED = "captured"
    RELEASED = "released"
    RAN_OUT = "ran_out"


class Account(OwnedByCustomer, Base):
    """The points written under one customer id; after a merge the survivor owns several."""

    __tablename__ = "accounts"
    __table_args__ = (
        UniqueConstraint("origin_customer_id"),
        CheckConstraint("owed >= 0", name="owed_not_negative"),
        # What is in lots is the balance and what is owed; holds are honoured whatever is owed.
        CheckConstraint("held BETWEEN 0 AND balance + owed", name="held_within_lots"),
        Index("ix_accounts_pool_id", "pool_id", postgresql_where=text("pool_id IS NOT NULL")),
        {"info": {POLICY: Keep(BOOKKEEPING)}},
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    # The unique constraint is the index.
    origin_customer_id: Mapped[UUID] = mapped_column()
    version: Mapped[int] = mapped_column(default=1)
    balance: Mapped[int] = mapped_column(default=0)
    """Points owned, held ones included, less those owed: the sum of the account's entries and of its lots."""
    held: Mapped[int] = mapped_column(default=0)
    owed: Mapped[int] = mapped_column(default=0)
    """What reversals took back that had been spent: it stands against what the owner has in lots."""
    active_at: Mapped[datetime]
    """When points were last earned or spent here, or else when the account was opened."""
    pool_id: Mapped[UUID | None] = mapped_column(ForeignKey("pools.id"))
    """The pool of which the owner is a member: here, as who locks the account is to know it for certain."""
    opened_at: Mapped[datetime]
    changed_at: Mapped[datetime]


class Transaction(Base):
    """One posting that had its effect; (source, reference) is unique for ever: nothing has it twice."""

    __tablename__ = "transactions"
    __table_args__ = (
        UniqueConstraint("source", "reference"),
        Index("ix_transactions_reverses", "reverses", postgresql_where=text("reverses IS NOT NULL")),
        Index("ix_transactions_hold_id", "hold_id", postgresql_where=text("hold_id IS NOT NULL")),
        # As that of entries.
        Index("ix_transactions_recorded_at", "recorded_at", postgresql_using="brin"),
        {"info": {APPEND_ONLY: True}},
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    kind: Mapped[Kind] = mapped_column(enum_column(Kind))
    source: Mapped[str]
    """Who asked for it: the source of an event, or a principal."""
    reference: Mapped[str]
    """What that source calls it: the id of an event, or an operation and its idempotency key."""
    account_id: Mapped[UUID] = mapped_column(ForeignKey("accounts.id"))
    """The account that it was addressed to."""
    version: Mapped[int]
    """That account's, after it."""
    points: Mapped[int]
    """How many it was about; negative where an adjustment or a reversal took points away."""
    balance: Mapped[int]
    """What the owner had after it, in all accounts; `held` likewise."""
    held: Mapped[int]
    hold_id: Mapped[UUID | None]
    reverses: Mapped[UUID | None] = mapped_column(ForeignKey("transactions.id"))
    """The transaction that this one undoes, or a part of it."""
    explanation: Mapped[list[Json]] = mapped_column(JSONB)
    """One line per earning rule that gave points."""
    effective_at: Mapped[datetime]
    recorded_at: Mapped[datetime]
    account: Mapped[Account] = relationship(lazy="raise", viewonly=True)
    reason: Mapped["Reason | None"] = relationship(lazy="raise", viewonly=True)


class Reason(OwnedByCustomer, Base):
    """Why somebody moved points, in their own words: apart from the books, so that it can be erased."""

    __tablename__ = "reasons"
    __table_args__ = ({"info": {POLICY: Delete()}},)

    transaction_id: Mapped[UUID] = mapped_column(ForeignKey("transactions.id"), primary_key=True)
    text: Mapped[str]


class OrderPayment(OwnedByCustomer, Base):
    """What points were spent on, or held for: they come back as that order is refunded."""

    __tablename__ = "order_payments"
    __table_args__ = (
        Index("ix_order_payments_order", "source", "external_id"),
        {"info": {POLICY: Delete()}},
    )

    transaction_id: Mapped[UUID] = mapped_column(ForeignKey("transactions.id"), primary_key=True)
    source: Mapped[str]
    external_id: Mapped[str]


class EarnedLine(Base):
    """What one line of a purchase earned; refunds lock it, so that they come one after the other.

    Points that waited for the end of a return window are given less what came back before it: what that was
    stands in the returned lines.
    """

    __tablename__ = "earned_lines"

    transaction_id: Mapped[UUID] = mapped_column(ForeignKey("transactions.id"), primary_key=True)
    line: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    amount: Mapped[int]
    """Minor units."""
    quantity: Mapped[int]
    points: Mapped[int]


class ReturnedLine(Base):
    """What one refund gave back of a line that earned points; each counts once."""

    __tablename__ = "returned_lines"
    __table_args__ = ({"info": {APPEND_ONLY: True}},)

    transaction_id: Mapped[UUID] = mapped_column(ForeignKey("transactions.id"), primary_key=True)
    line: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    refund_id: Mapped[UUID] = mapped_column(primary_key=True)
    amount: Mapped[int]
    quantity: Mapped[int]


class Entry(Base):
    """Points that came to one account or left it; the entries of a transaction add up to zero."""

    __tablename__ = "entries"
    __table_args__ = (
        CheckConstraint("amount <> 0", name="amount_not_zero"),
        CheckConstraint("num_nonnulls(account_id, programme_account) = 1", name="one_account"),
        Index(
            "ix_entries_account",
            "account_id",
            "recorded_at",
            "id",
            postgresql_where=text("account_id IS NOT NULL"),
        ),
        Index("ix_entries_transaction_id", "transaction_id"),
        # For reports of a period: entries are appended in the order of their time, and this costs nothing.
        Index("ix_entries_recorded_at", "recorded_at", postgresql_using="brin"),
        {"info": {APPEND_ONLY: True, EXPORT: Shown(via="account_id")}},
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    transaction_id: Mapped[UUID] = mapped_column(ForeignKey("transactions.id"))
    account_id: Mapped[UUID | None] = mapped_column(ForeignKey("accounts.id"))
    programme_account: Mapped[ProgrammeAccount | None] = mapped_column(enum_column(ProgrammeAccount))
    amount: Mapped[int]
    recorded_at: Mapped[datetime]
    transaction: Mapped[Transaction] = relationship(lazy="raise", viewonly=True)


class Lot(Base):
    """Points that came together and expire together; spends take what expires first, then what is older.

    A lot below zero is a debt: points that were taken back after they had been spent.
    """

    __tablename__ = "lots"
    __table_args__ = (
        CheckConstraint("amount <> 0", name="amount_not_zero"),
        CheckConstraint(
            "remaining BETWEEN LEAST(amount, 0) AND GREATEST(amount, 0)", name="remaining_within_amount"
        ),
        CheckConstraint("num_nonnulls(expires_at, idle_days) <= 1", name="one_expiry"),
        Index("ix_lots_transaction_id", "transaction_id"),
        Index("ix_lots_debts", "account_id", postgresql_where=text("remaining < 0")),
        Index(
            "ix_lots_open",
            "account_id",
            "expires_at",
            "earned_at",
            "id",
            postgresql_where=text("remaining > 0"),
        ),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    account_id: Mapped[UUID] = mapped_column(ForeignKey("accounts.id"))
    transaction_id: Mapped[UUID] = mapped_column(ForeignKey("transactions.id"))
    amount: Mapped[int]
    remaining: Mapped[int]
    earned_at: Mapped[datetime]
    expires_at: Mapped[datetime | None]
    """None: never, or by inactivity."""
    idle_days: Mapped[int | None]
    """After how many days without a movement they lapse; None: they do not."""
    policy_version: Mapped[int | None]
    """The points policy that says when; None: whoever gave them did."""
    parted_from: Mapped[UUID | None] = mapped_column(ForeignKey("lots.id"))
    """Another customer's lot, of which these points were a part until they were transferred."""


class Allocation(Base):
    """Which lot a transaction took points from, or with a negative number gave them back to."""

    __tablename__ = "allocations"
    __table_args__ = (
        CheckConstraint("points <> 0", name="points_not_zero"),
        Index("ix_allocations_lot_id", "lot_id"),
        {"info": {APPEND_ONLY: True}},
    )

    transaction_id: Mapped[UUID] = mapped_column(ForeignKey("transactions.id"), primary_key=True)
    lot_id: Mapped[UUID] = mapped_column(ForeignKey("lots.id"), primary_key=True)
    points: Mapped[int]


class Hold(OwnedByCustomer, Base):
    """Points reserved until they are captured, released, or the hold runs out; it ends once."""

    __tablename__ = "holds"
    __table_args__ = (
        CheckConstraint("points > 0", name="points_positive"),
        CheckConstraint("(state = 'open') = (resolved_at IS NULL)", name="resolved_once_not_open"),
        Index("ix_holds_open", "customer_id", "expires_at", postgresql_where=text("state = 'open'")),
        Index("ix_holds_of_customer", "customer_id", "placed_at"),
        {
            "info": {
                POLICY: Redact(("reference",), "the books stay; what the hold was for, in words, is cleared")
            }
        },
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    customer_id: Mapped[UUID] = mapped_column()
    transaction_id: Mapped[UUID] = mapped_column(ForeignKey("transactions.id"))
    points: Mapped[int]
    state: Mapped[HoldState] = mapped_column(enum_column(HoldState), default=HoldState.OPEN)
    reference: Mapped[str | None]
    """What it is for, in the words of who placed it."""
    placed_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    resolved_at: Mapped[datetime | None]


class HoldPart(Base):
    """How much of a hold is reserved in which account."""

    __tablename__ = "hold_parts"
    __table_args__ = (
        CheckConstraint("points > 0", name="points_positive"),
        Index("ix_hold_parts_account_id", "account_id"),
        {"info": {APPEND_ONLY: True}},
    )

    hold_id: Mapped[UUID] = mapped_column(ForeignKey("holds.id"), primary_key=True)
    account_id: Mapped[UUID] = mapped_column(ForeignKey("accounts.id"), primary_key=True)
    points: Mapped[int]
