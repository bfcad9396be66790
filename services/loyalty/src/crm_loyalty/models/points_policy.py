"""The table of points policies."""

from datetime import datetime
from enum import StrEnum

from sqlalchemy import CheckConstraint
from sqlalchemy.orm import Mapped, mapped_column

from crm_loyalty.models.base import Base
from crm_loyalty.rules.earning import Rounding
from crm_loyalty.rules.expiry import ExpiryRule
from crm_shared.database import enum_column
from crm_shared.schema import APPEND_ONLY


class DebtRule(StrEnum):
    """What becomes of points that a refund takes back and that are no longer there."""

    OWE = "owe"
    FORGIVE = "forgive"


class PointsPolicyVersion(Base):
    """One version of how long points live and what is owed; a change is a new one, the old ones stay."""

    __tablename__ = "points_policies"
    __table_args__ = (
        CheckConstraint("(expiry = 'never') = (expires_after IS NULL)", name="never_after_nothing"),
        {"info": {APPEND_ONLY: True}},
    )

    version: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    time_zone: Mapped[str]
    expiry: Mapped[ExpiryRule] = mapped_column(enum_column(ExpiryRule))
    expires_after: Mapped[int | None]
    """Days, or months for the rules that name a month or a year."""
    notice_days: Mapped[int]
    debt: Mapped[DebtRule] = mapped_column(enum_column(DebtRule))
    approval_above: Mapped[int | None]
    """An adjustment of more points needs a second person; None: none does."""
    transfer_max: Mapped[int | None]
    """Points that a customer may transfer in one day of the programme's zone; None: as many as there are."""
    pool_members_max: Mapped[int]
    """How many customers a pool may have; 0: none can be made."""
    rounding: Mapped[Rounding] = mapped_column(enum_column(Rounding))
    """What becomes of what is left of an amount beyond the whole steps that earn points."""
    created_at: Mapped[datetime]
    created_by: Mapped[str]
