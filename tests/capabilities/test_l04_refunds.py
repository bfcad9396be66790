"""L4: what is given back in the shop is given back in points, exactly and in any portions."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest

from crm_shared.ids import uuid7

from .conftest import Until

pytestmark = pytest.mark.capability("L4")

NOW = datetime.now(UTC)


def usd(amount: int) -> dict[str, object]:
    return {"amount": amount, "currency": "USD"}


def order(customer_id: str, *cents: int) -> dict[str, Any]:
    return {
        "source": "shop",
        "external_id": f"o-{uuid7()}",
        "customer_id": customer_id,
        "occurred_at": (NOW - timedelta(days=3)).isoformat(),
        "currency": "USD",
        "lines": [{"product": f"p{n}", "quantity": 1, "total": usd(c)} for n, c in enumerate(cents)],
    }


def refund(*lines: tuple[int, int]) -> dict[str, Any]:
    told: dict[str, Any] = {
        "source": "shop",
        "external_id": f"r-{uuid7()}",
        "occurred_at": NOW.isoformat(),
    }
    if lines:
        told["lines"] = [{"line": n, "quantity": 0, "amount": usd(cents)} for n, cents in lines]
    return told


async def test_a_refund_takes_back_what_was_earned_even_if_spent_and_returns_what_was_paid_with(
    agent: httpx2.AsyncClient, until: Until
) -> None:
    who = (await agent.post("/v1/customers", json={"name": "Ada"})).json()["id"]
    path = f"/v1/accounts/{who}"

    async def has(balance: int) -> dict[str, Any]:
        async def look() -> dict[str, Any] | None:
            answer = await agent.get(path)
            return answer.json() if answer.is_success and answer.json()["balance"] == balance else None

        found: dict[str, Any] = await until(look)
        return found

    first = (await agent.post("/v1/purchases", json=order(who, 6_000, 4_000))).json()
    await has(100)
    second = order(who, 1_000)
    paid = {"points": 50, "order": {"source": "shop", "external_id": second["external_id"]}}
    assert (await agent.post(f"{path}/spend", json=paid)).status_code == 201
    second_id = (await agent.post("/v1/purchases", json=second)).json()["id"]
    await has(60)

    await agent.post(f"/v1/purchases/{first['id']}/refunds", json=refund((1, 3_000)))
    await has(30)
    await agent.post(f"/v1/purchases/{first['id']}/refunds", json=refund())
    owing = await has(-40)
    assert (owing["available"], owing["owed"]) == (0, 40)
    refused = await agent.post(f"{path}/spend", json={"points": 1})
    assert (refused.status_code, refused.json()["code"]) == (409, "insufficient_points")
    await agent.post(f"/v1/purchases/{second_id}/refunds", json=refund())

    assert (await has(0))["owed"] == 0
    kinds = [entry["kind"] for entry in (await agent.get(f"{path}/entries")).json()["items"]]
    assert sorted(kinds) == ["earn", "earn", "reverse", "reverse", "reverse", "reverse", "spend"]
