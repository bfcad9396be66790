"""What happened that may earn points, other than a purchase."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import ARRAY, Index, Text, UniqueConstraint
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from crm_loyalty.models.base import Base
from crm_shared.customers import OwnedByCustomer
from crm_shared.database import Json
from crm_shared.erasure import POLICY, Redact
from crm_shared.ids import uuid7


class EarningEvent(OwnedByCustomer, Base):
    """Something that happened, what was known of its customer then, and what it earned.

    (source, external_id) is unique: nothing is reckoned twice. Who was erased earns nothing any more.
    """

    __tablename__ = "earning_events"
    __table_args__ = (
        UniqueConstraint("source", "external_id"),
        Index("ix_earning_events_of_customer", "customer_id", "occurred_at", "id"),
        Index("ix_earning_events_occurred_at", "occurred_at", "id"),
        {
            "info": {
                POLICY: Redact(
                    ("external_id", "properties"),
                    "what points were given for stays, without what was told along with it",
                )
            }
        },
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    source: Mapped[str]
    """Who told of it: a system, or the source of a published event."""
    external_id: Mapped[str | None]
    """What they call it. None: its customer was erased."""
    customer_id: Mapped[UUID] = mapped_column()
    type: Mapped[str]
    occurred_at: Mapped[datetime]
    recorded_at: Mapped[datetime]
    properties: Mapped[Json | None] = mapped_column(JSONB(none_as_null=True))
    """None: its customer was erased."""
    level: Mapped[str | None]
    tier: Mapped[str | None]
    birthday_offset: Mapped[int | None]
    segments: Mapped[list[str]] = mapped_column(ARRAY(Text))
    points: Mapped[int] = mapped_column(default=0)
    explanation: Mapped[list[Json]] = mapped_column(JSONB, default=[])
    """What each rule gave."""
    available_at: Mapped[datetime | None]
    """When the points can be spent; None: at once."""
