"""Dry runs of earning rules: what they would give, and that it is what they give."""

from datetime import UTC, datetime
from typing import Any

import httpx2
import pytest
from tests.loyalty.conftest import MakeEvent, Put, Receive

from crm_shared.ids import uuid7

NOON = datetime(2026, 2, 1, 12, tzinfo=UTC)
DOUBLE_JAZZ = {
    "key": "jazz",
    "description": "Double points for jazz",
    "rate": {"kind": "multiplier", "percent": 100, "of": "base"},
    "when": {"categories": ["jazz"]},
}


def basket(*lines: tuple[str, int], **more: Any) -> dict[str, Any]:
    return {
        "currency": "USD",
        "occurred_at": NOON.isoformat(),
        "channel": "web",
        "lines": [{"category": category, "amount": cents} for category, cents in lines],
    } | more


async def tried(loyalty: httpx2.AsyncClient, body: dict[str, Any]) -> Any:
    answer = await loyalty.post("/v1/earning-rules/evaluate", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_a_rule_can_be_tried_before_it_is_saved(loyalty: httpx2.AsyncClient) -> None:
    with_it = await tried(loyalty, basket(("jazz", 1500), ("pop", 1433), rules=[DOUBLE_JAZZ]))
    only_it = await tried(loyalty, basket(("jazz", 1500), rules=[DOUBLE_JAZZ], without=["base"]))

    assert (with_it["points"], only_it["points"]) == (44, 0)
    assert [(line["rule"], line["version"], line["line"]) for line in with_it["lines"]] == [
        ("base", 1, 1),
        ("base", 1, 2),
        ("jazz", 0, 1),
    ]
    assert only_it["rules"][0]["why_not"] == ["100 % of the 0 of base is nothing"]
    assert [rule["key"] for rule in (await loyalty.get("/v1/earning-rules")).json()["items"]] == ["base"]


async def test_every_rule_says_why_it_does_not_apply(loyalty: httpx2.AsyncClient) -> None:
    vip = {
        "key": "vip",
        "description": "d",
        "rate": {"kind": "fixed", "points": 5},
        "when": {"levels": ["vip"]},
    }
    tuesday = vip | {"key": "tuesday", "when": {"weekdays": [2], "min_amount": 5000}, "currency": "USD"}

    answer = await tried(loyalty, basket(("jazz", 1500), rules=[vip, tuesday]))

    assert {rule["rule"]: rule["why_not"] for rule in answer["rules"]} == {
        "base": [],
        "tuesday": ["1500 is less than the minimum amount of 5000", "it is a Sunday, not Tuesday"],
        "vip": ["there is no level"],
    }


@pytest.mark.parametrize("before", range(4))
async def test_a_dry_run_says_what_the_purchase_then_earns_and_writes_nothing(
    loyalty: httpx2.AsyncClient, receive: Receive, put: Put, bought: MakeEvent, before: int
) -> None:
    await put("nth", rate={"kind": "fixed", "points": 50}, when={"every_nth_purchase": 3})
    await put("capped", rate={"kind": "fixed", "points": 10}, caps=[{"period": "month", "points": 25}])
    await put("limited", rate={"kind": "per_item", "points": 9}, budget=20)
    ann = uuid7()
    await receive(*(bought(ann, ("jazz", 1999)) for _ in range(before)))
    had = (await loyalty.get(f"/v1/accounts/{ann}")).json().get("balance", 0)
    if not before:
        await receive(bought(ann, ("jazz", 0)))
        had = (await loyalty.get(f"/v1/accounts/{ann}")).json()["balance"]

    expected = await tried(loyalty, basket(("jazz", 1500), ("pop", 1433), customer_id=str(ann)))
    again = await tried(loyalty, basket(("jazz", 1500), ("pop", 1433), customer_id=str(ann)))
    await receive(bought(ann, ("jazz", 1500), ("pop", 1433)))

    [entry, *_] = (await loyalty.get(f"/v1/accounts/{ann}/entries")).json()["items"]
    assert expected == again
    assert entry["amount"] == expected["points"]
    assert entry["explanation"] == expected["lines"]
    assert (await loyalty.get(f"/v1/accounts/{ann}")).json()["balance"] == had + expected["points"]


async def test_nobody_is_evaluated_who_is_not_known(loyalty: httpx2.AsyncClient) -> None:
    body = basket(("jazz", 1500), customer_id=str(uuid7()))

    answer = await loyalty.post("/v1/earning-rules/evaluate", json=body)

    assert (answer.status_code, answer.json()["code"]) == (404, "account_not_found")


async def test_a_rule_is_tried_once_only(loyalty: httpx2.AsyncClient) -> None:
    body = basket(("jazz", 1500), rules=[DOUBLE_JAZZ, DOUBLE_JAZZ])

    answer = await loyalty.post("/v1/earning-rules/evaluate", json=body)

    assert answer.json()["errors"] == [
        {"pointer": "/rules", "code": "key_repeated", "message": "Each key may stand once"}
    ]
