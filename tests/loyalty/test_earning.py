"""The evaluator of earning rules: which rules apply, what they give, for which line, and why not."""

from dataclasses import replace
from datetime import UTC, date, datetime, time
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from crm_loyalty.rules.apportioning import apportion
from crm_loyalty.rules.conditions import (
    LAST_DAY,
    Around,
    Conditions,
    CustomerFacts,
    Days,
    Hours,
    Purchase,
    PurchaseLine,
)
from crm_loyalty.rules.earning import (
    MAX_POINTS_AT_ONCE,
    Cap,
    Choice,
    Fixed,
    Multiplier,
    PerAmount,
    PerItem,
    Policy,
    Rounding,
    Rule,
    Usage,
    evaluate,
)
from crm_loyalty.rules.explaining import explain
from crm_loyalty.rules.periods import Period, window

NOON = datetime(2026, 2, 1, 12, tzinfo=UTC)  # a Sunday
JAZZ = PurchaseLine(1, 1500, 2, "Kind of Blue", "jazz", "Columbia")
POP = PurchaseLine(2, 1433, 1, "Help!", "pop", "EMI")
BASKET = Purchase(NOON, 2933, "USD", (JAZZ, POP), channel="web", shop="main")
BASE = Rule("base", 1, PerAmount(1, 100), currency="USD", group="base")
POLICY = Policy("UTC", Rounding.DOWN)
BERLIN = "Europe/Berlin"


def points(rule: Rule, purchase: Purchase = BASKET, policy: Policy = POLICY, **facts: Any) -> int:
    return evaluate(purchase, [rule], customer=CustomerFacts(**facts), policy=policy).points


def test_points_of_a_rule_are_spread_over_the_lines_by_amount() -> None:
    earned = evaluate(BASKET, [BASE], policy=POLICY)

    assert [(line.line, line.points) for line in earned.lines] == [(1, 15), (2, 14)]
    assert earned.lines[0].text == "1 per whole 100 of 2933 USD (minor units): 29 × 1; 15 of 29 for line 1"


@pytest.mark.parametrize(
    ("rate", "expected"),
    [
        (PerAmount(2, 500), [(1, 5), (2, 5)]),
        (PerItem(5), [(1, 10), (2, 5)]),
        (Fixed(7), [(1, 4), (2, 3)]),
    ],
)
def test_each_rate_gives_its_points(
    rate: PerAmount | PerItem | Fixed, expected: list[tuple[int, int]]
) -> None:
    earned = evaluate(BASKET, [Rule("r", 1, rate, currency="USD")], policy=POLICY)

    assert [(line.line, line.points) for line in earned.lines] == expected


def test_a_multiplier_adds_to_what_another_group_gives_for_the_lines_that_count() -> None:
    double_jazz = Rule("jazz", 1, Multiplier(100, "base"), when=Conditions(categories=frozenset({"jazz"})))

    earned = evaluate(BASKET, [double_jazz, BASE], policy=POLICY)

    assert [(line.rule, line.line, line.points) for line in earned.lines] == [
        ("base", 1, 15),
        ("base", 2, 14),
        ("jazz", 1, 15),
    ]
    assert evaluate(BASKET, [double_jazz], policy=POLICY).points == 0


@pytest.mark.parametrize(
    ("rounding", "expected"), [(Rounding.DOWN, 29), (Rounding.NEAREST, 29), (Rounding.UP, 30)]
)
def test_the_programme_rounds_in_one_way(rounding: Rounding, expected: int) -> None:
    assert evaluate(BASKET, [BASE], policy=Policy("UTC", rounding)).points == expected


def test_a_half_rounds_up_to_the_nearest() -> None:
    assert [Rounding.NEAREST.divide(amount, 100) for amount in (49, 50, 149, 150)] == [0, 1, 1, 2]


