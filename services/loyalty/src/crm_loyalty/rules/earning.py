"""How many points a purchase or an event earns, rule by rule, and why: values in, values out.

The one evaluator of real earning, dry runs, quotes and backtests. It is told what caps and budgets have given
already; whoever keeps these holds them locked meanwhile.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from zoneinfo import ZoneInfo

from crm_loyalty.rules.apportioning import apportion
from crm_loyalty.rules.conditions import ALWAYS, Cause, Conditions, CustomerFacts, PurchaseLine
from crm_loyalty.rules.happenings import Happening, Happenings
from crm_loyalty.rules.periods import Period

MAX_POINTS_AT_ONCE = 1_000_000_000
"""So that neither a mistaken rule nor an absurd purchase brings a balance near to what a number can hold."""


class Rounding(StrEnum):
    """What becomes of the part of an amount that is no whole `per_amount`; once per purchase and rule."""

    DOWN = "down"
    NEAREST = "nearest"
    """A half counts as a whole."""
    UP = "up"

    def divide(self, amount: int, by: int) -> int:
        match self:
            case Rounding.DOWN:
                return amount // by
            case Rounding.NEAREST:
                return (2 * amount + by) // (2 * by)
            case Rounding.UP:
                return -(-amount // by)


@dataclass(frozen=True, slots=True)
class Policy:
    """What the whole programme has in common: its calendar's time zone and its one rule of rounding."""

    time_zone: str
    rounding: Rounding


@dataclass(frozen=True, slots=True)
class PerAmount:
    """So many points for each whole such amount, in minor units."""

    points: int
    per_amount: int


@dataclass(frozen=True, slots=True)
class PerItem:
    """So many points for each piece."""

    points: int


@dataclass(frozen=True, slots=True)
class Fixed:
    """So many points, whatever it cost, or whatever happened."""

    points: int


@dataclass(frozen=True, slots=True)
class Multiplier:
    """So many per cent of what the rules of a group gave, besides that; 100 doubles it.

    It sees the rules of groups that have no multiplier of their own.
    """

    percent: int
    of: str


Rate = PerAmount | PerItem | Fixed | Multiplier


class Choice(StrEnum):
    """Which of several rules of one group counts when more than one gives points."""

    ALL = "all"
    BEST = "best"
    """The one that gives most; of equal ones the first."""
    FIRST = "first"
    """The one with the highest priority; of equal ones the first by key."""


@dataclass(frozen=True, slots=True)
class Cap:
    """At most so many points from the rule per customer in each such period, by the time of purchase."""

    period: Period
    points: int


@dataclass(frozen=True, slots=True)
class Rule:
    """A rate, and when it applies; without a currency it applies to all.

    With an `event` it is about these events, else about purchases.
    """

    key: str
    version: int
    rate: Rate
    currency: str | None = None
    when: Conditions = ALWAYS
    event: Happenings | None = None
    caps: tuple[Cap, ...] = ()
    budget: int | None = None
    """What it may give in all, to everybody together."""
    priority: int = 0
    group: str | None = None
    choice: Choice = Choice.ALL
    pending_days: int = 0
    active: bool = True
    valid_from: datetime | None = None
    valid_until: datetime | None = None

    @property
    def rank(self) -> tuple[int, str]:
        """The highest priority comes first, then the first key."""
        return (-self.priority, self.key)

    def against(self, cause: Cause, customer: CustomerFacts, local: datetime) -> tuple[str, ...]:
        """Why it does not apply, in words; nothing when it does."""
        if not self.active:
            return ("it is not active",)
        if self.valid_from is not None and cause.occurred_at < self.valid_from:
            return (f"it is valid only from {self.valid_from.isoformat()} on",)
        if self.valid_until is not None and cause.occurred_at >= self.valid_until:
            return (f"it was valid until {self.valid_until.isoformat()}",)
        if elsewhere := tuple(self._elsewhere(cause)):
            return elsewhere
        return tuple(self.when.against(cause, customer, local))

    def _elsewhere(self, cause: Cause) -> Iterator[str]:
        """Why it is about something else."""
        if isinstance(cause, Happening):
            if self.event is None:
                yield "it is about purchases"
            else:
                yield from self.event.against(cause)
        elif self.event is not None:
            yield "it is about events"
        elif self.currency is not None and cause.currency != self.currency:
            yield f"the purchase is in {cause.currency}, not {self.currency}"


