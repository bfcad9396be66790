"""L14: a code, a friend, a first paid order, and points for both; no self-referral."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import httpx2
import pytest

Until = Callable[[Callable[[], Awaitable[Any]]], Awaitable[Any]]

pytestmark = pytest.mark.capability("L14")


async def test_a_friend_orders_and_both_get_points(
    manager: httpx2.AsyncClient, agent: httpx2.AsyncClient, until: Until
) -> None:
    path = "/v1/programme/referral-policy"
    terms = {"active": True, "points_referrer": 500, "points_friend": 200, "currency": "EUR"}
    seen = (await manager.get(path)).headers["ETag"]
    assert (await manager.put(path, json=terms, headers={"If-Match": seen})).status_code == 200

    ann, ben = [
        (await agent.post("/v1/customers", json={"name": name})).json()["id"] for name in ("Ann", "Ben")
    ]

    async def code() -> Any:
        made = await agent.put(f"/v1/accounts/{ann}/referral-code")
        return made.json()["code"] if made.is_success else None

    async def known() -> Any:
        return (await agent.get(f"/v1/accounts/{ben}")).is_success

    body = {"code": await until(code), "customer_id": ben}
    await until(known)
    own = await agent.post("/v1/referrals", json=body | {"customer_id": ann})
    assert own.json()["code"] == "self_referral"
    claimed = await agent.post("/v1/referrals", json=body)
    assert claimed.status_code == 201, claimed.text

    order = {
        "source": "shop",
        "external_id": f"first-{ben}",
        "customer_id": ben,
        "occurred_at": datetime.now(UTC).isoformat(),
        "currency": "EUR",
        "lines": [{"product": "Record", "quantity": 1, "total": {"amount": 2500, "currency": "EUR"}}],
    }
    assert (await agent.post("/v1/purchases", json=order)).status_code == 201

    async def rewarded() -> Any:
        account = await agent.get(f"/v1/accounts/{ann}")
        return account.json()["balance"]

    assert await until(rewarded) == 500
    found = (await agent.get(f"/v1/referrals/{claimed.json()['id']}")).json()
    assert (found["state"], found["customer_id"]) == ("qualified", ben)
    assert found["friend_transaction_id"] is not None
