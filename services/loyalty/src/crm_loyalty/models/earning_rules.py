"""The table of earning rules."""

from datetime import datetime

from sqlalchemy import CheckConstraint
from sqlalchemy.orm import Mapped, mapped_column

from crm_loyalty.models.base import Base
from crm_shared.schema import APPEND_ONLY


class EarningRule(Base):
    """One version of a rule that gives points for purchases; a change is a new version, the old ones stay."""

    __tablename__ = "earning_rules"
    __table_args__ = (
        CheckConstraint("points > 0 AND per_amount > 0", name="rate_positive"),
        CheckConstraint("valid_until > valid_from", name="valid_until_after_from"),
        # Rows that migrations put in stay when tests empty the database.
        {"info": {APPEND_ONLY: True}, "comment": "seed"},
    )

    key: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    description: Mapped[str]
    currency: Mapped[str]
    points: Mapped[int]
    per_amount: Mapped[int]
    """Minor units of the currency: so many points for each whole such amount of a purchase."""
    active: Mapped[bool]
    valid_from: Mapped[datetime | None]
    valid_until: Mapped[datetime | None]
    created_at: Mapped[datetime]
    created_by: Mapped[str]
