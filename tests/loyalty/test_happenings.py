"""Which events a rule is about: types and properties, and why not, in words."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm_loyalty.rules.conditions import CustomerFacts, Purchase
from crm_loyalty.rules.earning import Cap, Fixed, Multiplier, Policy, Rounding, Rule, Usage, evaluate
from crm_loyalty.rules.happenings import Happening, Happenings, Property, Value
from crm_loyalty.rules.periods import Period

NOON = datetime(2026, 2, 1, 12, tzinfo=UTC)
POLICY = Policy("UTC", Rounding.DOWN)
VALUES = st.one_of(st.booleans(), st.integers(-3, 3), st.sampled_from(["", "1", "true", "web"]))


def review(**properties: Value) -> Happening:
    return Happening(NOON, "review_written", properties)


def reviews(*properties: Property) -> Happenings:
    return Happenings(frozenset({"review_written"}), properties)


@pytest.mark.parametrize(
    ("wanted", "found", "reasons"),
    [
        (Property("stars"), {"stars": 0}, []),
        (Property("stars"), {}, ["there is no stars"]),
        (Property("stars", at_least=4), {"stars": 4}, []),
        (Property("stars", at_least=4), {"stars": 3}, ["stars 3 is less than 4"]),
        (Property("stars", at_most=2), {"stars": 3}, ["stars 3 is more than 2"]),
        (Property("stars", at_least=1, at_most=5), {"stars": 5}, []),
        (Property("stars", at_least=1), {"stars": "5"}, ["stars 5 is no number"]),
        (Property("stars", at_least=1), {"stars": True}, ["stars true is no number"]),
        (Property("photo", (True,)), {"photo": True}, []),
        (Property("photo", (True,)), {"photo": 1}, ["photo 1 is not true"]),
        (Property("stars", (1, 5)), {"stars": True}, ["stars true is not 1 or 5"]),
        (Property("channel", ("web", "app")), {"channel": "shop"}, ["channel shop is not web or app"]),
    ],
)
def test_a_property_is_compared_as_what_it_is(
    wanted: Property, found: dict[str, Value], reasons: list[str]
) -> None:
    assert list(reviews(wanted).against(review(**found))) == reasons


@given(VALUES, st.lists(VALUES, max_size=3))
def test_a_value_is_among_others_only_if_it_is_the_same_in_json(found: Value, wanted: list[Value]) -> None:
    among = not wanted or repr(found) in {repr(value) for value in wanted}
    assert any(Property("it", tuple(wanted)).against({"it": found})) is not among


def test_an_event_of_another_type_is_told_nothing_of_properties() -> None:
    reasons = reviews(Property("stars")).against(Happening(NOON, "survey_answered"))
    assert list(reasons) == ["survey_answered is not review_written"]


def test_one_evaluator_multiplies_caps_and_explains_what_events_earn() -> None:
    plain = Rule("plain", 1, Fixed(50), event=reviews(), group="base")
    double = Rule("double", 3, Multiplier(100, "base"), event=reviews(), caps=(Cap(Period.DAY, 70),))
    bought = Rule("bought", 1, Fixed(9), group="base")

    used = Usage({("double", Period.DAY): 40})
    earned = evaluate(review(), [double, bought, plain], usage=used, policy=POLICY)

    assert [(line.rule, line.points, line.line) for line in earned.lines] == [
        ("double", 30, None),
        ("plain", 50, None),
    ]
    assert earned.lines[0].text == "100 % of the 50 of base, but only 30: at most 70 per customer and day"
    why_not = {decision.rule.key: decision.why_not for decision in earned.decisions}
    assert why_not["bought"] == ("it is about purchases",)
    purchase = Purchase(NOON, 100, "USD")
    of_a_purchase = evaluate(purchase, [double, bought, plain], customer=CustomerFacts(), policy=POLICY)
    assert [line.rule for line in of_a_purchase.lines] == ["bought"]
