"""P11: how good the data are is told with reasons, reported, and what does not arrive is verified."""

from datetime import UTC, datetime
from typing import Any

import httpx2
import pytest

from crm_shared.ids import uuid7

from .conftest import Until

pytestmark = pytest.mark.capability("P11")


async def test_what_bounced_is_verified_and_counts_until_then(
    agent: httpx2.AsyncClient, until: Until
) -> None:
    email = f"{uuid7()}@example.com"
    body = {"name": "Zoë", "contact_points": [{"kind": "email", "value": email}]}
    customer = (await agent.post("/v1/customers", json=body)).json()["id"]
    before = (await agent.get(f"/v1/customers/{customer}/quality")).json()
    assert {"phone", "birth_date"} <= set(before["missing"])
    assert all(part["denominator"] for part in before["parts"])

    now = datetime.now(UTC).isoformat()
    message = {
        "source": "mailer",
        "external_id": str(uuid7()),
        "customer_id": customer,
        "purpose": "greeting",
        "channel": "email",
        "sent_at": now,
        "failed_at": now,
    }
    assert (await agent.post("/v1/messages", json=message)).is_success
    bounced = (await agent.get(f"/v1/customers/{customer}/quality")).json()
    assert bounced["score"] < before["score"]
    assert bounced["invalid"] == [{"subject": "email", "value": email}]

    listed = await agent.get("/v1/quality/tasks", params={"reason": "bounced", "limit": 200})
    [task] = [each for each in listed.json()["items"] if each["customer_id"] == customer]
    done = await agent.post(f"/v1/quality/tasks/{task['id']}/complete", json={"outcome": "confirmed"})
    assert done.status_code == 200, done.text
    after = (await agent.get(f"/v1/customers/{customer}/quality")).json()
    assert (after["score"], after["invalid"]) == (before["score"], [])

    async def assessed() -> Any:
        worst = (await agent.get("/v1/quality/customers", params={"limit": 200})).json()["items"]
        return [each for each in worst if each["customer_id"] == customer]

    [found] = await until(assessed)
    assert found["score"] == after["score"]
    report = (await agent.get("/v1/quality")).json()
    assert report["customers"] == sum(bucket["customers"] for bucket in report["distribution"])
    assert report["definition"]
