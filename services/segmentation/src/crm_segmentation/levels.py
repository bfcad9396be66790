"""The rule of levels: figures and thresholds in, a level and its reason out, and when that ends."""

from dataclasses import dataclass
from datetime import date, timedelta

from crm_shared.contracts.segmentation import Level

_DECIMALS = {
    "BHD": 3,
    "CLP": 0,
    "ISK": 0,
    "JOD": 3,
    "JPY": 0,
    "KRW": 0,
    "KWD": 3,
    "OMR": 3,
    "TND": 3,
    "VND": 0,
}
"""Currencies whose minor unit is not a hundredth (ISO 4217)."""


@dataclass(frozen=True)
class Thresholds:
    """From which numbers on a customer has a level; money in minor units of the currency."""

    version: int
    currency: str
    vip_monetary: int
    vip_recency_days: int
    important_monetary: int
    ordinary_frequency: int
    ordinary_recency_days: int


@dataclass(frozen=True)
class Figures:
    """A customer's purchases up to a day: the last one, how many, and their sum in the currency of levels."""

    last_purchase_on: date | None = None
    frequency: int = 0
    monetary: int = 0

    def recency_days(self, on: date) -> int | None:
        """Days from the last purchase to the given day; None: nothing was bought."""
        return None if self.last_purchase_on is None else (on - self.last_purchase_on).days


@dataclass(frozen=True)
class Standing:
    """A level, and why it is this one."""

    level: Level
    reason: str


def assign(figures: Figures, thresholds: Thresholds, on: date) -> Standing:
    """The one level that these figures give on that day.

    The highest whose condition holds. More money, more purchases or a later last purchase never lower it. The
    reason names dates rather than ages, so that it stays true until the level changes.
    """
    recency = figures.recency_days(on)
    if recency is None:
        return Standing(Level.POTENTIAL, "No purchase yet.")
    limits = thresholds
    vip = (
        f"VIP is from {_money(limits.vip_monetary, limits.currency)}"
        f" with the last purchase at most {limits.vip_recency_days} days ago"
    )
    important = f"important is from {_money(limits.important_monetary, limits.currency)}"
    ordinary = (
        f"ordinary is from {limits.ordinary_frequency} purchases"
        f" or with the last one at most {limits.ordinary_recency_days} days ago"
    )
    if figures.monetary >= limits.vip_monetary and recency <= limits.vip_recency_days:
        level, rule = Level.VIP, vip
    elif figures.monetary >= limits.important_monetary:
        level, rule = Level.IMPORTANT, f"{important}; {vip}"
    elif figures.frequency >= limits.ordinary_frequency or recency <= limits.ordinary_recency_days:
        level, rule = Level.ORDINARY, f"{ordinary}; {important}"
    else:
        level, rule = Level.POTENTIAL, ordinary
    purchases = "1 purchase" if figures.frequency == 1 else f"{figures.frequency} purchases"
    spent = _money(figures.monetary, limits.currency)
    return Standing(level, f"{purchases} for {spent}, the last on {figures.last_purchase_on}: {rule}.")


def next_flip(figures: Figures, thresholds: Thresholds, on: date) -> date | None:
    """The first day after `on` that by itself, without a purchase, gives another level; None: no day does."""
    if figures.last_purchase_on is None:
        return None
    level = assign(figures, thresholds, on).level
    for days in sorted((thresholds.vip_recency_days, thresholds.ordinary_recency_days)):
        passed = figures.last_purchase_on + timedelta(days=days + 1)
        if passed > on and assign(figures, thresholds, passed).level is not level:
            return passed
    return None


def _money(amount: int, currency: str) -> str:
    decimals = _DECIMALS.get(currency, 2)
    return f"{amount / 10**decimals:,.{decimals}f} {currency}"
