"""P6: complaints and refunds stand on the customer's file, though the tickets service be away."""

import httpx2
import pytest

from crm_local.system import System
from crm_shared.ids import uuid7

from .conftest import Until

pytestmark = pytest.mark.capability("P6")


async def test_a_closed_complaint_shows_on_the_file_while_tickets_is_away(
    system: System, agent: httpx2.AsyncClient, until: Until
) -> None:
    who = (await agent.post("/v1/customers", json={"name": "Ada"})).json()["id"]
    body = {"customer_id": who, "kind": "complaint", "severity": "high", "title": "A disc is broken"}
    ticket = (await agent.post("/v1/tickets", json=body)).json()["id"]
    steps = {"respond": {"message": "Sorry"}, "resolve": {"resolution": "A new disc was sent"}, "close": None}
    for verb, artefact in steps.items():
        answer = await agent.post(f"/v1/tickets/{ticket}/{verb}", json=artefact)
        assert answer.is_success, answer.text
    money = {"amount": 3_000, "currency": "USD"}
    bought = {
        **{"source": "shop", "external_id": str(uuid7()), "customer_id": who, "currency": "USD"},
        **{"occurred_at": "2026-02-20T12:00:00Z", "lines": [{"quantity": 1, "total": money}]},
    }
    purchase = (await agent.post("/v1/purchases", json=bought)).json()
    refund = {"source": "shop", "external_id": str(uuid7()), "occurred_at": "2026-02-21T12:00:00Z"}
    await agent.post(f"/v1/purchases/{purchase['id']}/refunds", json=refund | {"reason": "It was broken"})
    file = f"/v1/customers/{who}/file"

    async def closed() -> bool:
        newest = (await agent.get(file)).json()["complaints"]["newest"]
        return [each["status"] for each in newest] == ["closed"]

    await until(closed)
    system.kill("tickets-api")
    answer = await agent.get(file)
    assert answer.status_code == 200, answer.text
    complaints, refunds = answer.json()["complaints"], answer.json()["refunds"]
    assert (complaints["count"], complaints["open"]) == (1, 0)
    assert complaints["newest"][0]["resolution"] == "A new disc was sent"
    assert (refunds["count"], refunds["newest"][0]["total"], refunds["newest"][0]["reason"]) == (
        *(1, money, "It was broken"),
    )

    async def back() -> bool:
        return (await agent.get(f"/v1/tickets/{ticket}")).is_success

    await until(back)
