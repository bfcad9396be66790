"""The table of what the tickets service told of tickets."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Index
from sqlalchemy.orm import Mapped, mapped_column

from crm_profiles.models.base import Base
from crm_shared.customers import OwnedByCustomer
from crm_shared.erasure import POLICY, Delete


class Ticket(OwnedByCustomer, Base):
    """A small copy of a ticket, so that the file is whole while its owner is away.

    Kinds, severities and statuses are the owner's words and may become more.
    """

    __tablename__ = "tickets"
    __table_args__ = (
        Index("ix_tickets_of_customer", "customer_id", "opened_at", "id"),
        {"info": {POLICY: Delete()}},
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    customer_id: Mapped[UUID] = mapped_column()
    number: Mapped[int]
    kind: Mapped[str]
    severity: Mapped[str]
    status: Mapped[str]
    title: Mapped[str]
    opened_at: Mapped[datetime]
    resolved_at: Mapped[datetime | None]
    closed_at: Mapped[datetime | None]
    resolution: Mapped[str | None]
    version: Mapped[int]
