"""L10: promotions that begin and end on the second, and stop exactly when their budget is given."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest

from crm_shared.ids import uuid7

from .conftest import Until, insist

pytestmark = pytest.mark.capability("L10")

NOW = datetime.now(UTC)


async def write(manager: httpx2.AsyncClient, **terms: Any) -> str:
    key = f"promotion-{uuid7()}"
    body = {"description": "Promotion"} | terms
    answer = await manager.put(f"/v1/earning-rules/{key}", json=body, headers={"If-None-Match": "*"})
    assert answer.status_code == 200, answer.text
    return key


async def test_a_budget_stops_exactly_however_many_buy_at_once(
    agent: httpx2.AsyncClient, manager: httpx2.AsyncClient, until: Until
) -> None:
    category = f"promo-{uuid7()}"
    await write(manager, rate={"kind": "fixed", "points": 7}, when={"categories": [category]}, budget=100)

    async def buy(number: int) -> str:
        who: str = (await insist(agent, "/v1/customers", {"name": f"Ada {number}"})).json()["id"]
        line = {"category": category, "quantity": 1, "total": {"amount": 1, "currency": "USD"}}
        order = {
            "source": "shop",
            "external_id": f"o-{uuid7()}",
            "customer_id": who,
            "occurred_at": (NOW - timedelta(hours=1)).isoformat(),
            "currency": "USD",
            "lines": [line],
        }
        assert (await insist(agent, "/v1/purchases", order)).status_code == 201
        return who

    people = await asyncio.gather(*(buy(number) for number in range(30)))

    async def balances() -> list[int]:
        found = [await agent.get(f"/v1/accounts/{who}") for who in people]
        points = sorted(each.json()["balance"] for each in found if each.is_success)
        return points if sum(points) >= 100 else []

    assert await until(balances) == [0] * 15 + [2] + [7] * 14


async def test_a_promotion_holds_from_its_first_second_until_before_its_last(
    agent: httpx2.AsyncClient, manager: httpx2.AsyncClient
) -> None:
    category = f"promo-{uuid7()}"
    key = await write(
        manager,
        rate={"kind": "fixed", "points": 7},
        when={"categories": [category]},
        valid_from="2026-11-11T00:00:00+08:00",
        valid_until="2026-11-12T00:00:00+08:00",
    )

    async def points(at: str) -> int:
        basket = {"currency": "USD", "occurred_at": at, "lines": [{"category": category, "amount": 1}]}
        answer = (await agent.post("/v1/earning-rules/evaluate", json=basket)).json()
        [found] = [rule["points"] for rule in answer["rules"] if rule["rule"] == key]
        return int(found)

    assert [
        await points(at)
        for at in (
            "2026-11-10T15:59:59Z",
            "2026-11-10T16:00:00Z",
            "2026-11-11T15:59:59Z",
            "2026-11-11T16:00:00Z",
        )
    ] == [0, 7, 7, 0]
