"""The tables of the message log."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column, relationship

from crm_profiles.models.base import Base
from crm_profiles.models.purchases import Purchase
from crm_shared.customers import OwnedByCustomer
from crm_shared.erasure import POLICY, Delete


class Message(OwnedByCustomer, Base):
    """One message to a customer and what came of it, but not what was written in it."""

    __tablename__ = "messages"
    __table_args__ = (
        CheckConstraint("attribution_days > 0", "attribution_days"),
        Index("uq_messages_source_external_id", "source", "external_id", unique=True),
        Index("ix_messages_of_customer", "customer_id", "sent_at", "id"),
        Index("ix_messages_sent_at", "sent_at"),
        {"info": {POLICY: Delete()}},
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    customer_id: Mapped[UUID] = mapped_column()
    source: Mapped[str]
    """The service or system that sent it."""
    external_id: Mapped[str]
    purpose: Mapped[str]
    channel: Mapped[str]
    """A text: services may use channels that this one does not know yet."""
    template: Mapped[str | None]
    template_version: Mapped[int | None]
    language: Mapped[str | None]
    campaign: Mapped[str | None]
    sent_at: Mapped[datetime]
    delivered_at: Mapped[datetime | None]
    failed_at: Mapped[datetime | None]
    failure: Mapped[str | None]
    answered_at: Mapped[datetime | None]
    attribution_days: Mapped[int | None]
    """For so long a purchase is credited to it, by the policy of when it was logged; None: not at all."""
    against_consent: Mapped[bool]
    """By what was known when it was logged, the customer had not agreed when it was sent."""
    version: Mapped[int]
    recorded_at: Mapped[datetime]

    conversions: Mapped[list["Conversion"]] = relationship(
        lazy="raise", viewonly=True, order_by="Conversion.purchased_at"
    )


class Conversion(Base):
    """A purchase that is credited to the last message before it; it goes with the message."""

    __tablename__ = "conversions"

    purchase_id: Mapped[UUID] = mapped_column(ForeignKey(Purchase.id), primary_key=True)
    message_id: Mapped[UUID] = mapped_column(ForeignKey(Message.id, ondelete="CASCADE"), index=True)
    purchased_at: Mapped[datetime]