@dataclass(frozen=True, slots=True)
class Line:
    """What one rule gave for one line of a purchase, and how; `line` None: for the purchase as a whole."""

    rule: str
    version: int
    points: int
    text: str
    line: int | None = None


@dataclass(frozen=True, slots=True)
class Usage:
    """What was given before: to this customer by rule and period, that of the purchase; by rule to all."""

    by_customer: Mapping[tuple[str, Period], int] = field(default_factory=dict)
    in_all: Mapping[str, int] = field(default_factory=dict)

    def room(self, rule: Rule) -> tuple[int, str]:
        """How much more the rule may give, and what limits it so."""
        limits = [
            (cap.points - self._used(rule, cap), f"at most {cap.points} {_PER[cap.period]}")
            for cap in rule.caps
        ]
        if rule.budget is not None:
            limits.append((rule.budget - self.in_all.get(rule.key, 0), f"a budget of {rule.budget} in all"))
        limits.append((MAX_POINTS_AT_ONCE, f"at most {MAX_POINTS_AT_ONCE} at once"))
        room, words = min(limits, key=lambda limit: limit[0])
        return max(room, 0), words

    def _used(self, rule: Rule, cap: Cap) -> int:
        return 0 if cap.period is Period.PURCHASE else self.by_customer.get((rule.key, cap.period), 0)


_PER = {
    Period.PURCHASE: "per purchase",
    Period.DAY: "per customer and day",
    Period.WEEK: "per customer and week",
    Period.MONTH: "per customer and month",
    Period.YEAR: "per customer and year",
    Period.TOTAL: "per customer in all",
}


@dataclass(slots=True)
class Decision:
    """What became of one rule: its points, how they were reckoned, and what was against (more of) them."""

    rule: Rule
    points: int = 0
    text: str = ""
    why_not: tuple[str, ...] = ()
    applies: bool = False
    shares: list[tuple[int | None, int]] = field(default_factory=list)
    """How the points are spread over the lines of the purchase."""

    def refuse(self, reason: str) -> None:
        self.points, self.shares = 0, []
        self.why_not = (*self.why_not, reason)


@dataclass(frozen=True, slots=True)
class Earned:
    """The points in all; the lines add up to them, and every rule says what became of it."""

    points: int
    lines: tuple[Line, ...]
    decisions: tuple[Decision, ...] = ()


def evaluate(
    cause: Cause,
    rules: Iterable[Rule],
    *,
    customer: CustomerFacts | None = None,
    usage: Usage | None = None,
    policy: Policy,
) -> Earned:
    """What each rule gives, by priority, up to the maximum; the order of the rules makes no difference."""
    usage = usage or Usage()
    local = cause.occurred_at.astimezone(ZoneInfo(policy.time_zone))
    decisions = [Decision(rule) for rule in sorted(rules, key=lambda rule: rule.rank)]
    for decision in decisions:
        decision.why_not = decision.rule.against(cause, customer or CustomerFacts(), local)
        decision.applies = not decision.why_not
    applying = [decision for decision in decisions if decision.applies]
    multiplied = {decision.rule.group for decision in applying if _multiplies(decision.rule)} - {None}
    plain = [d for d in applying if not _multiplies(d.rule) and d.rule.group not in multiplied]
    for decision in plain:
        _reckon(decision, cause, usage, policy, base={})
    _choose(plain)
    rest = [decision for decision in applying if decision not in plain]
    for decision in rest:
        _reckon(decision, cause, usage, policy, base=_base(decision.rule, plain))
    _choose(rest)
    _keep_below_maximum(applying)
    lines = tuple(line for decision in applying for line in _lines(decision))
    return Earned(sum(decision.points for decision in decisions), lines, tuple(decisions))


def _multiplies(rule: Rule) -> bool:
    return isinstance(rule.rate, Multiplier)


