"""Two sets of rules over the same purchases and events: who gains, who loses, and how much in all."""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from crm_loyalty.rules.conditions import Cause, CustomerFacts
from crm_loyalty.rules.earning import Earned, Policy, Rule, evaluate
from crm_loyalty.rules.happenings import Happening
from crm_loyalty.rules.tally import Tally

BANDS = (-9999, -999, -99, -9, 0, 1, 10, 100, 1000, 10000)
"""Where bands of change begin, besides the one below all."""

EXAMPLES = 10

Pair = tuple[int, int]
"""By the one set of rules and by the other."""


@dataclass(slots=True)
class Comparison:
    """Sums so far; customers are counted when they are settled."""

    purchases: int = 0
    events: int = 0
    before: int = 0
    after: int = 0
    gaining: int = 0
    losing: int = 0
    unchanged: int = 0
    rules: dict[str, Pair] = field(default_factory=dict)
    bands: list[int] = field(default_factory=lambda: [0] * (len(BANDS) + 1))
    most_gained: list[tuple[UUID, int, int]] = field(default_factory=list)
    most_lost: list[tuple[UUID, int, int]] = field(default_factory=list)

    @property
    def customers(self) -> int:
        return self.gaining + self.losing + self.unchanged

    @property
    def reckoned(self) -> int:
        return self.purchases + self.events

    def settle(self, totals: Iterable[tuple[UUID, Pair]]) -> None:
        """Count customers with all that they were given."""
        changed = []
        for customer_id, (before, after) in totals:
            change = after - before
            self.gaining += change > 0
            self.losing += change < 0
            self.unchanged += change == 0
            self.bands[bisect_right(BANDS, change)] += 1
            if change:
                changed.append((customer_id, before, after))
        gained = [each for each in changed if each[2] > each[1]]
        lost = [each for each in changed if each[2] < each[1]]
        self.most_gained = sorted([*self.most_gained, *gained], key=_change, reverse=True)[:EXAMPLES]
        self.most_lost = sorted([*self.most_lost, *lost], key=_change)[:EXAMPLES]


def _change(example: tuple[UUID, int, int]) -> int:
    return example[2] - example[1]


@dataclass(slots=True)
class Replay:
    """What happened, by both sets of rules, each with caps and budgets of its own, which begin empty."""

    before: Sequence[Rule]
    after: Sequence[Rule]
    policy: Policy
    found: Comparison = field(default_factory=Comparison)
    open: dict[UUID, Pair] = field(default_factory=dict)
    """Customers who are not settled yet."""
    tallies: tuple[Tally, Tally] = field(default_factory=lambda: (Tally(), Tally()))

    def reckon(self, customer_id: UUID, cause: Cause, customer: CustomerFacts) -> None:
        before = self._evaluate(self.before, self.tallies[0], customer_id, cause, customer)
        after = self._evaluate(self.after, self.tallies[1], customer_id, cause, customer)
        had = self.open.get(customer_id, (0, 0))
        self.open[customer_id] = (had[0] + before.points, had[1] + after.points)
        happened = isinstance(cause, Happening)
        self.found.events += happened
        self.found.purchases += not happened
        self.found.before += before.points
        self.found.after += after.points
        sums: dict[str, list[int]] = defaultdict(lambda: [0, 0])
        for side, earned in enumerate((before, after)):
            for decision in earned.decisions:
                sums[decision.rule.key][side] += decision.points
        for key, (one, other) in sums.items():
            had = self.found.rules.get(key, (0, 0))
            self.found.rules[key] = (had[0] + one, had[1] + other)

    def _evaluate(
        self,
        rules: Sequence[Rule],
        tally: Tally,
        customer_id: UUID,
        cause: Cause,
        customer: CustomerFacts,
    ) -> Earned:
        zone = self.policy.time_zone
        usage = tally.usage(customer_id, cause.occurred_at, rules, zone)
        earned = evaluate(cause, rules, customer=customer, usage=usage, policy=self.policy)
        tally.add(customer_id, cause.occurred_at, earned, zone)
        return earned

    def settle(self, *, but: UUID | None = None) -> None:
        """Count the customers of whom nothing is to come: all, or all but one."""
        settled = [(id, pair) for id, pair in self.open.items() if id != but]
        self.found.settle(settled)
        for id, _ in settled:
            del self.open[id]
        for tally in self.tallies:
            tally.forget(id for id, _ in settled)

    def pass_to(self, instant: datetime) -> None:
        """Nothing is to come that was before this."""
        for tally in self.tallies:
            tally.pass_to(instant)
