"""The tables of merges: which customers were made one, and what each was before."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Identity, Index, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column, relationship

from crm_profiles.models.base import Base
from crm_shared.database import Json
from crm_shared.erasure import POLICY, Delete, Redact
from crm_shared.exports import EXPORT, Shown
from crm_shared.ids import uuid7

BOTH = ("survivor_id", "absorbed_id")


class Side(StrEnum):
    """One of the two who are merged."""

    SURVIVOR = "survivor"
    ABSORBED = "absorbed"


class Taken(StrEnum):
    """Where a member of the one customer comes from."""

    SURVIVOR = "survivor"
    ABSORBED = "absorbed"
    BOTH = "both"
    NEITHER = "neither"


class Merge(Base):
    """Two customers who were made one, by whom and why, and whether that was undone."""

    __tablename__ = "merges"
    __table_args__ = (
        CheckConstraint("survivor_id <> absorbed_id", "two_customers"),
        CheckConstraint("(undone_at IS NULL) = (undone_by IS NULL)", "undone_by_somebody"),
        Index("uq_merges_in_force", "absorbed_id", unique=True, postgresql_where=text("undone_at IS NULL")),
        Index("ix_merges_survivor_id", "survivor_id"),
        Index("ix_merges_absorbed_id", "absorbed_id"),
        {"info": {POLICY: Redact(("reason", "undo_reason"), "who was who: ids and names of members", BOTH)}},
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    sequence: Mapped[int] = mapped_column(Identity(always=True, cache=1), unique=True)
    """Allotted while no other merge is made, so that it rises in the order in which merges take effect."""
    survivor_id: Mapped[UUID]
    absorbed_id: Mapped[UUID]
    survivor_version: Mapped[int]
    """Before the merge; `absorbed_version` likewise."""
    absorbed_version: Mapped[int]
    prefer: Mapped[Json]
    moved: Mapped[Json]
    """Rows that went to the survivor, by table."""
    reason: Mapped[str | None]
    made_at: Mapped[datetime]
    made_by: Mapped[str]
    undone_at: Mapped[datetime | None]
    undone_by: Mapped[str | None]
    undo_reason: Mapped[str | None]
    kept: Mapped[list[str]] = mapped_column(JSONB, default=list)
    """Members that the merge had changed, and somebody since: they stayed when it was undone."""

    images: Mapped[list["MergeImage"]] = relationship(lazy="raise", viewonly=True)


class MergeImage(Base):
    """What the merge found of one of the two, and of the survivor what it left; apart, so as to be erased."""

    __tablename__ = "merge_images"
    # To the customer nothing is shown twice: the states before and after are in their history.
    __table_args__ = ({"info": {POLICY: Delete(), EXPORT: Shown(hidden=("before", "after"))}},)

    merge_id: Mapped[UUID] = mapped_column(ForeignKey(Merge.id), primary_key=True)
    customer_id: Mapped[UUID] = mapped_column(primary_key=True, index=True)
    before: Mapped[Json]
    after: Mapped[Json | None]
    missing: Mapped[list[Json]] = mapped_column(JSONB, default=list)
    """What could not be given back when the merge was undone: somebody gave it up or took it meanwhile."""
