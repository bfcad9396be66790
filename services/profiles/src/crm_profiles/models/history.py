"""The table of every state that customers were in."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import Index
from sqlalchemy.orm import Mapped, mapped_column

from crm_profiles.models.base import Base
from crm_profiles.models.customers import Channel
from crm_shared.database import Json, enum_column
from crm_shared.erasure import POLICY, Delete


class Change(StrEnum):
    """What made a version."""

    CREATED = "created"
    CHANGED = "changed"
    MERGED = "merged"
    """They took over what belonged to another customer."""
    ABSORBED = "absorbed"
    """They were merged into the customer whom `survivor_id` of the state names."""
    UNMERGED = "unmerged"
    SNAPSHOT = "snapshot"
    """What was on file when histories began."""


class CustomerVersion(Base):
    """A customer after one change; it stays under the id it was written under, whatever is merged later.

    The state is the data of the event that told of the change: columns, contact points, external ids, tags.
    """

    __tablename__ = "customer_versions"
    __table_args__ = (
        # Not BRIN: it knows nothing of what came since the last vacuum, and each look would read that.
        Index("ix_customer_versions_recorded_at", "recorded_at"),
        {"info": {POLICY: Delete()}},
    )

    customer_id: Mapped[UUID] = mapped_column(primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    recorded_at: Mapped[datetime]
    """Taken under the customer's lock, later than that of the version before."""
    actor: Mapped[str | None]
    source: Mapped[str | None]
    channel: Mapped[Channel] = mapped_column(enum_column(Channel))
    change: Mapped[Change] = mapped_column(enum_column(Change))
    state: Mapped[Json]
