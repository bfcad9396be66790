"""P5: every call, e-mail, visit and chat, in one timeline with what happened in the other services."""

import httpx2
import pytest

from crm_shared.ids import uuid7

from .conftest import Until

pytestmark = pytest.mark.capability("P5")


async def test_the_timeline_holds_interactions_with_what_other_services_did(
    agent: httpx2.AsyncClient, until: Until
) -> None:
    who = (await agent.post("/v1/customers", json={"name": "Ada"})).json()["id"]
    channels = ("call", "email", "visit", "chat")
    items = [
        {
            **{"customer_id": who, "source": "desk", "external_id": str(uuid7()), "channel": channel},
            **{"direction": "inbound", "occurred_at": f"2026-02-0{day}T12:00:00Z"},
            **{"purpose": "delivery", "feedback": {"score": 9}},
        }
        for day, channel in enumerate(channels, start=1)
    ]
    for expected in ("created", "unchanged"):
        answer = await agent.post("/v1/interactions/batch", json={"items": items})
        assert answer.json()["counts"] == {expected: 4}
    ticket = {"customer_id": who, "kind": "enquiry", "title": "Where is it?"}
    assert (await agent.post("/v1/tickets", json=ticket)).status_code == 201
    timeline = f"/v1/customers/{who}/timeline"

    async def whole() -> bool:
        families = {each["type"].split(".")[0] for each in (await agent.get(timeline)).json()["items"]}
        return families >= {"interaction", "ticket", "level"}

    await until(whole)
    seen, cursor = [], None
    while True:
        params: dict[str, str | int] = {"family": "interaction", "limit": 3}
        params |= {"cursor": cursor} if cursor else {}
        page = (await agent.get(timeline, params=params)).json()
        seen += [entry["data"]["channel"] for entry in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert seen == list(reversed(channels))
    only = {"type": "interaction.recorded", "from": "2026-02-02T00:00:00Z", "to": "2026-02-03T00:00:00Z"}
    assert len((await agent.get(timeline, params=only)).json()["items"]) == 1
