"""The table of adjustments that somebody asked for."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from crm_loyalty.models.base import Base
from crm_shared.customers import OwnedByCustomer
from crm_shared.database import enum_column
from crm_shared.erasure import POLICY, Redact
from crm_shared.ids import uuid7


class AdjustmentState(StrEnum):
    """Where an adjustment stands."""

    REQUESTED = "requested"
    APPROVED = "approved"
    REJECTED = "rejected"


class Adjustment(OwnedByCustomer, Base):
    """Points that somebody wants to put right, and who let them."""

    __tablename__ = "adjustments"
    __table_args__ = (
        CheckConstraint("points <> 0", name="points_not_zero"),
        CheckConstraint("(state = 'requested') = (decided_at IS NULL)", name="decided_once"),
        CheckConstraint("(state = 'approved') = (transaction_id IS NOT NULL)", name="approved_is_posted"),
        Index("ix_adjustments_state", "state", "id"),
        {"info": {POLICY: Redact(("reason", "note"), "who let whom move points stays, without the words")}},
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    points: Mapped[int]
    reason: Mapped[str | None]
    state: Mapped[AdjustmentState] = mapped_column(enum_column(AdjustmentState))
    requested_by: Mapped[str]
    requested_at: Mapped[datetime]
    decided_by: Mapped[str | None]
    decided_at: Mapped[datetime | None]
    note: Mapped[str | None]
    transaction_id: Mapped[UUID | None] = mapped_column(ForeignKey("transactions.id"))
    version: Mapped[int]
