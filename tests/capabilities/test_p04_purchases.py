"""P4: what was bought and what was given back, each once, and what follows from it in other services."""

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest

from crm_shared.ids import uuid7

from .conftest import Until, insist

pytestmark = pytest.mark.capability("P4")

NOW = datetime.now(UTC)


def usd(amount: int) -> dict[str, object]:
    return {"amount": amount, "currency": "USD"}


def order(customer_id: str, quantity: int, cents: int) -> dict[str, Any]:
    line = {
        **{"product": "Kind of Blue", "category": "jazz", "brand": "Columbia", "quantity": quantity},
        **{"price": usd(cents), "discount": usd(0), "total": usd(quantity * cents)},
    }
    return {
        "source": "shop",
        "external_id": f"o-{uuid7()}",
        "customer_id": customer_id,
        "occurred_at": (NOW - timedelta(days=3)).isoformat(),
        "channel": "web",
        "currency": "USD",
        "lines": [line],
    }


def refund(*lines: tuple[int, int]) -> dict[str, Any]:
    body: dict[str, Any] = {"source": "shop", "external_id": f"r-{uuid7()}", "occurred_at": NOW.isoformat()}
    if lines:
        body["lines"] = [{"line": 1, "quantity": quantity, "amount": usd(cents)} for quantity, cents in lines]
    return body


async def customer(agent: httpx2.AsyncClient) -> str:
    identity: str = (await agent.post("/v1/customers", json={"name": "Ada"})).json()["id"]
    return identity


async def test_points_and_value_follow_from_a_purchase_and_value_from_its_refund(
    agent: httpx2.AsyncClient, until: Until
) -> None:
    who = await customer(agent)
    body = order(who, 10, 3_000)
    answers = [await agent.post("/v1/purchases", json=body) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [201, 200]
    assert answers[0].json() == answers[1].json()

    async def value() -> tuple[object, ...]:
        rfm = (await agent.get(f"/v1/rfm/{who}")).json()
        return rfm["level"], rfm["frequency"], rfm["monetary"]["amount"]

    async def vip() -> bool:
        return await value() == ("vip", 1, 30_000)

    async def points() -> bool:
        account = await agent.get(f"/v1/accounts/{who}")
        return account.is_success and account.json()["balance"] == 300

    await until(vip)
    await until(points)
    path = f"/v1/purchases/by-external-id/shop/{body['external_id']}/refunds"
    given = refund((7, 21_000))
    for expected in (201, 200):
        assert (await agent.post(path, json=given)).status_code == expected

    async def lowered() -> bool:
        return await value() == ("ordinary", 1, 9_000)

    await until(lowered)
    purchase = (await agent.get(answers[0].headers["Location"])).json()
    assert (purchase["net"], purchase["status"], purchase["version"]) == (usd(9_000), "partly_refunded", 2)
    assert purchase["lines"][0]["refunded_quantity"] == 7
    assert len(purchase["refunds"]) == 1


async def test_fifty_refunds_at_once_give_back_what_was_bought_and_no_more(agent: httpx2.AsyncClient) -> None:
    purchase = (await agent.post("/v1/purchases", json=order(await customer(agent), 20, 100))).json()
    path = f"/v1/purchases/{purchase['id']}"
    answers = await asyncio.gather(*(insist(agent, f"{path}/refunds", refund((1, 100))) for _ in range(50)))

    assert Counter(answer.status_code for answer in answers) == {201: 20, 409: 30}
    after = (await agent.get(path)).json()
    assert (after["net"], after["status"], after["version"]) == (usd(0), "refunded", 21)