def _base(rule: Rule, plain: Iterable[Decision]) -> dict[int | None, int]:
    """By line, what the rules gave that this one multiplies."""
    base: dict[int | None, int] = {}
    for decision in plain:
        if isinstance(rule.rate, Multiplier) and decision.rule.group == rule.rate.of:
            for line, points in decision.shares:
                base[line] = base.get(line, 0) + points
    return base


def _reckon(
    decision: Decision, cause: Cause, usage: Usage, policy: Policy, *, base: Mapping[int | None, int]
) -> None:
    """The points of a rule that applies, within its caps and its budget, spread over the lines."""
    rule = decision.rule
    lines = rule.when.lines_of(cause)
    weights = [max(line.amount, 0) for line in lines]
    match rule.rate:
        case PerAmount(points, per_amount):
            amount = rule.when.amount_of(cause)
            units = policy.rounding.divide(amount, per_amount)
            wanted = units * points
            whole = "whole " if policy.rounding is Rounding.DOWN else f"(rounded {policy.rounding}) "
            text = f"{points} per {whole}{per_amount} of {amount} {rule.currency}"
            text += f" (minor units): {units} × {points}"
        case PerItem(points):
            weights = [max(line.quantity, 0) for line in lines]
            wanted = sum(weights) * points
            text = f"{points} for each of {sum(weights)} pieces"
        case Fixed(points):
            what = f"the event {cause.type}" if isinstance(cause, Happening) else "the purchase"
            wanted, text = points, f"{points} for {what}"
        case Multiplier(percent, of):
            weights = [base.get(line.line, 0) for line in lines]
            wanted = sum(weights) * percent // 100
            text = f"{percent} % of the {sum(weights)} of {of}"
    room, limit = usage.room(rule)
    decision.points, decision.text = min(wanted, room), text
    if decision.points < wanted:
        decision.text += f", but only {decision.points}: {limit}"
        decision.why_not = (f"{wanted - decision.points} points are missing: {limit}",)
    elif not wanted:
        decision.why_not = (f"{text} is nothing",)
    decision.shares = _spread(decision.points, lines, weights)


def _spread(
    points: int, lines: Sequence[PurchaseLine], weights: Sequence[int]
) -> list[tuple[int | None, int]]:
    parts = apportion(points, weights)
    return [(line.line, part) for line, part in zip(lines, parts, strict=True)]


def _choose(decisions: Sequence[Decision]) -> None:
    """Of each group whose rules exclude each other leave the one that counts."""
    groups: dict[str, list[Decision]] = {}
    for decision in decisions:
        if decision.rule.group is not None and decision.points:
            groups.setdefault(decision.rule.group, []).append(decision)
    for name, giving in groups.items():
        choices = {decision.rule.choice for decision in giving} - {Choice.ALL}
        if len(giving) == 1 or not choices:
            continue
        # Rules of one group that disagree cannot be stored; the first one's word counts in a dry run.
        choice = next(decision.rule.choice for decision in giving if decision.rule.choice in choices)
        chosen = giving[0] if choice is Choice.FIRST else max(giving, key=lambda decision: decision.points)
        for decision in giving:
            if decision is not chosen:
                decision.refuse(f"{chosen.rule.key} is the {choice} of {name}")


def _keep_below_maximum(decisions: Iterable[Decision]) -> None:
    room = MAX_POINTS_AT_ONCE
    for decision in decisions:
        if decision.points > room:
            limit = f"at most {MAX_POINTS_AT_ONCE} at once"
            decision.why_not = (f"{decision.points - room} points are missing: {limit}",)
            decision.text += f", but only {room}: {limit}"
            parts = apportion(room, [points for _, points in decision.shares])
            decision.points = room
            decision.shares = [(line, part) for (line, _), part in zip(decision.shares, parts, strict=True)]
        room -= decision.points


def _lines(decision: Decision) -> Iterable[Line]:
    rule, giving = decision.rule, [share for share in decision.shares if share[1]]
    for line, points in giving:
        share = f"; {points} of {decision.points} for line {line}" if len(giving) > 1 else ""
        yield Line(rule.key, rule.version, points, decision.text + share, line)
