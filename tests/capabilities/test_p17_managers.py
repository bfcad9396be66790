"""P17: an important customer has an account manager, or is on the list of those who lack one."""

import httpx2
import pytest
from tests.capabilities.conftest import Until

from crm_shared.ids import uuid7

pytestmark = pytest.mark.capability("P17")


async def test_a_vip_without_a_manager_is_on_the_alert_list(
    agent: httpx2.AsyncClient, manager: httpx2.AsyncClient, until: Until
) -> None:
    customer = (await agent.post("/v1/customers", json={"name": "王小明"})).json()["id"]
    day = (await agent.get("/v1/levels/business-day")).json()["in_force"]
    order = {
        "source": "shop",
        "external_id": str(uuid7()),
        "customer_id": customer,
        "occurred_at": f"{day}T00:00:00Z",
        "currency": "USD",
        "lines": [{"quantity": 1, "total": {"amount": 1_000_000, "currency": "USD"}}],
    }
    assert (await agent.post("/v1/purchases", json=order)).status_code == 201

    async def listed() -> bool:
        items = (await agent.get("/v1/managers/alerts?level=vip&limit=200")).json()["items"]
        return customer in [item["customer_id"] for item in items]

    await until(listed)
    body = {"manager": "li.na", "reason": "became a VIP"}
    assert (await manager.put(f"/v1/customers/{customer}/manager", json=body)).status_code == 200
    assert not await listed()
    assigned = (await agent.get(f"/v1/customers/{customer}/managers")).json()["items"]
    assert [(row["manager"], row["reason"]) for row in assigned] == [("li.na", "became a VIP")]
