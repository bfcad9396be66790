"""The tables of erasures."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column, relationship

from crm_profiles.models.base import Base
from crm_shared.database import Json
from crm_shared.erasure import POLICY, Keep
from crm_shared.ids import uuid7


class Erasure(Base):
    """A customer who had to be forgotten."""

    __tablename__ = "erasures"
    __table_args__ = ({"info": {POLICY: Keep("the receipt of the erasure: ids and counts only")}},)

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    customer_id: Mapped[UUID] = mapped_column(unique=True)
    requested_at: Mapped[datetime]
    requested_by: Mapped[str]

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