@pytest.mark.parametrize(
    ("when", "facts", "expected"),
    [
        (Conditions(min_amount=2933), {}, 29),
        (Conditions(min_amount=2934), {}, 0),
        (Conditions(categories=frozenset({"jazz"}), min_amount=1501), {}, 0),
        (Conditions(categories=frozenset({"jazz"}), min_amount=1500), {}, 15),
        (Conditions(products=frozenset({"Help!"}), brands=frozenset({"Columbia"})), {}, 0),
        (Conditions(brands=frozenset({"EMI", "Verve"})), {}, 14),
        (Conditions(channels=frozenset({"web"})), {}, 29),
        (Conditions(channels=frozenset({"store"})), {}, 0),
        (Conditions(shops=frozenset({"other"})), {}, 0),
        (Conditions(levels=frozenset({"vip"})), {}, 0),
        (Conditions(levels=frozenset({"vip"})), {"level": "vip"}, 29),
        (Conditions(tiers=frozenset({"gold"})), {"tier": "silver"}, 0),
        (Conditions(weekdays=frozenset({7})), {}, 29),
        (Conditions(weekdays=frozenset({1})), {}, 0),
        (Conditions(days_of_month=frozenset({1})), {}, 29),
        (Conditions(days_of_month=frozenset({2, LAST_DAY})), {}, 0),
        (Conditions(purchase_numbers=frozenset({1})), {"number": 2}, 0),
        (Conditions(every_nth_purchase=10), {"number": 20}, 29),
        (Conditions(every_nth_purchase=10), {"number": 21}, 0),
        (Conditions(birthday=Around(0, 0)), {}, 0),
        (Conditions(birthday=Around(0, 0)), {"birthday_offset": 0}, 29),
        (Conditions(birthday=Around(2, 3)), {"birthday_offset": -2}, 29),
        (Conditions(birthday=Around(2, 3)), {"birthday_offset": -3}, 0),
        (Conditions(birthday=Around(2, 3)), {"birthday_offset": 3}, 29),
        (Conditions(birthday=Around(2, 3)), {"birthday_offset": 4}, 0),
        (Conditions(holidays=frozenset({"US:christmas"})), {}, 0),
    ],
)
def test_a_rule_gives_points_only_when_its_conditions_hold(
    when: Conditions, facts: dict[str, Any], expected: int
) -> None:
    rule = replace(BASE, when=when)
    earned = evaluate(BASKET, [rule], customer=CustomerFacts(**facts), policy=POLICY)

    assert earned.points == expected
    assert bool(earned.decisions[0].why_not) == (expected == 0)
    assert explain(rule)


@pytest.mark.parametrize(
    ("local", "holds"),
    [
        ("2026-03-28T23:59:59", False),
        ("2026-03-29T00:00:00", True),
        ("2026-03-29T23:59:59", True),
        ("2026-03-30T00:00:00", False),
        ("2026-10-24T23:59:59", False),
        ("2026-10-25T00:00:00", True),
        ("2026-10-25T02:30:00", True),
        ("2026-10-25T23:59:59", True),
        ("2026-10-26T00:00:00", False),
    ],
)
def test_a_member_day_is_the_day_of_the_programme_to_the_second_also_when_clocks_change(
    local: str, holds: bool
) -> None:
    days = (Days(date(2026, 3, 29), date(2026, 3, 30)), Days(date(2026, 10, 25), date(2026, 10, 26)))
    rule = replace(BASE, when=Conditions(dates=days))
    purchase = replace(BASKET, occurred_at=datetime.fromisoformat(local).replace(tzinfo=ZoneInfo(BERLIN)))

    assert (evaluate(purchase, [rule], policy=Policy(BERLIN, Rounding.DOWN)).points > 0) is holds


@pytest.mark.parametrize(
    ("moment", "holds"),
    [("21:59:59", False), ("22:00:00", True), ("01:59:59", True), ("02:00:00", False)],
)
def test_happy_hours_may_pass_midnight(moment: str, holds: bool) -> None:
    rule = replace(BASE, when=Conditions(hours=(Hours(time(22), time(2)),)))
    local = datetime.combine(date(2026, 2, 3), time.fromisoformat(moment), ZoneInfo(BERLIN))

    assert (
        points(rule, replace(BASKET, occurred_at=local), policy=Policy(BERLIN, Rounding.DOWN)) > 0
    ) is holds


