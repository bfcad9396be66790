"""L2: rules by conditions, caps, budgets and groups; the answer shows the calculation, a retry the same."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest

from crm_shared.ids import uuid7

from .conftest import Until

pytestmark = pytest.mark.capability("L2")

NOW = datetime.now(UTC)


def usd(amount: int) -> dict[str, object]:
    return {"amount": amount, "currency": "USD"}


def order(customer_id: str, *lines: tuple[str, int]) -> dict[str, Any]:
    return {
        "source": "shop",
        "external_id": f"o-{uuid7()}",
        "customer_id": customer_id,
        "occurred_at": (NOW - timedelta(hours=1)).isoformat(),
        "channel": "web",
        "currency": "USD",
        "lines": [{"category": category, "quantity": 1, "total": usd(cents)} for category, cents in lines],
    }


async def customer(agent: httpx2.AsyncClient) -> str:
    identity: str = (await agent.post("/v1/customers", json={"name": "Ada"})).json()["id"]
    return identity


async def entries(agent: httpx2.AsyncClient, who: str) -> list[dict[str, Any]]:
    found = await agent.get(f"/v1/accounts/{who}/entries")
    return list(found.json()["items"]) if found.is_success else []


async def test_a_basket_earns_what_the_dry_run_says_line_by_line_and_a_retry_says_the_same(
    agent: httpx2.AsyncClient, manager: httpx2.AsyncClient, until: Until
) -> None:
    category = f"jazz-{uuid7()}"
    double = {
        "description": "Double points for this jazz, at most 20 a day",
        "rate": {"kind": "multiplier", "percent": 100, "of": "base"},
        "when": {"categories": [category]},
        "caps": [{"period": "day", "points": 20}],
    }
    key = f"jazz-{uuid7()}"
    written = await manager.put(f"/v1/earning-rules/{key}", json=double, headers={"If-None-Match": "*"})
    assert written.status_code == 200, written.text
    assert "At most 20 points per customer, period: day." in written.json()["explanation"]
    who = await customer(agent)

    async def known() -> bool:
        return (await agent.get(f"/v1/accounts/{who}")).is_success

    await until(known)
    basket = {
        "customer_id": who,
        "currency": "USD",
        "occurred_at": (NOW - timedelta(hours=1)).isoformat(),
        "lines": [{"category": category, "amount": 1500}, {"category": "pop", "amount": 1433}],
        "channel": "web",
    }
    expected = (await agent.post("/v1/earning-rules/evaluate", json=basket)).json()
    assert expected["points"] == 44

    body = order(who, (category, 1500), ("pop", 1433))
    answers = [await agent.post("/v1/purchases", json=body) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [201, 200]

    async def earned() -> list[dict[str, Any]]:
        return await entries(agent, who)

    [entry] = await until(earned)
    assert (entry["amount"], entry["explanation"]) == (44, expected["lines"])
    assert [(line["line"], line["points"]) for line in entry["explanation"]] == [(1, 15), (2, 14), (1, 15)]

    again = (await agent.post("/v1/earning-rules/evaluate", json=basket)).json()
    [capped] = [rule for rule in again["rules"] if rule["rule"] == key]
    assert (capped["points"], capped["why_not"]) == (
        5,
        ["10 points are missing: at most 20 per customer and day"],
    )


async def test_points_of_a_rule_with_a_return_window_are_shown_apart(
    agent: httpx2.AsyncClient, manager: httpx2.AsyncClient, until: Until
) -> None:
    category = f"books-{uuid7()}"
    waiting = {
        "description": "These books, after a fortnight",
        "rate": {"kind": "per_item", "points": 70},
        "when": {"categories": [category]},
        "pending_days": 14,
    }
    key = f"books-{uuid7()}"
    written = await manager.put(f"/v1/earning-rules/{key}", json=waiting, headers={"If-None-Match": "*"})
    assert written.status_code == 200, written.text
    who = await customer(agent)
    await agent.post("/v1/purchases", json=order(who, (category, 50)))

    async def pending() -> list[dict[str, Any]]:
        found = await agent.get(f"/v1/accounts/{who}/pending")
        return list(found.json()["items"]) if found.is_success else []

    [item] = await until(pending)
    assert item["points"] == 70
    assert datetime.fromisoformat(item["available_at"]) - datetime.fromisoformat(item["occurred_at"]) == (
        timedelta(days=14)
    )
    assert (await agent.get(f"/v1/accounts/{who}")).json()["balance"] == 0


async def test_a_backtest_says_who_would_gain_before_a_rule_is_published(
    agent: httpx2.AsyncClient, manager: httpx2.AsyncClient, until: Until
) -> None:
    category, who = f"tea-{uuid7()}", await customer(agent)
    await agent.post("/v1/purchases", json=order(who, (category, 1000)))

    async def earned() -> bool:
        return bool(await entries(agent, who))

    await until(earned)
    rule = {
        "key": "tea",
        "description": "A present for tea",
        "rate": {"kind": "fixed", "points": 123_456},
        "when": {"categories": [category]},
    }
    time = {"since": (NOW - timedelta(days=1)).isoformat(), "until": NOW.isoformat()}
    started = await manager.post("/v1/earning-rules/backtests", json=time | {"rules": [rule]})
    assert started.status_code == 202, started.text

    async def report() -> Any:
        return (await manager.get(started.headers["Location"])).json()["report"]

    found = await until(report)
    assert found["rules"]["tea"] == {"before": 0, "after": 123_456}
    assert found["liability_change"]["value"] == 123_456
    assert found["most_gained"][0]["customer_id"] == who
    assert all(figure["definition"] for figure in found.values() if "definition" in figure)
