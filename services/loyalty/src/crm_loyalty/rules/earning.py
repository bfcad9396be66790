"""How many points a purchase earns, and why: values in, values out."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

MAX_POINTS_PER_PURCHASE = 1_000_000_000
"""So that neither a mistaken rule nor an absurd purchase brings a balance near to what a number can hold."""


@dataclass(frozen=True, slots=True)
class Purchase:
    """What the rules look at; the amount is in minor units."""

    occurred_at: datetime
    amount: int
    currency: str


@dataclass(frozen=True, slots=True)
class Rule:
    """So many points for each whole `per_amount` of a purchase in the currency, while it is valid."""

    key: str
    version: int
    currency: str
    points: int
    per_amount: int
    active: bool = True
    valid_from: datetime | None = None
    valid_until: datetime | None = None

    def applies_to(self, purchase: Purchase) -> bool:
        return (
            self.active
            and self.currency == purchase.currency
            and (self.valid_from is None or self.valid_from <= purchase.occurred_at)
            and (self.valid_until is None or purchase.occurred_at < self.valid_until)
        )


@dataclass(frozen=True, slots=True)
class Line:
    """What one rule gave, in figures and in words."""

    rule: str
    version: int
    points: int
    text: str


@dataclass(frozen=True, slots=True)
class Earned:
    """The points of a purchase; the lines add up to them."""

    points: int
    lines: tuple[Line, ...]


def evaluate(purchase: Purchase, rules: Iterable[Rule]) -> Earned:
    """Add up what each rule that applies gives, rounded down per purchase and rule, up to the maximum."""
    applying = sorted((rule for rule in rules if rule.applies_to(purchase)), key=lambda rule: rule.key)
    lines: list[Line] = []
    earned = 0
    for rule in applying:
        line = _line(rule, purchase, at_most=MAX_POINTS_PER_PURCHASE - earned)
        if line.points > 0:
            lines.append(line)
            earned += line.points
    return Earned(earned, tuple(lines))


def _line(rule: Rule, purchase: Purchase, *, at_most: int) -> Line:
    whole = max(purchase.amount, 0) // rule.per_amount
    points = min(whole * rule.points, at_most)
    text = (
        f"{rule.points} per whole {rule.per_amount} of {purchase.amount} {purchase.currency}"
        f" (minor units): {whole} × {rule.points}"
    )
    if points < whole * rule.points:
        text += f", but only {points}: a purchase earns at most {MAX_POINTS_PER_PURCHASE}"
    return Line(rule.key, rule.version, points, text)
