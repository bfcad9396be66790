"""The tables of service recovery: what complaints are worth, in versions, what was spent, and to whom."""

from datetime import date, datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from crm_loyalty.models.base import Base
from crm_shared.customers import OwnedByCustomer
from crm_shared.database import Json, enum_column
from crm_shared.erasure import POLICY, Redact
from crm_shared.ids import uuid7
from crm_shared.schema import APPEND_ONLY


class RecoveryState(StrEnum):
    """Where a compensation stands."""

    PROPOSED = "proposed"
    GRANTED = "granted"
    DECLINED = "declined"
    REVERSED = "reversed"


class RecoveryPolicy(Base):
    """One version of what an upheld complaint is worth; a change is a new one."""

    __tablename__ = "recovery_policies"
    __table_args__ = ({"info": {APPEND_ONLY: True}},)

    version: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    active: Mapped[bool]
    points: Mapped[Json]
    """By severity."""
    monthly_budget: Mapped[int | None]
    """Points of all compensations that are granted in a month; None: any number."""
    supervisor_limit: Mapped[int | None]
    """More than so many points at once need a manager; None: nothing does."""
    created_at: Mapped[datetime]
    created_by: Mapped[str]


class RecoveryBudget(Base):
    """What was granted in a month of the programme's calendar, less what was reversed."""

    __tablename__ = "recovery_budgets"
    __table_args__ = (CheckConstraint("used >= 0", name="not_negative"),)

    month: Mapped[date] = mapped_column(primary_key=True)
    used: Mapped[int]


class Recovery(OwnedByCustomer, Base):
    """A compensation for an upheld complaint, which has one at most."""

    __tablename__ = "recoveries"
    __table_args__ = (
        CheckConstraint("points > 0", name="points_positive"),
        CheckConstraint("(state = 'proposed') = (decided_at IS NULL)", name="decided_once"),
        CheckConstraint(
            "(state IN ('granted', 'reversed')) = (transaction_id IS NOT NULL)", name="granted_is_posted"
        ),
        Index("ix_recoveries_state", "state", "id"),
        {
            "info": {
                POLICY: Redact(
                    ("cause", "compensation", "note"), "who gave whom points stays, without the words"
                )
            }
        },
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    complaint_id: Mapped[UUID] = mapped_column(unique=True)
    severity: Mapped[str]
    cause: Mapped[str | None]
    compensation: Mapped[str | None]
    """What was proposed with the verdict, in words."""
    points: Mapped[int]
    policy_version: Mapped[int] = mapped_column(ForeignKey("recovery_policies.version"))
    state: Mapped[RecoveryState] = mapped_column(enum_column(RecoveryState))
    proposed_at: Mapped[datetime]
    proposed_by: Mapped[str | None]
    """Who upheld the complaint."""
    decided_at: Mapped[datetime | None]
    decided_by: Mapped[str | None]
    month: Mapped[date | None]
    """The budget that it was taken from."""
    note: Mapped[str | None]
    transaction_id: Mapped[UUID | None] = mapped_column(ForeignKey("transactions.id"), unique=True)
    reversed_at: Mapped[datetime | None]
    reversed_by: Mapped[str | None]
    version: Mapped[int]
