"""The table of notes."""

from datetime import date, datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import CheckConstraint, Index
from sqlalchemy.orm import Mapped, mapped_column

from crm_profiles.models.base import Base
from crm_shared.customers import OwnedByCustomer
from crm_shared.database import enum_column
from crm_shared.erasure import POLICY, Delete
from crm_shared.ids import uuid7


class NoteKind(StrEnum):
    """What a note is there for."""

    NEED = "need"
    RELATIONSHIP = "relationship"
    GENERAL = "general"


class Note(OwnedByCustomer, Base):
    """What somebody of the staff wants to be remembered of a customer."""

    __tablename__ = "notes"
    __table_args__ = (
        CheckConstraint("version >= 1", "version"),
        Index("ix_notes_of_customer", "customer_id", "id"),
        {"info": {POLICY: Delete()}},
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    customer_id: Mapped[UUID] = mapped_column()
    kind: Mapped[NoteKind] = mapped_column(enum_column(NoteKind))
    text: Mapped[str]
    about: Mapped[str | None]
    follow_up_id: Mapped[UUID | None]
    """The planned contact, which tickets keeps."""
    due_on: Mapped[date | None]
    pinned: Mapped[bool]
    author: Mapped[str | None]
    version: Mapped[int]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
