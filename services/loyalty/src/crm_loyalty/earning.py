"""How many points a purchase earns, and why: values in, values out."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime


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
    """Add up what each rule that applies gives, rounded down per purchase and rule."""
    applying = sorted((rule for rule in rules if rule.applies_to(purchase)), key=lambda rule: rule.key)
    lines = tuple(line for rule in applying if (line := _line(rule, purchase)).points > 0)
    return Earned(sum(line.points for line in lines), lines)


def _line(rule: Rule, purchase: Purchase) -> Line:
    whole = max(purchase.amount, 0) // rule.per_amount
    text = (
        f"{rule.points} per whole {rule.per_amount} of {purchase.amount} {purchase.currency}"
        f" (minor units): {whole} × {rule.points}"
    )
    return Line(rule.key, rule.version, whole * rule.points, text)
