"""The tables of loyalty, a module for each noun."""

from crm_loyalty.models import (
    activities,
    adjustments,
    calendars,
    care,
    contact,
    coupons,
    earning_rules,
    ledger,
    messages,
    points_policy,
    purchases,
    quotes,
    recovery,
    referrals,
    rewards,
    tiers,
)
from crm_loyalty.models.base import Base

__all__ = [
    "Base",
    "activities",
    "adjustments",
    "calendars",
    "care",
    "contact",
    "coupons",
    "earning_rules",
    "ledger",
    "messages",
    "points_policy",
    "purchases",
    "quotes",
    "recovery",
    "referrals",
    "rewards",
    "tiers",
]
