"""The tables of consents and of the rules by which customers are written to."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import CheckConstraint, Index
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from crm_profiles.models.base import Base
from crm_shared.contracts.permissions import ConsentState
from crm_shared.customers import OwnedByCustomer
from crm_shared.database import Json, enum_column
from crm_shared.erasure import POLICY, Delete
from crm_shared.ids import uuid7
from crm_shared.permissions import ContactChannel
from crm_shared.schema import APPEND_ONLY


class Basis(StrEnum):
    """On which legal ground somebody is written to, or what forbids it."""

    CONSENT = "consent"
    CONTRACT = "contract"
    LEGITIMATE_INTEREST = "legitimate_interest"
    LEGAL_OBLIGATION = "legal_obligation"
    OBJECTION = "objection"


class ConsentStatement(OwnedByCustomer, Base):
    """Something the customer said about being written to; nothing is changed, the newest one counts.

    It goes when the customer is erased: without the person it proves nothing about anybody.
    """

    __tablename__ = "consent_statements"
    __table_args__ = (
        CheckConstraint("until > since", "until_after_since"),
        Index("ix_consent_statements_newest", "customer_id", "purpose", "channel", "since"),
        Index("ix_consent_statements_history", "customer_id", "recorded_at", "id"),
        {"info": {POLICY: Delete()}},
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    customer_id: Mapped[UUID] = mapped_column()
    purpose: Mapped[str]
    channel: Mapped[ContactChannel] = mapped_column(enum_column(ContactChannel))
    state: Mapped[ConsentState] = mapped_column(enum_column(ConsentState))
    basis: Mapped[Basis] = mapped_column(enum_column(Basis))
    since: Mapped[datetime]
    """When it was said: from then on it counts."""
    until: Mapped[datetime | None]
    source: Mapped[str | None]
    evidence: Mapped[str | None]
    version: Mapped[int]
    """Of all that was said under this id, with this."""
    recorded_at: Mapped[datetime]
    recorded_by: Mapped[str]


class Permission(OwnedByCustomer, Base):
    """All that was said under one customer id, as an aggregate: its version, quiet hours and caps."""

    __tablename__ = "permissions"
    __table_args__ = ({"info": {POLICY: Delete()}},)

    origin_customer_id: Mapped[UUID] = mapped_column(primary_key=True)
    version: Mapped[int]
    quiet_hours: Mapped[list[Json] | None] = mapped_column(JSONB(none_as_null=True))
    """None: those of the company."""
    quiet_hours_at: Mapped[datetime | None]
    caps: Mapped[list[Json]] = mapped_column(JSONB)
    caps_at: Mapped[datetime | None]
    updated_at: Mapped[datetime]


class ContactPolicyVersion(Base):
    """One version of the company's rules; a change is a new one, the old ones stay."""

    __tablename__ = "contact_policies"
    __table_args__ = ({"info": {APPEND_ONLY: True}},)

    version: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    policy: Mapped[Json]
    created_at: Mapped[datetime]
    created_by: Mapped[str]
