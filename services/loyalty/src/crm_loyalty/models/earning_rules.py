"""The tables of earning: rules, what they have given, and how much of a budget is gone."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, Index
from sqlalchemy.orm import Mapped, mapped_column

from crm_loyalty.models.base import BOOKKEEPING, Base
from crm_shared.customers import OwnedByCustomer
from crm_shared.database import Json
from crm_shared.erasure import POLICY, Keep
from crm_shared.schema import APPEND_ONLY


class EarningRule(Base):
    """One version of a rule that gives points; a change is a new version, the old ones stay."""

    __tablename__ = "earning_rules"
    # Rows that migrations put in stay when tests empty the database.
    __table_args__ = ({"info": {APPEND_ONLY: True}, "comment": "seed"},)

    key: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    terms: Mapped[Json]
    """The rule as it was written: see EarningRuleTerms."""
    created_at: Mapped[datetime]
    created_by: Mapped[str]


class Award(OwnedByCustomer, Base):
    """What one rule gave for one purchase or event: what caps are counted from."""

    __tablename__ = "awards"
    __table_args__ = (
        CheckConstraint("points > 0", name="points_positive"),
        Index("ix_awards_of_customer", "customer_id", "rule", "occurred_at", postgresql_include=["points"]),
        {"info": {POLICY: Keep(BOOKKEEPING)}},
    )

    cause_id: Mapped[UUID] = mapped_column(primary_key=True)
    """The purchase or the event."""
    rule: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[int]
    customer_id: Mapped[UUID] = mapped_column()
    points: Mapped[int]
    occurred_at: Mapped[datetime]
    """When it was bought, or happened: caps are per period of that."""


class EarningBudget(Base):
    """How much of its budget a rule has given, whatever its version."""

    __tablename__ = "earning_budgets"
    __table_args__ = (CheckConstraint("used >= 0", name="used_not_negative"),)

    rule: Mapped[str] = mapped_column(primary_key=True)
    used: Mapped[int] = mapped_column(default=0)
