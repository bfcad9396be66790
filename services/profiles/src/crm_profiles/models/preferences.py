"""The table of preferences that somebody told us of."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import CheckConstraint
from sqlalchemy.orm import Mapped, mapped_column

from crm_profiles.models.base import Base
from crm_shared.customers import OwnedByCustomer
from crm_shared.database import Json, enum_column
from crm_shared.erasure import POLICY, Delete


class PreferenceKind(StrEnum):
    """Whether the customer said so, or somebody concludes it."""

    STATED = "stated"
    INFERRED = "inferred"


class Preference(OwnedByCustomer, Base):
    """What a customer prefers in one matter: what they said and what was concluded stand side by side."""

    __tablename__ = "preferences"
    __table_args__ = (
        CheckConstraint("confidence BETWEEN 0 AND 1", "confidence"),
        CheckConstraint("(kind = 'inferred') = (confidence IS NOT NULL)", "inferred_with_confidence"),
        {"info": {POLICY: Delete()}},
    )

    origin_customer_id: Mapped[UUID] = mapped_column(primary_key=True)
    topic: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[PreferenceKind] = mapped_column(enum_column(PreferenceKind), primary_key=True)
    customer_id: Mapped[UUID] = mapped_column(index=True)
    value: Mapped[str | None]
    """None: it was withdrawn."""
    source: Mapped[str]
    confidence: Mapped[float | None]
    evidence: Mapped[Json | None]
    known_at: Mapped[datetime]
    """When it was said or concluded."""
    recorded_at: Mapped[datetime]
