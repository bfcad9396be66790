"""L6: tiers on a basis of their own, up at once, explained, previewed; redeeming points never demotes."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import httpx2
import pytest

Until = Callable[[Callable[[], Awaitable[Any]]], Awaitable[Any]]

pytestmark = pytest.mark.capability("L6")


async def test_a_purchase_lifts_a_customer_whom_redeeming_does_not_lower(
    manager: httpx2.AsyncClient, agent: httpx2.AsyncClient, until: Until
) -> None:
    ladder: dict[str, Any] = {
        "basis": "net_spend",
        "currency": "USD",
        "period": {"kind": "rolling", "months": 12},
        "grace_days": 30,
        "notice_days": 14,
        "tiers": [
            {"key": "silver", "names": {"en": "Silver"}, "threshold": 700_000},
            {
                "key": "gold",
                "names": {"en": "Gold"},
                "threshold": 900_000,
                "benefits": {"discount_percent": 5},
            },
        ],
    }
    made = await manager.put("/v1/tiers", json=ladder, headers={"If-None-Match": "*"})
    assert made.status_code == 200, made.text

    who = (await agent.post("/v1/customers", json={"name": "Lucía"})).json()["id"]
    order = {
        "source": "shop",
        "external_id": f"tier-{who}",
        "customer_id": who,
        "occurred_at": datetime.now(UTC).isoformat(),
        "currency": "USD",
        "lines": [{"product": "Piano", "quantity": 1, "total": {"amount": 800_000, "currency": "USD"}}],
    }
    assert (await agent.post("/v1/purchases", json=order)).status_code == 201

    async def ranked() -> Any:
        found = await agent.get(f"/v1/accounts/{who}/tier")
        return found.json() if found.status_code == 200 and found.json()["tier"] else None

    tier = await until(ranked)
    assert (tier["tier"], tier["why"], tier["next"]["missing"]) == ("silver", "reached", 100_000)

    balance = (await agent.get(f"/v1/accounts/{who}")).json()["balance"]
    assert balance > 0
    spent = await agent.post(f"/v1/accounts/{who}/spend", json={"points": balance})
    assert spent.json()["balance"] == 0
    assert (await agent.get(f"/v1/accounts/{who}/tier")).json()["tier"] == "silver"

    lower = ladder | {"tiers": [ladder["tiers"][0], {**ladder["tiers"][1], "threshold": 750_000}]}
    preview = (await manager.post("/v1/tiers/preview", json=lower)).json()
    up = next(move for move in preview["moves"] if move["previous"] == "silver" and move["tier"] == "gold")
    assert up["customers"] >= 1
    changes = (await agent.get(f"/v1/accounts/{who}/tier/changes")).json()["items"]
    assert [(each["previous"], each["tier"]) for each in changes] == [(None, "silver")]
