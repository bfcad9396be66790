"""The tables of erasures, of who must not come back, and of exports of a person's data."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import ForeignKey, Index, LargeBinary, SmallInteger, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from crm_profiles.models.base import Base
from crm_shared.customers import OwnedByCustomer
from crm_shared.database import Json, enum_column
from crm_shared.erasure import POLICY, Delete, Keep
from crm_shared.exports import EXPORT, Withheld
from crm_shared.ids import uuid7


class AnswerState(StrEnum):
    """How far a service is with what it was asked for."""

    ANSWERED = "answered"
    WAITING = "waiting"
    OVERDUE = "overdue"


class SuppressedKind(StrEnum):
    """What a digest was made of."""

    CONTACT_POINT = "contact_point"
    EXTERNAL_ID = "external_id"


class Erasure(Base):
    """A customer who had to be forgotten."""

    __tablename__ = "erasures"
    __table_args__ = (
        Index("ix_erasures_open", "id", postgresql_where=text("completed_at IS NULL")),
        {"info": {POLICY: Keep("the receipt of the erasure: ids and counts only")}},
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    customer_id: Mapped[UUID] = mapped_column(unique=True)
    requested_at: Mapped[datetime]
    requested_by: Mapped[str]
    completed_at: Mapped[datetime | None]
    """When the last service confirmed; None: some have not yet."""

    confirmations: Mapped[list["ErasureConfirmation"]] = relationship(
        lazy="raise", viewonly=True, order_by="ErasureConfirmation.service"
    )


class ErasureConfirmation(Base):
    """What one service removed, and what it kept and why."""

    __tablename__ = "erasure_confirmations"

    erasure_id: Mapped[UUID] = mapped_column(ForeignKey(Erasure.id), primary_key=True)
    service: Mapped[str] = mapped_column(primary_key=True)
    confirmed_at: Mapped[datetime]
    removed: Mapped[Json]
    kept: Mapped[Json]


class Suppression(Base):
    """A contact point or an external id of somebody erased, as a keyed digest that names nobody."""

    __tablename__ = "suppressions"

    digest: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    kind: Mapped[SuppressedKind] = mapped_column(enum_column(SuppressedKind))
    erasure_id: Mapped[UUID] = mapped_column(ForeignKey(Erasure.id), index=True)
    suppressed_at: Mapped[datetime]
    lifted_at: Mapped[datetime | None]
    lifted_by: Mapped[str | None]
    lift_reason: Mapped[str | None]


class PrivacyExport(OwnedByCustomer, Base):
    """Somebody asked for all that is held about a customer."""

    __tablename__ = "privacy_exports"
    __table_args__ = ({"info": {POLICY: Delete()}},)

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    requested_at: Mapped[datetime]
    requested_by: Mapped[str]
    expires_at: Mapped[datetime]
    expired: Mapped[bool] = mapped_column(default=False)
    """Its parts are gone."""


class PrivacyExportPart(Base):
    """One page of a service's answer; it goes with its export."""

    __tablename__ = "privacy_export_parts"
    __table_args__ = ({"info": {EXPORT: Withheld("copies of what an export showed before")}},)

    export_id: Mapped[UUID] = mapped_column(
        ForeignKey(PrivacyExport.id, ondelete="CASCADE"), primary_key=True
    )
    service: Mapped[str] = mapped_column(primary_key=True)
    page: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    pages: Mapped[int] = mapped_column(SmallInteger)
    received_at: Mapped[datetime]
    text: Mapped[str]
