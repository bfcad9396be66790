"""The tables of pools: customers of one household who share their points, and on which terms."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from crm_loyalty.models.base import Base
from crm_shared.customers import OwnedByCustomer
from crm_shared.database import enum_column
from crm_shared.erasure import POLICY, Delete
from crm_shared.ids import uuid7


class Spending(StrEnum):
    """Who may spend what all members have."""

    ANY = "any"
    HEAD = "head"


class MemberState(StrEnum):
    """Where somebody stands with a pool."""

    INVITED = "invited"
    ACTIVE = "active"
    ENDED = "ended"


class Ending(StrEnum):
    """Why somebody is no member (any more)."""

    DECLINED = "declined"
    WITHDRAWN = "withdrawn"
    LEFT = "left"
    REMOVED = "removed"
    DISSOLVED = "dissolved"
    MERGED = "merged"


class Pool(Base):
    """A household; whoever changes who belongs to it locks its row, then the accounts."""

    __tablename__ = "pools"
    __table_args__ = (CheckConstraint("daily_limit > 0", name="daily_limit_positive"),)

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    name: Mapped[str | None]
    """None once the head who may be named in it was erased."""
    spending: Mapped[Spending] = mapped_column(enum_column(Spending))
    daily_limit: Mapped[int | None]
    """Points of the others that a member may take in one day of the programme's zone; None: any number."""
    created_at: Mapped[datetime]
    created_by: Mapped[str]
    dissolved_at: Mapped[datetime | None]
    version: Mapped[int]


class PoolMember(OwnedByCustomer, Base):
    """A customer's time in a pool, from the invitation on; of who is merged each id has its own.

    Which pool the ledger goes by stands on the account, which it locks: `Account.pool_id` follows from this.
    """

    __tablename__ = "pool_members"
    __table_args__ = (
        CheckConstraint("(state = 'ended') = (ended_at IS NOT NULL)", name="ended_at_its_end"),
        CheckConstraint("(state = 'ended') = (ending IS NOT NULL)", name="ended_for_a_reason"),
        CheckConstraint("state <> 'active' OR joined_at IS NOT NULL", name="active_since"),
        Index(
            "uq_pool_members_active",
            "origin_customer_id",
            unique=True,
            postgresql_where=text("state = 'active'"),
        ),
        Index(
            "uq_pool_members_once",
            "pool_id",
            "origin_customer_id",
            unique=True,
            postgresql_where=text("state <> 'ended'"),
        ),
        Index(
            "uq_pool_members_head", "pool_id", unique=True, postgresql_where=text("head AND state = 'active'")
        ),
        Index("ix_pool_members_pool_id", "pool_id", "id"),
        {"info": {POLICY: Delete()}},
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    pool_id: Mapped[UUID] = mapped_column(ForeignKey("pools.id"))
    head: Mapped[bool]
    state: Mapped[MemberState] = mapped_column(enum_column(MemberState))
    ending: Mapped[Ending | None] = mapped_column(enum_column(Ending))
    invited_at: Mapped[datetime]
    joined_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    version: Mapped[int]
