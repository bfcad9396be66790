"""Earning rules: pure evaluation, and rules as data with versions."""

from datetime import UTC, datetime

import httpx2
import pytest
from tests.conftest import ClientFactory
from tests.loyalty.conftest import MakeEvent, Receive

from crm_loyalty.rules.conditions import Purchase
from crm_loyalty.rules.earning import MAX_POINTS_AT_ONCE, PerAmount, Policy, Rounding, Rule, evaluate
from crm_shared.callers import Role
from crm_shared.ids import uuid7

NOON = datetime(2026, 2, 1, 12, tzinfo=UTC)
POLICY = Policy("UTC", Rounding.DOWN)
BASE = Rule(key="base", version=1, currency="USD", rate=PerAmount(1, 100))
DOUBLE = {
    "description": "2 points per dollar",
    "currency": "USD",
    "rate": {"kind": "per_amount", "points": 2, "per_amount": 100},
}


@pytest.mark.parametrize(
    ("amount", "points"), [(2933, 29), (100, 1), (99, 0), (0, 0), (-500, 0), (2**36, 2**36 // 100)]
)
def test_points_are_rounded_down_per_purchase(amount: int, points: int) -> None:
    assert evaluate(Purchase(NOON, amount, "USD"), [BASE], policy=POLICY).points == points


@pytest.mark.parametrize(
    ("valid_from", "valid_until", "points"),
    [
        (NOON, None, 5),
        (None, NOON, 0),
        (datetime(2026, 2, 1, 12, 0, 1, tzinfo=UTC), None, 0),
        (None, datetime(2026, 2, 1, 12, 0, 1, tzinfo=UTC), 5),
    ],
)
def test_a_rule_is_valid_from_its_first_instant_until_before_its_last(
    valid_from: datetime | None, valid_until: datetime | None, points: int
) -> None:
    rule = Rule(
        key="base",
        version=1,
        currency="USD",
        rate=PerAmount(1, 100),
        valid_from=valid_from,
        valid_until=valid_until,
    )

    assert evaluate(Purchase(NOON, 500, "USD"), [rule], policy=POLICY).points == points


def test_several_rules_add_up_and_each_explains_its_part() -> None:
    bonus = Rule(key="bonus", version=3, currency="USD", rate=PerAmount(10, 1000))
    off = Rule(key="off", version=1, currency="USD", rate=PerAmount(10, 1), active=False)
    euro = Rule(key="euro", version=1, currency="EUR", rate=PerAmount(1, 100))

    earned = evaluate(Purchase(NOON, 2500, "USD"), [bonus, off, euro, BASE], policy=POLICY)

    assert earned.points == 45
    assert [(line.rule, line.version, line.points) for line in earned.lines] == [
        ("base", 1, 25),
        ("bonus", 3, 20),
    ]


def test_a_purchase_earns_so_much_at_most_and_the_explanation_says_so() -> None:
    generous = Rule(key="generous", version=1, currency="USD", rate=PerAmount(1_000_000, 1))

    earned = evaluate(Purchase(NOON, 2**53, "USD"), [BASE, generous], policy=POLICY)
    assert earned.points == MAX_POINTS_AT_ONCE
    assert sum(line.points for line in earned.lines) == earned.points
    assert f"at most {MAX_POINTS_AT_ONCE}" in earned.lines[-1].text


async def test_the_largest_purchase_under_the_most_generous_rule_is_posted(
    loyalty: httpx2.AsyncClient, receive: Receive, purchased: MakeEvent
) -> None:
    generous = DOUBLE | {"rate": {"kind": "per_amount", "points": 1_000_000, "per_amount": 1}}
    await loyalty.put("/v1/earning-rules/base", json=generous, headers={"If-Match": '"1"'})
    ann = uuid7()

    await receive(purchased(ann, 2**53))
    account = (await loyalty.get(f"/v1/accounts/{ann}")).json()
    assert account["balance"] == MAX_POINTS_AT_ONCE


async def test_the_default_rule_is_there(loyalty: httpx2.AsyncClient) -> None:
    answer = await loyalty.get("/v1/earning-rules/base")

    assert answer.headers["ETag"] == '"1"'
    assert answer.json()["description"] == "1 point per whole dollar of each purchase, never expires"
    assert [rule["key"] for rule in (await loyalty.get("/v1/earning-rules")).json()["items"]] == ["base"]


async def test_a_new_version_counts_for_what_arrives_afterwards(
    loyalty: httpx2.AsyncClient, receive: Receive, purchased: MakeEvent
) -> None:
    customer = uuid7()
    await receive(purchased(customer, 1000))

    put = await loyalty.put("/v1/earning-rules/base", json=DOUBLE, headers={"If-Match": '"1"'})
    await receive(purchased(customer, 1000))

    assert (put.status_code, put.json()["version"], put.headers["ETag"]) == (200, 2, '"2"')
    entries = (await loyalty.get(f"/v1/accounts/{customer}/entries")).json()["items"]
    assert [(e["amount"], e["explanation"][0]["version"]) for e in entries] == [(20, 2), (10, 1)]
    rules = (await loyalty.get("/v1/earning-rules")).json()["items"]
    assert [(rule["key"], rule["version"]) for rule in rules] == [("base", 2)]


@pytest.mark.parametrize(
    ("key", "headers", "status"),
    [
        ("base", {}, 428),
        ("base", {"If-Match": '"7"'}, 412),
        ("base", {"If-None-Match": "*"}, 412),
        ("extra", {}, 428),
        ("extra", {"If-Match": '"1"'}, 412),
        ("extra", {"If-None-Match": "*"}, 200),
        ("Not A Key", {"If-None-Match": "*"}, 422),
    ],
)
async def test_a_rule_is_replaced_only_by_who_has_seen_it(
    loyalty: httpx2.AsyncClient, key: str, headers: dict[str, str], status: int
) -> None:
    answer = await loyalty.put(f"/v1/earning-rules/{key}", json=DOUBLE, headers=headers)

    assert answer.status_code == status


async def test_only_managers_write_rules(client: ClientFactory) -> None:
    answer = await client("loyalty", Role.AGENT).put(
        "/v1/earning-rules/base", json=DOUBLE, headers={"If-Match": '"1"'}
    )

    assert answer.status_code == 403


async def test_a_rule_that_ends_before_it_begins_is_refused(loyalty: httpx2.AsyncClient) -> None:
    backwards = DOUBLE | {"valid_from": "2026-02-01T00:00:00Z", "valid_until": "2026-01-01T00:00:00Z"}

    answer = await loyalty.put("/v1/earning-rules/base", json=backwards, headers={"If-Match": '"1"'})

    assert answer.status_code == 422
