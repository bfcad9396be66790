"""Which customers belong to which segments: loyalty's copy of what segmentation tells."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Index
from sqlalchemy.orm import Mapped, mapped_column

from crm_loyalty.models.base import Base
from crm_shared.customers import OwnedByCustomer
from crm_shared.erasure import POLICY, Delete


class Membership(OwnedByCustomer, Base):
    """Whether one customer is in one segment, as the newest event about this id says."""

    __tablename__ = "memberships"
    __table_args__ = (
        Index("ix_memberships_of_segment", "segment", "customer_id"),
        {"info": {POLICY: Delete()}},
    )

    origin_customer_id: Mapped[UUID] = mapped_column(primary_key=True)
    segment: Mapped[str] = mapped_column(primary_key=True)
    member: Mapped[bool]
    version: Mapped[int]
    changed_at: Mapped[datetime]
