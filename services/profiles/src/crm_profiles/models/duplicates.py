"""The tables of duplicates: pairs who may be one person, and the keys by which they are found."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import CheckConstraint, Index, LargeBinary, UniqueConstraint
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, foreign, mapped_column, relationship

from crm_profiles.models.base import Base
from crm_profiles.models.customers import Customer
from crm_shared.database import Json, enum_column
from crm_shared.erasure import POLICY, Delete
from crm_shared.ids import uuid7


class DuplicateState(StrEnum):
    """What became of a pair."""

    OPEN = "open"
    DISMISSED = "dismissed"
    MERGED = "merged"


class KeyKind(StrEnum):
    """In what two customers agree; who agrees in none is not compared."""

    CONTACT_POINT = "contact_point"
    EMAIL_NAME = "email_name"
    EXTERNAL_ID = "external_id"
    NAME_AND_BIRTH = "name_and_birth"
    BIRTH = "birth"


class Duplicate(Base):
    """Two customers who may be one person, how likely and why; somebody decides."""

    __tablename__ = "duplicates"
    __table_args__ = (
        CheckConstraint("first_id < second_id", "in_order"),
        UniqueConstraint("first_id", "second_id"),
        Index("ix_duplicates_by_score", "state", "score", "id"),
        Index("ix_duplicates_second_id", "second_id"),
        {"info": {POLICY: Delete(of=("first_id", "second_id"))}},
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    first_id: Mapped[UUID]
    second_id: Mapped[UUID]
    score: Mapped[float]
    reasons: Mapped[list[Json]] = mapped_column(JSONB)
    facts: Mapped[bytes] = mapped_column(LargeBinary)
    """Digest of what the reasons rest on: with other facts a dismissed pair is looked at again."""
    state: Mapped[DuplicateState] = mapped_column(enum_column(DuplicateState))
    found_at: Mapped[datetime]
    settled_at: Mapped[datetime | None]
    settled_by: Mapped[str | None]
    reason: Mapped[str | None]
    merge_id: Mapped[UUID | None]

    first: Mapped[Customer | None] = relationship(
        primaryjoin=lambda: foreign(Duplicate.first_id) == Customer.id, viewonly=True, lazy="raise"
    )
    second: Mapped[Customer | None] = relationship(
        primaryjoin=lambda: foreign(Duplicate.second_id) == Customer.id, viewonly=True, lazy="raise"
    )


class MatchingKey(Base):
    """Something by which a customer may be recognised; `former` is what they had once."""

    __tablename__ = "matching_keys"
    __table_args__ = (
        Index("ix_matching_keys_customer_id", "customer_id"),
        {"info": {POLICY: Delete()}},
    )

    kind: Mapped[KeyKind] = mapped_column(enum_column(KeyKind), primary_key=True)
    value: Mapped[str] = mapped_column(primary_key=True)
    customer_id: Mapped[UUID] = mapped_column(primary_key=True)
    former: Mapped[bool]


class MatchedCustomer(Base):
    """Up to which version a customer was compared with the others."""

    __tablename__ = "matched_customers"
    __table_args__ = ({"info": {POLICY: Delete()}},)

    customer_id: Mapped[UUID] = mapped_column(primary_key=True)
    version: Mapped[int]