def test_the_last_day_of_the_month_is_the_last_whatever_its_number() -> None:
    rule = replace(BASE, when=Conditions(days_of_month=frozenset({LAST_DAY})))
    days = [
        datetime(2026, 2, 28, tzinfo=UTC),
        datetime(2028, 2, 28, tzinfo=UTC),
        datetime(2028, 2, 29, tzinfo=UTC),
    ]

    assert [points(rule, replace(BASKET, occurred_at=day)) > 0 for day in days] == [True, False, True]


def test_a_cap_counts_in_periods_of_the_programme() -> None:
    instant = datetime(2026, 3, 1, 4, 59, 59, tzinfo=UTC)  # still February in New York

    assert window(Period.MONTH, instant, "America/New_York") == (
        datetime(2026, 2, 1, 5, tzinfo=UTC),
        datetime(2026, 3, 1, 5, tzinfo=UTC),
    )
    assert window(Period.WEEK, NOON, "UTC")[0] == datetime(2026, 1, 26, tzinfo=UTC)
    since, until = window(Period.DAY, datetime(2026, 3, 29, 12, tzinfo=UTC), BERLIN)
    assert (until - since).total_seconds() == 23 * 3600


@pytest.mark.parametrize(("used", "expected"), [(0, 29), (25, 5), (30, 0), (31, 0)])
def test_a_cap_and_a_budget_give_what_is_left(used: int, expected: int) -> None:
    capped = replace(BASE, caps=(Cap(Period.MONTH, 30),))
    limited = replace(BASE, budget=30)

    by_cap = evaluate(BASKET, [capped], usage=Usage({("base", Period.MONTH): used}, {}), policy=POLICY)
    by_budget = evaluate(BASKET, [limited], usage=Usage({}, {"base": used}), policy=POLICY)

    assert by_cap.points == by_budget.points == expected == sum(line.points for line in by_cap.lines)
    if expected < 29:
        assert "at most 30 per customer and month" in by_cap.decisions[0].why_not[0]
        assert "a budget of 30 in all" in by_budget.decisions[0].why_not[0]


def test_of_a_group_the_best_or_the_first_counts_and_the_others_say_so() -> None:
    small = Rule("small", 1, Fixed(10), group="promo", choice=Choice.BEST, priority=5)
    large = Rule("large", 1, Fixed(20), group="promo", choice=Choice.BEST)
    best = evaluate(BASKET, [small, large, BASE], policy=POLICY)
    first = evaluate(BASKET, [replace(rule, choice=Choice.FIRST) for rule in (large, small)], policy=POLICY)

    assert (best.points, first.points) == (49, 10)
    assert [d.why_not for d in best.decisions if d.rule is small] == [("large is the best of promo",)]
    assert [d.why_not for d in first.decisions if d.rule.key == "large"] == [("small is the first of promo",)]


def test_a_purchase_without_lines_earns_for_itself_as_a_whole() -> None:
    earned = evaluate(replace(BASKET, lines=()), [BASE], policy=POLICY)

    assert [(line.line, line.points) for line in earned.lines] == [(None, 29)]


names = st.frozensets(st.sampled_from(["jazz", "pop", "rock"]), max_size=2)
rates = st.one_of(
    st.builds(PerAmount, st.integers(1, 50), st.integers(1, 5000)),
    st.builds(PerItem, st.integers(1, 50)),
    st.builds(Fixed, st.integers(1, 2000)),
    st.builds(Multiplier, st.integers(1, 400), st.sampled_from(["base", "promo", "extra"])),
)
groups = {"base": Choice.ALL, "promo": Choice.BEST, "extra": Choice.BEST}


