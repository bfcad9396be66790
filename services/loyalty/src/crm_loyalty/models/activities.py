"""The tables of activities: where and when, how many find room, and who is invited."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, LargeBinary, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from crm_loyalty.models.base import Base
from crm_shared.customers import OwnedByCustomer
from crm_shared.database import Json, enum_column
from crm_shared.erasure import POLICY, Delete
from crm_shared.ids import uuid7


class InvitationState(StrEnum):
    """What the customer has answered, and whether there was room."""

    INVITED = "invited"
    ACCEPTED = "accepted"
    WAITLISTED = "waitlisted"
    DECLINED = "declined"


class Activity(Base):
    """Something that customers are invited to; who answers locks its row, so that no seat is given twice."""

    __tablename__ = "activities"
    __table_args__ = (
        CheckConstraint("ends_at > starts_at", name="ends_after_start"),
        CheckConstraint("capacity > 0", name="capacity_positive"),
        CheckConstraint("points >= 0", name="points_not_negative"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    names: Mapped[Json]
    place: Mapped[str]
    starts_at: Mapped[datetime]
    ends_at: Mapped[datetime]
    time_zone: Mapped[str]
    capacity: Mapped[int | None]
    points: Mapped[int]
    """For being there."""
    cancelled_at: Mapped[datetime | None]
    created_at: Mapped[datetime]
    created_by: Mapped[str]
    version: Mapped[int]


class Invitation(OwnedByCustomer, Base):
    """A customer's invitation to an activity, with a code of their own; of it only the digest is kept."""

    __tablename__ = "invitations"
    __table_args__ = (
        UniqueConstraint("activity_id", "origin_customer_id"),
        Index("ix_invitations_line", "activity_id", "state", "answered_at", "id"),
        {"info": {POLICY: Delete()}},
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    activity_id: Mapped[UUID] = mapped_column(ForeignKey("activities.id"))
    digest: Mapped[bytes] = mapped_column(LargeBinary, unique=True)
    state: Mapped[InvitationState] = mapped_column(enum_column(InvitationState))
    invited_at: Mapped[datetime]
    answered_at: Mapped[datetime | None]
    """When the customer last said yes or no: the waiting list's order."""
    attended_at: Mapped[datetime | None]
    transaction_id: Mapped[UUID | None] = mapped_column(ForeignKey("transactions.id"))
    version: Mapped[int]
