"""The table of the timeline."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import ColumnElement, Index, Text, literal_column
from sqlalchemy.orm import Mapped, mapped_column

from crm_profiles.models.base import Base
from crm_shared.customers import OwnedByCustomer
from crm_shared.database import Json, enum_column
from crm_shared.erasure import POLICY, Delete


class EntryType(StrEnum):
    """What an entry of the timeline tells of."""

    PURCHASE_RECORDED = "purchase.recorded"
    PURCHASE_REFUNDED = "purchase.refunded"
    INTERACTION_RECORDED = "interaction.recorded"
    FORM_SUBMITTED = "form.submitted"
    POINTS_EARNED = "points.earned"
    POINTS_ADJUSTED = "points.adjusted"
    POINTS_SPENT = "points.spent"
    POINTS_HELD = "points.held"
    POINTS_RELEASED = "points.released"
    REWARD_ORDERED = "reward.ordered"
    REWARD_SHIPPED = "reward.shipped"
    REWARD_DELIVERED = "reward.delivered"
    REWARD_CANCELLED = "reward.cancelled"
    COUPON_ISSUED = "coupon.issued"
    COUPON_REDEEMED = "coupon.redeemed"
    COUPON_VOIDED = "coupon.voided"
    POINTS_EXPIRED = "points.expired"
    POINTS_REVERSED = "points.reversed"
    POINTS_EXPIRING = "points.expiring"
    POINTS_SHARED = "points.shared"
    POOL_JOINED = "pool.joined"
    POOL_LEFT = "pool.left"
    LEVEL_CHANGED = "level.changed"
    TICKET_OPENED = "ticket.opened"
    COMPLAINT_UPHELD = "ticket.complaint_upheld"
    COMPLAINT_REJECTED = "ticket.complaint_rejected"
    TICKET_RESPONDED = "ticket.responded"
    TICKET_RESOLVED = "ticket.resolved"
    TICKET_CLOSED = "ticket.closed"
    CUSTOMER_LEFT = "customer.left"
    MANAGER_ASSIGNED = "manager.assigned"
    STAGE_CHANGED = "stage.changed"
    CONSENT_CHANGED = "consent.changed"
    QUIET_HOURS_CHANGED = "quiet_hours.changed"
    FREQUENCY_CAPS_CHANGED = "frequency_caps.changed"
    MESSAGE_SENT = "message.sent"
    MESSAGE_FAILED = "message.failed"
    MESSAGE_ANSWERED = "message.answered"

    @property
    def family(self) -> str:
        """What it is about: `ticket` of `ticket.closed`."""
        return self.value.partition(".")[0]


FAMILIES = tuple(sorted({entry_type.family for entry_type in EntryType}))
FAMILY: ColumnElement[str] = literal_column("split_part(type, '.', 1)", Text())
"""The family of an entry's type, spelled as the index has it."""


class TimelineEntry(OwnedByCustomer, Base):
    """Something that happened with a customer, wherever it happened; the id is the event's."""

    __tablename__ = "timeline_entries"
    __table_args__ = (
        Index("ix_timeline_entries_of_customer", "customer_id", "occurred_at", "id"),
        Index("ix_timeline_entries_of_family", "customer_id", FAMILY, "occurred_at", "id"),
        {"info": {POLICY: Delete()}},
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    customer_id: Mapped[UUID] = mapped_column()
    type: Mapped[EntryType] = mapped_column(enum_column(EntryType))
    occurred_at: Mapped[datetime]
    recorded_at: Mapped[datetime]
    title: Mapped[str]
    data: Mapped[Json]
