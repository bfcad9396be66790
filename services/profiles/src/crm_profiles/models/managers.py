"""The tables of account managers, and of the levels by which customers deserve one."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, Index
from sqlalchemy.orm import Mapped, mapped_column

from crm_profiles.models.base import Base
from crm_shared.contracts.segmentation import Level
from crm_shared.customers import OwnedByCustomer
from crm_shared.database import enum_column
from crm_shared.erasure import POLICY, Delete
from crm_shared.ids import uuid7


class ManagerAssignment(OwnedByCustomer, Base):
    """From an instant on, somebody looks after a customer, or nobody any more; the last one counts."""

    __tablename__ = "manager_assignments"
    __table_args__ = (
        Index("ix_manager_assignments_of_customer", "customer_id", "assigned_at", "id"),
        {"info": {POLICY: Delete()}},
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    customer_id: Mapped[UUID] = mapped_column()
    manager: Mapped[str | None]
    """None: nobody."""
    reason: Mapped[str | None]
    assigned_at: Mapped[datetime]
    assigned_by: Mapped[str | None]


class CustomerLevel(Base):
    """Our copy of the level that segmentation gives a customer."""

    __tablename__ = "customer_levels"
    __table_args__ = (
        CheckConstraint("version >= 1", "version"),
        Index("ix_customer_levels_since", "level", "since", "customer_id"),
        {"info": {POLICY: Delete()}},
    )

    customer_id: Mapped[UUID] = mapped_column(primary_key=True)
    level: Mapped[Level] = mapped_column(enum_column(Level))
    since: Mapped[datetime]
    version: Mapped[int]
