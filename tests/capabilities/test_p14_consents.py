"""P14: consent per purpose and channel with history, quiet hours, frequency caps: none is ignored."""

from typing import Any
from uuid import UUID

import httpx2
import pytest

from crm_local.system import System
from crm_shared.callers import Role
from crm_shared.ids import uuid7

from .conftest import Sign

pytestmark = pytest.mark.capability("P14")


async def customer(agent: httpx2.AsyncClient) -> str:
    answer = await agent.post("/v1/customers", json={"name": "王小明", "time_zone": "Asia/Shanghai"})
    assert answer.status_code == 201, answer.text
    identity: str = answer.json()["id"]
    return identity


async def decision(agent: httpx2.AsyncClient, who: str) -> dict[str, Any]:
    asked = {"purpose": "marketing", "channel": "email", "at": "2099-03-02T14:00:00Z"}
    answer = await agent.get(f"/v1/customers/{who}/contact-decision", params=asked)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def test_a_customer_withdraws_what_was_granted_and_all_is_remembered(
    agent: httpx2.AsyncClient, sign_in: Sign
) -> None:
    who = await customer(agent)
    path = f"/v1/customers/{who}/consents/marketing/email"
    granted = await agent.put(path, json={"state": "granted", "evidence": "said so in the shop"})
    assert granted.status_code == 200, granted.text
    night = await decision(agent, who)
    assert [reason["reason"] for reason in night["reasons"]] == ["quiet_hours"]
    assert night["next_at"] == "2099-03-03T00:00:00Z"

    herself = sign_in(Role.CUSTOMER, UUID(who))
    assert (await herself.put(path, json={"state": "denied"})).status_code == 200
    denied = await decision(agent, who)
    assert [reason["reason"] for reason in denied["reasons"]] == ["consent_denied", "quiet_hours"]
    assert denied["next_at"] is None
    history = (await herself.get(f"/v1/customers/{who}/consents/history")).json()["items"]
    assert [item["state"] for item in history] == ["denied", "granted"]


async def test_messages_that_have_gone_out_count_for_the_cap(agent: httpx2.AsyncClient) -> None:
    who = await customer(agent)
    sent = {"source": "mailer", "customer_id": who, "purpose": "survey", "channel": "sms"}
    cap = {"caps": [{"purpose": "survey", "limit": 1, "hours": 24}]}
    assert (await agent.put(f"/v1/customers/{who}/frequency-caps", json=cap)).status_code == 200
    message = sent | {"external_id": str(uuid7()), "sent_at": "2026-03-02T02:00:00Z"}
    assert (await agent.post("/v1/messages", json=message)).status_code == 201
    asked = {"purpose": "survey", "channel": "email", "at": "2026-03-02T04:00:00Z"}
    answer = (await agent.get(f"/v1/customers/{who}/contact-decision", params=asked)).json()
    assert [(reason["reason"], reason["counted"]) for reason in answer["reasons"]] == [("frequency_cap", 1)]
    assert answer["next_at"] == "2026-03-03T02:00:00Z"


async def test_one_click_on_the_link_of_a_message_withdraws_without_a_sign_in(
    agent: httpx2.AsyncClient, system: System
) -> None:
    who = await customer(agent)
    granted = await agent.put(f"/v1/customers/{who}/consents/marketing/email", json={"state": "granted"})
    assert granted.status_code == 200, granted.text
    asked = {"purpose": "marketing", "channel": "email"}
    link = (await agent.get(f"/v1/customers/{who}/unsubscribe-link", params=asked)).json()["path"]
    async with httpx2.AsyncClient(base_url=system.address, timeout=15) as reader:
        page = await reader.get(link, headers={"Accept": "text/html", "Accept-Language": "es"})
        assert "Darse de baja" in page.text
        assert (await decision(agent, who))["reasons"][0]["reason"] != "consent_denied"
        for _ in range(2):
            done = await reader.post(link, data={"List-Unsubscribe": "One-Click"})
            assert (done.status_code, done.json()["withdrawn"]) == (200, True), done.text
        assert (await reader.post(f"{link}x")).status_code == 404
    assert (await decision(agent, who))["reasons"][0]["reason"] == "consent_denied"
    history = (await agent.get(f"/v1/customers/{who}/consents/history")).json()["items"]
    assert [item["source"] for item in history] == ["unsubscribe", None]
