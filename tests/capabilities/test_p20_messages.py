"""P20: the log of outbound messages and their effect, reported per purpose and channel."""

import httpx2
import pytest

from crm_shared.ids import uuid7

pytestmark = pytest.mark.capability("P20")


async def test_a_message_is_logged_with_its_effects_and_reported(
    agent: httpx2.AsyncClient, manager: httpx2.AsyncClient
) -> None:
    who = (await agent.post("/v1/customers", json={"name": "Zoë"})).json()["id"]
    body = {
        "source": "mailer",
        "external_id": str(uuid7()),
        "customer_id": who,
        "purpose": "greeting",
        "channel": "letter",
        "sent_at": "2001-05-02T12:00:00Z",
    }
    logged = await agent.post("/v1/messages", json=body)
    assert logged.status_code == 201, logged.text
    purchase = await agent.post(
        "/v1/purchases",
        json={
            "source": "shop",
            "external_id": str(uuid7()),
            "customer_id": who,
            "occurred_at": "2001-05-04T12:00:00Z",
            "currency": "USD",
            "lines": [{"quantity": 1, "total": {"amount": 2933, "currency": "USD"}}],
        },
    )
    effects = {"delivered_at": "2001-05-03T12:00:00Z", "answered_at": "2001-05-03T13:00:00Z"}
    assert (await agent.post("/v1/messages", json=body | effects)).status_code == 200
    [item] = (await agent.get(f"/v1/customers/{who}/messages")).json()["items"]
    assert item["purchase_ids"] == [purchase.json()["id"]]
    assert (item["converted_at"], item["against_consent"]) == ("2001-05-04T12:00:00Z", False)

    period = {"from": "2001-05-02T00:00:00Z", "to": "2001-05-03T00:00:00Z"}
    report = (await manager.get("/v1/reports/messages", params=period)).json()
    [line] = report["items"]
    one, none = {"numerator": 1, "denominator": 1}, {"numerator": 0, "denominator": 1}
    assert line == {
        "purpose": "greeting",
        "channel": "letter",
        "sent": 1,
        "delivered": one,
        "failed": none,
        "answered": one,
        "converted": one,
        "against_consent": none,
    }
