"""What rules have given so far, counted as caps and budgets count it."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from crm_loyalty.rules.earning import Earned, Rule, Usage
from crm_loyalty.rules.periods import Period, window

FEW = 1_000
"""Uses that are worth no look at which of them are over."""


class Asked(NamedTuple):
    """One customer's use of one rule in one period."""

    customer_id: UUID
    rule: str
    since: datetime
    until: datetime


@dataclass(slots=True)
class Tally:
    """What was given, kept up to date while a batch is reckoned."""

    used: dict[Asked, int] = field(default_factory=lambda: defaultdict(int))
    in_all: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    given: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    """From budgets, by this batch."""
    kept: int = 0
    """How many uses were left when those that were over were dropped last."""

    def usage(self, customer_id: UUID, occurred_at: datetime, rules: Iterable[Rule], zone: str) -> Usage:
        """What limits one purchase."""
        return Usage(
            {
                (rule.key, period): self.used[ask]
                for rule in rules
                for period, ask in asked_of(rule, customer_id, occurred_at, zone)
            },
            self.in_all,
        )

    def add(self, customer_id: UUID, occurred_at: datetime, earned: Earned, zone: str) -> None:
        """Count what a purchase was given."""
        for decision in earned.decisions:
            if not decision.points:
                continue
            for _, ask in asked_of(decision.rule, customer_id, occurred_at, zone):
                self.used[ask] += decision.points
            if decision.rule.budget is not None:
                self.in_all[decision.rule.key] += decision.points
                self.given[decision.rule.key] += decision.points

    def forget(self, customer_ids: Iterable[UUID]) -> None:
        """Drop what was counted of customers of whom no purchase is to come."""
        gone = set(customer_ids)
        self.used = defaultdict(int, {ask: n for ask, n in self.used.items() if ask.customer_id not in gone})

    def pass_to(self, instant: datetime) -> None:
        """Drop what periods that are over by now counted; looked for whenever there is twice as much."""
        if len(self.used) > max(2 * self.kept, FEW):
            self.used = defaultdict(int, {ask: n for ask, n in self.used.items() if ask.until > instant})
            self.kept = len(self.used)


def asked_of(rule: Rule, customer_id: UUID, occurred_at: datetime, zone: str) -> list[tuple[Period, Asked]]:
    """What the caps of the rule count, for a purchase of the customer at that time."""
    return [
        (cap.period, Asked(customer_id, rule.key, *window(cap.period, occurred_at, zone)))
        for cap in rule.caps
        if cap.period is not Period.PURCHASE
    ]


def asked(rules: Iterable[Rule], customer_id: UUID, occurred_at: datetime, zone: str) -> list[Asked]:
    """What the caps of all the rules count, for a purchase of the customer at that time."""
    return [ask for rule in rules for _, ask in asked_of(rule, customer_id, occurred_at, zone)]
