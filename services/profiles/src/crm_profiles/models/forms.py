"""The tables of forms and of what was submitted by them."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import Index, Text
from sqlalchemy import text as sql
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from crm_profiles.models.base import Base
from crm_profiles.models.customers import Channel
from crm_shared.database import Json, enum_column
from crm_shared.erasure import POLICY, Delete
from crm_shared.ids import uuid7
from crm_shared.schema import APPEND_ONLY


class SubmissionState(StrEnum):
    """What became of a submission."""

    RECEIVED = "received"
    """The worker has not looked at it yet."""
    APPLIED = "applied"
    """All that it tells of a customer is on file."""
    SUGGESTED = "suggested"
    """It tells something else than is on file: staff decide."""
    DECIDED = "decided"
    """Staff have decided what was suggested."""
    UNMATCHED = "unmatched"
    """It reaches nobody on file and does not say enough to make somebody known."""
    TRAPPED = "trapped"
    """A program filled in what people do not see: what it wrote was not kept."""


class FormVersion(Base):
    """One version of a form; a change is a new one, by which older submissions are still understood."""

    __tablename__ = "form_versions"
    __table_args__ = ({"info": {APPEND_ONLY: True}},)

    key: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    definition: Mapped[Json]
    created_at: Mapped[datetime]
    created_by: Mapped[str]


class FormSubmission(Base):
    """What somebody answered. Whose it is, is found out after it was received, so that no answer tells."""

    __tablename__ = "form_submissions"
    __table_args__ = (
        Index("ix_form_submissions_of_form", "form_key", "received_at", "id"),
        Index("ix_form_submissions_in_state", "form_key", "state", "received_at", "id"),
        Index("ix_form_submissions_received_at", "received_at", postgresql_using="brin"),
        Index("uq_form_submissions_challenge_id", "challenge_id", unique=True),
        Index(
            "ix_form_submissions_unowned",
            "points",
            postgresql_using="gin",
            postgresql_where=sql("customer_id IS NULL"),
        ),
        Index("ix_form_submissions_unmatched", "received_at", postgresql_where=sql("customer_id IS NULL")),
        {"info": {POLICY: Delete()}},
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    form_key: Mapped[str]
    form_version: Mapped[int]
    channel: Mapped[Channel] = mapped_column(enum_column(Channel))
    answers: Mapped[Json]
    """As they are kept: normalised, by the key of their field."""
    points: Mapped[list[str]] = mapped_column(ARRAY(Text))
    """All contact points among them, by which erasure finds what belongs to nobody on file."""
    digest: Mapped[bytes]
    """Of what was sent: the same again is no other submission."""
    challenge_id: Mapped[UUID | None]
    """Each challenge is good for one submission."""
    customer_id: Mapped[UUID | None] = mapped_column(index=True)
    origin_customer_id: Mapped[UUID | None] = mapped_column(index=True)
    state: Mapped[SubmissionState] = mapped_column(enum_column(SubmissionState))
    suggestions: Mapped[Json]
    """What differs from what is on file, by the key of its field."""
    accepted: Mapped[list[str]] = mapped_column(ARRAY(Text))
    """The suggestions that staff took over, by the key of their field."""
    received_at: Mapped[datetime]
    received_by: Mapped[str | None]
    """The member of staff who asked; None: they wrote themselves."""
    decided_at: Mapped[datetime | None]
    decided_by: Mapped[str | None]
    version: Mapped[int]
