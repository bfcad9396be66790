"""The rule of levels: figures and thresholds in, a level and its reason out, and when that ends."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache

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


@lru_cache(maxsize=16)
def definitions(thresholds: Thresholds) -> Mapping[Level, str]:
    """What each level takes, in words, the highest first; a customer has the first whose condition holds."""
    vip, important = (
        _money(amount, thresholds.currency)
        for amount in (thresholds.vip_monetary, thresholds.important_monetary)
    )
    return {
        Level.VIP: f"VIP is from {vip} with the last purchase at most {thresholds.vip_recency_days} days ago",
        Level.IMPORTANT: f"important is from {important}",
        Level.ORDINARY: f"ordinary is from {thresholds.ordinary_frequency} purchases"
        f" or with the last one at most {thresholds.ordinary_recency_days} days ago",
        Level.POTENTIAL: "potential is everybody else, who never bought included",
    }


def level_of(figures: Figures, thresholds: Thresholds, on: date) -> Level:
    """The one level that these figures give on that day.

    More money, more purchases or a later last purchase never lower it.
    """
    recency = figures.recency_days(on)
    if recency is None:
        return Level.POTENTIAL
    if figures.monetary >= thresholds.vip_monetary and recency <= thresholds.vip_recency_days:
        return Level.VIP
    if figures.monetary >= thresholds.important_monetary:
        return Level.IMPORTANT
    if figures.frequency >= thresholds.ordinary_frequency or recency <= thresholds.ordinary_recency_days:
        return Level.ORDINARY
    return Level.POTENTIAL


def assign(figures: Figures, thresholds: Thresholds, on: date) -> Standing:
    """The level, what led to it, and what was missed for the next.

    The reason names dates, not ages, so that it stays true until the level changes.
    """
    level = level_of(figures, thresholds, on)
    if figures.last_purchase_on is None:
        return Standing(level, "No purchase yet.")
    rules = definitions(thresholds)
    match level:
        case Level.VIP:
            rule = rules[Level.VIP]
        case Level.IMPORTANT:
            rule = f"{rules[Level.IMPORTANT]}; {rules[Level.VIP]}"
        case Level.ORDINARY:
            rule = f"{rules[Level.ORDINARY]}; {rules[Level.IMPORTANT]}"
        case Level.POTENTIAL:
            rule = rules[Level.ORDINARY]
    purchases = "1 purchase" if figures.frequency == 1 else f"{figures.frequency} purchases"
    spent = _money(figures.monetary, thresholds.currency)
    return Standing(level, f"{purchases} for {spent}, the last on {figures.last_purchase_on}: {rule}.")


def next_flip(figures: Figures, thresholds: Thresholds, on: date) -> date | None:
    """The first day after `on` that by itself, without a purchase, gives another level; None: no day does."""
    if figures.last_purchase_on is None:
        return None
    level = level_of(figures, thresholds, on)
    for days in sorted((thresholds.vip_recency_days, thresholds.ordinary_recency_days)):
        passed = figures.last_purchase_on + timedelta(days=days + 1)
        if passed > on and level_of(figures, thresholds, passed) is not level:
            return passed
    return None


def _money(amount: int, currency: str) -> str:
    decimals = _DECIMALS.get(currency, 2)
    return f"{amount / 10**decimals:,.{decimals}f} {currency}"
