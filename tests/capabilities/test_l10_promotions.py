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


async def test_a_price_promotion_takes_off_no_more_than_its_budget_however_many_take_their_price_at_once(
    agent: httpx2.AsyncClient, manager: httpx2.AsyncClient, until: Until
) -> None:
    product = f"promo-{uuid7()}"
    path = f"/v1/promotions/{product}"
    basket = {"currency": "USD", "lines": [{"price": 1000, "product": product}]}
    terms = {"value": "amount", "amount": 700, "currency": "USD", "budget": 5000}
    body = {"names": {"en": "Opening"}, "when": {"products": [product]}} | terms
    assert (await manager.put(path, json=body, headers={"If-None-Match": "*"})).status_code == 200
    made = [await insist(agent, "/v1/customers", {"name": f"Ada {number}"}) for number in range(20)]
    people = [each.json()["id"] for each in made]

    async def known() -> bool:
        found = [await agent.get(f"/v1/accounts/{who}") for who in people]
        return all(each.is_success for each in found)

    await until(known)

    async def buy(who: str) -> int:
        """What it took off the order, asked for again until a price that was named is taken."""
        while True:
            wish = {"customer_id": who, "basket": basket}
            named = (await insist(agent, "/v1/quotes", wish)).json()
            order = {"order": {"source": "shop", "external_id": f"o-{uuid7()}"}}
            taken = await insist(agent, f"/v1/quotes/{named['id']}/commit", order)
            if taken.is_success:
                return sum(each["amount"] for each in named["effects"] if each["key"] == product)
            assert taken.json()["code"] == "quote_is_stale", taken.text

    taken_off = await asyncio.gather(*(buy(who) for who in people))

    assert sorted(taken_off) == [0] * 12 + [100] + [700] * 7
    shown = (await agent.get(path)).json()
    assert (shown["used"], shown["left"]) == (5000, 0)
    after = (await insist(agent, "/v1/quotes", {"customer_id": people[0], "basket": basket})).json()
    assert [each["code"] for each in after["not_used"] if each["key"] == product] == [
        "promotion_budget_spent"
    ]


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
