"""L5: points expire by the programme's policy, and every coming date is listed."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest

from crm_shared.ids import uuid7

from .conftest import Until

pytestmark = pytest.mark.capability("L5")

NOW = datetime.now(UTC)


def order(customer_id: str, dollars: int, days_ago: int) -> dict[str, Any]:
    return {
        "source": "shop",
        "external_id": f"o-{uuid7()}",
        "customer_id": customer_id,
        "occurred_at": (NOW - timedelta(days=days_ago)).isoformat(),
        "currency": "USD",
        "lines": [{"quantity": 1, "total": {"amount": dollars * 100, "currency": "USD"}}],
    }


async def test_what_had_its_time_goes_and_what_will_is_listed_with_its_policy(
    agent: httpx2.AsyncClient, manager: httpx2.AsyncClient, until: Until
) -> None:
    policy = await agent.get("/v1/programme/points-policy")
    terms = {"time_zone": "Asia/Shanghai", "expiry": "days", "expires_after": 30, "notice_days": 7}
    changed = await manager.put(
        "/v1/programme/points-policy", json=terms, headers={"If-Match": policy.headers["ETag"]}
    )
    assert changed.status_code == 200, changed.text
    who = (await agent.post("/v1/customers", json={"name": "Ada"})).json()["id"]
    path = f"/v1/accounts/{who}"
    try:
        for dollars, days_ago in ((10, 40), (20, 25), (30, 1)):
            await agent.post("/v1/purchases", json=order(who, dollars, days_ago))

        async def the_oldest_has_gone() -> bool:
            entries = (await agent.get(f"{path}/entries")).json().get("items", [])
            return [entry["kind"] for entry in entries].count("earn") == 3 and any(
                entry["kind"] == "expire" and entry["amount"] == -10 for entry in entries
            )

        await until(the_oldest_has_gone)
    finally:
        back = {name: policy.json()[name] for name in ("time_zone", "expiry", "expires_after")}
        await manager.put(
            "/v1/programme/points-policy", json=back, headers={"If-Match": changed.headers["ETag"]}
        )

    assert (await agent.get(path)).json()["balance"] == 50
    coming = (await agent.get(f"{path}/expirations")).json()["items"]
    assert [item["points"] for item in coming] == [20, 30]
    assert all(item["policy_versions"] == [changed.json()["version"]] for item in coming)
    assert all(item["expires_at"].endswith("T16:00:00Z") for item in coming), "midnight in Shanghai"
