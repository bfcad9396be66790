"""The tables of tiers: the ladder's versions, where customers stand, and how they came there."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Index
from sqlalchemy.orm import Mapped, mapped_column

from crm_loyalty.models.base import Base
from crm_shared.customers import OwnedByCustomer
from crm_shared.database import Json
from crm_shared.erasure import POLICY, Delete
from crm_shared.ids import uuid7
from crm_shared.schema import APPEND_ONLY


class TierLadder(Base):
    """One version of the ladder; a change is a new one, the old ones stay."""

    __tablename__ = "tier_ladders"
    __table_args__ = {"info": {APPEND_ONLY: True}}

    version: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    terms: Mapped[Json]
    """The ladder as it was written: see TierLadderIn."""
    created_at: Mapped[datetime]
    created_by: Mapped[str]


class TierStanding(OwnedByCustomer, Base):
    """Where the customer of this id stands; while merged into another one, only that one's counts."""

    __tablename__ = "tier_standings"
    __table_args__ = ({"info": {POLICY: Delete()}},)

    origin_customer_id: Mapped[UUID] = mapped_column(primary_key=True)
    version: Mapped[int] = mapped_column(default=0)
    """Of what was told of it."""
    counts: Mapped[str | None]
    """The tier that the customer has: what was reached or, if higher, what was granted."""
    tier: Mapped[str | None]
    """What was reached."""
    since: Mapped[datetime | None]
    until: Mapped[datetime | None]
    announced: Mapped[bool] = mapped_column(default=False)
    """The customer was told that the tier will be lost."""
    granted: Mapped[str | None]
    granted_until: Mapped[datetime | None]
    granted_reason: Mapped[str | None]
    granted_by: Mapped[str | None]
    look_at: Mapped[datetime | None]
    """When time alone may change something; there is due work for it."""


class TierChange(OwnedByCustomer, Base):
    """That a customer's tier changed; also kept of a merge that changed none, so that it can be undone."""

    __tablename__ = "tier_changes"
    __table_args__ = (
        Index("ix_tier_changes_of_customer", "customer_id", "at", "id"),
        Index("ix_tier_changes_merge_id", "merge_id"),
        Index("ix_tier_changes_at", "at"),
        {"info": {POLICY: Delete()}},
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    customer_id: Mapped[UUID] = mapped_column()
    previous: Mapped[str | None]
    tier: Mapped[str | None]
    why: Mapped[str]
    total: Mapped[int]
    """What was counted in the period when it was decided."""
    until: Mapped[datetime | None]
    ladder_version: Mapped[int]
    at: Mapped[datetime]
    merge_id: Mapped[UUID | None]
    held: Mapped[Json | None]
    """What had been reached and granted before that merge, and the grant that it `became` by the merge."""