@st.composite
def rule_sets(draw: st.DrawFn, *, narrow_multipliers: bool = True) -> list[Rule]:
    """Up to six rules of every kind; multipliers may be for some categories only, if these may be narrow."""
    rules = []
    for number in range(draw(st.integers(1, 6))):
        group = draw(st.sampled_from(["base", "promo", "extra", None]))
        rate = draw(rates)
        assume(not isinstance(rate, Multiplier) or rate.of != group)
        narrow = narrow_multipliers or not isinstance(rate, Multiplier)
        when = Conditions(
            min_amount=draw(st.none() | st.integers(1, 20_000)),
            categories=draw(names) if narrow else frozenset(),
            levels=frozenset(),
        )
        rules.append(
            Rule(
                f"r{number}",
                1,
                rate,
                currency="USD",
                when=when,
                caps=draw(
                    st.lists(st.builds(Cap, st.sampled_from(Period), st.integers(1, 500)), max_size=2).map(
                        tuple
                    )
                ),
                budget=draw(st.none() | st.integers(1, 1000)),
                priority=draw(st.integers(-2, 2)),
                group=group,
                choice=groups[group] if group else Choice.ALL,
            )
        )
    return rules


lines = st.builds(
    PurchaseLine,
    st.none(),
    st.integers(0, 50_000),
    st.integers(0, 5),
    category=st.sampled_from(["jazz", "pop", "rock"]),
)


@st.composite
def baskets(draw: st.DrawFn) -> Purchase:
    found = [replace(line, line=n) for n, line in enumerate(draw(st.lists(lines, max_size=5)), start=1)]
    amount = sum(line.amount for line in found) if found else draw(st.integers(0, 200_000))
    return Purchase(NOON, amount, "USD", tuple(found))


@given(rule_sets(), baskets(), st.integers(0, 600), st.randoms(use_true_random=False))
def test_the_order_of_rules_is_irrelevant_and_sums_and_limits_hold(
    rules: list[Rule], basket: Purchase, used: int, random: Random
) -> None:
    usage = Usage(
        {(rule.key, cap.period): used for rule in rules for cap in rule.caps},
        {rule.key: used for rule in rules if rule.budget is not None},
    )
    shuffled = list(rules)
    random.shuffle(shuffled)

    earned = evaluate(basket, rules, usage=usage, policy=POLICY)

    assert earned == evaluate(basket, shuffled, usage=usage, policy=POLICY)
    assert earned.points == sum(line.points for line in earned.lines) <= MAX_POINTS_AT_ONCE
    for decision in earned.decisions:
        given_ = sum(line.points for line in earned.lines if line.rule == decision.rule.key)
        assert given_ == decision.points == sum(share for _, share in decision.shares)
        for cap in decision.rule.caps:
            already = 0 if cap.period is Period.PURCHASE else used
            assert decision.points <= max(cap.points - already, 0)
        if decision.rule.budget is not None:
            assert decision.points <= max(decision.rule.budget - used, 0)
        assert decision.points or decision.why_not


@settings(max_examples=200)
@given(rule_sets(narrow_multipliers=False), baskets(), st.integers(0, 4), st.integers(1, 30_000))
def test_more_money_never_gives_fewer_points(
    rules: list[Rule], basket: Purchase, index: int, more: int
) -> None:
    # A multiplier for one category is left out: points for the whole purchase are shared by what the lines
    # cost, so money on another line takes from that category what the multiplier would have multiplied.
    bought = list(basket.lines)
    if bought:
        line = bought[index % len(bought)]
        bought[index % len(bought)] = replace(line, amount=line.amount + more)
    dearer = replace(basket, amount=basket.amount + more, lines=tuple(bought))

    assert evaluate(dearer, rules, policy=POLICY).points >= evaluate(basket, rules, policy=POLICY).points


@given(st.integers(0, 10**9), st.lists(st.integers(0, 10**12), min_size=1, max_size=30))
def test_parts_add_up_and_are_within_one_of_their_share(total: int, weights: list[int]) -> None:
    parts = apportion(total, weights)

    assert sum(parts) == total
    whole = sum(weights) or len(weights)
    for part, weight in zip(parts, weights if any(weights) else [1] * len(weights), strict=True):
        assert abs(part * whole - total * weight) < whole
