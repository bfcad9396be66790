"""Interactions: each recorded once, told to the world, and the last of them on the file."""

import asyncio
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest

from crm_profiles.models.base import Base
from crm_profiles.models.messages import Message
from crm_profiles.state import STATES
from crm_shared import customers
from crm_shared.contracts.profiles import CustomerMerged, CustomerUnmerged, InteractionRecorded
from crm_shared.database import Sessions
from crm_shared.operate import republish_state
from crm_shared.testing import published


def call(customer_id: str | None, number: int | None = None, **members: object) -> dict[str, Any]:
    body: dict[str, Any] = {
        "customer_id": customer_id,
        "channel": "call",
        "direction": "inbound",
        "purpose": "Where is it?",
        "summary": "Told them that it comes on Friday.",
        "occurred_at": "2026-02-20T12:00:00Z",
        "duration_seconds": 240,
        "agent": "maria",
        "feedback": {"score": 9, "text": "Quick"},
    }
    if number is not None:
        body |= {"source": "phones", "external_id": f"call-{number}"}
    return body | members


@pytest.fixture
async def ada(profiles: httpx2.AsyncClient) -> str:
    answer = await profiles.put("/v1/customers/by-external-id/shop/ada", json={"name": "Ada"})
    identity: str = answer.json()["id"]
    return identity


@pytest.mark.capability("P5")
async def test_an_interaction_is_read_as_told_and_stands_on_the_timeline(
    profiles: httpx2.AsyncClient, databases: dict[str, Sessions], ada: str
) -> None:
    told = await profiles.post("/v1/interactions", json=call(ada))
    assert told.status_code == 201, told.text
    read = await profiles.get(told.headers["Location"])

    assert read.json() == told.json()
    assert read.json()["feedback"] == {"score": 9, "text": "Quick"}
    [entry] = (await profiles.get(f"/v1/customers/{ada}/timeline")).json()["items"]
    assert (entry["type"], entry["title"]) == ("interaction.recorded", "Call, inbound: Where is it?")
    row = (await published(databases["profiles"]))[-1]
    event = InteractionRecorded.model_validate_json(row.data)
    assert (row.type, row.key, event.agent, event.feedback_score) == (
        InteractionRecorded.type,
        ada,
        "maria",
        9,
    )
    assert "Friday" not in row.data + str(entry)


@pytest.mark.capability("P5")
async def test_telling_of_an_interaction_again_changes_nothing(
    profiles: httpx2.AsyncClient, databases: dict[str, Sessions], ada: str
) -> None:
    by_name = call(None, 1, customer={"source": "shop", "external_id": "ada"})
    del by_name["customer_id"]
    first = await profiles.post("/v1/interactions", json=call(ada, 1))
    again = await profiles.post("/v1/interactions", json=by_name)
    other = await profiles.post("/v1/interactions", json=call(ada, 1, purpose="Something else"))

    assert (first.status_code, again.status_code, other.status_code) == (201, 200, 409)
    assert again.json() == first.json()
    assert (other.json()["code"], other.json()["interaction_id"]) == (
        "interaction_differs",
        first.json()["id"],
    )
    assert [row.type for row in await published(databases["profiles"])].count(InteractionRecorded.type) == 1


async def test_a_batch_judges_each_interaction_for_itself(profiles: httpx2.AsyncClient, ada: str) -> None:
    items = [
        call(ada, 1),
        call(ada, 1),
        call(ada, 1, agent="other"),
        call(ada),
        call(ada),
        call(str(uuid4()), 2),
        call(ada, 3, channel="smoke signals"),
        call(ada, source="phones"),
    ]
    verdicts = (await profiles.post("/v1/interactions/batch", json={"items": items})).json()["items"]

    assert [verdict["status"] for verdict in verdicts] == [
        *("created", "unchanged", "failed", "created", "created", "failed", "failed", "failed")
    ]
    codes = [verdict["problem"]["code"] for verdict in verdicts if verdict["problem"]]
    assert codes == ["interaction_differs", "customer_not_found", "invalid_request", "invalid_request"]
    assert verdicts[6]["problem"]["errors"][0]["pointer"] == "/items/6/channel"


async def test_the_same_batch_sent_at_once_is_recorded_once(
    committed: dict[str, Sessions], profiles: httpx2.AsyncClient
) -> None:
    ada = (await profiles.post("/v1/customers", json={"name": "Ada"})).json()["id"]
    items = [call(ada, number) for number in range(50)]
    answers = await asyncio.gather(
        *(
            profiles.post("/v1/interactions/batch", json={"items": items[::step]})
            for step in (1, -1, 1, -1, 1, -1)
        )
    )
    assert sum(answer.json()["counts"].get("created", 0) for answer in answers) == 50
    assert sum(answer.json()["counts"].get("unchanged", 0) for answer in answers) == 250


async def test_the_summary_can_be_written_better(profiles: httpx2.AsyncClient, ada: str) -> None:
    first = await profiles.post("/v1/interactions", json=call(ada, 1))
    path = first.headers["Location"]

    changed = await profiles.patch(path, json={"summary": "It came."}, headers={"If-Match": '"1"'})
    stale = await profiles.patch(path, json={"summary": None}, headers={"If-Match": '"1"'})
    same = await profiles.patch(path, json={"summary": "It came."})

    assert (changed.json()["summary"], changed.json()["version"]) == ("It came.", 2)
    assert stale.status_code == 412
    assert same.json() == changed.json()
    assert (await profiles.patch(path, json={"channel": "visit"})).status_code == 422
    assert (await profiles.post("/v1/interactions", json=call(ada, 1))).status_code == 200


@pytest.mark.capability("P18")
async def test_who_was_contacted_last_is_known_and_right_after_a_merge(
    profiles: httpx2.AsyncClient, databases: dict[str, Sessions], ada: str
) -> None:
    eve = (await profiles.post("/v1/customers", json={"name": "Eve"})).json()["id"]
    await profiles.post("/v1/interactions", json=call(ada, 1, occurred_at="2026-02-20T12:00:00Z"))
    await profiles.post("/v1/interactions", json=call(ada, 2, occurred_at="2026-02-10T12:00:00Z"))
    late = call(eve, 3, occurred_at="2026-02-25T12:00:00Z", channel="visit", direction="outbound")
    await profiles.post("/v1/interactions", json=late)

    async def last() -> Any:
        in_file = (await profiles.get(f"/v1/customers/{ada}/file")).json()["last_contacted"]
        summary = (await profiles.get(f"/v1/customers/{ada}/summary/profiles")).json()
        at = in_file["at"].replace("Z", ".000000Z")
        assert summary["last_contacted"] == in_file | {"at": at}
        return in_file["at"], in_file["channel"], in_file["direction"], in_file["by"]

    assert await last() == ("2026-02-20T12:00:00Z", "call", "inbound", "maria")
    merge = {
        "customer_id": UUID(eve),
        "version": 2,
        "survivor_id": UUID(ada),
        "merge_id": uuid4(),
        "sequence": 1,
    }
    async with databases["profiles"].begin() as session:
        await customers.link(session, Base.metadata, [CustomerMerged.model_validate(merge)])
    assert await last() == ("2026-02-25T12:00:00Z", "visit", "outbound", "maria")
    async with databases["profiles"].begin() as session:
        undone = CustomerUnmerged.model_validate(merge | {"version": 3, "sequence": 2})
        await customers.unlink(session, Base.metadata, [undone])
    assert await last() == ("2026-02-20T12:00:00Z", "call", "inbound", "maria")


@pytest.mark.capability("P18")
async def test_a_message_that_was_sent_is_a_contact_and_one_that_failed_is_none(
    profiles: httpx2.AsyncClient, databases: dict[str, Sessions], ada: str
) -> None:
    await profiles.post("/v1/interactions", json=call(ada, 1, occurred_at="2026-02-20T12:00:00Z"))
    async with databases["profiles"].begin() as session:
        for day, failed_at in ((22, None), (24, datetime(2026, 2, 24, tzinfo=UTC))):
            sent_at = datetime(2026, 2, day, 12, tzinfo=UTC)
            session.add(
                Message(
                    **{"id": uuid4(), "customer_id": UUID(ada), "origin_customer_id": UUID(ada)},
                    **{
                        "source": "loyalty",
                        "external_id": f"m-{day}",
                        "purpose": "service",
                        "channel": "sms",
                    },
                    **{"sent_at": sent_at, "failed_at": failed_at, "recorded_at": sent_at},
                    **{"against_consent": False, "version": 1},
                )
            )
    last = (await profiles.get(f"/v1/customers/{ada}/file")).json()["last_contacted"]
    assert (last["at"], last["channel"], last["direction"], last["by"]) == (
        *("2026-02-22T12:00:00Z", "sms", "outbound", "loyalty"),
    )
    assert last["message_id"] is not None
    assert last["interaction_id"] is None


async def test_interactions_are_listed_the_newest_first(profiles: httpx2.AsyncClient, ada: str) -> None:
    for day in (3, 1, 2, 5, 4):
        await profiles.post("/v1/interactions", json=call(ada, day, occurred_at=f"2026-02-0{day}T12:00:00Z"))
    seen, cursor = [], None
    for _ in range(3):
        params = {"limit": 2} | ({"cursor": cursor} if cursor else {})
        page = (await profiles.get(f"/v1/customers/{ada}/interactions", params=params)).json()
        seen += [item["external_id"] for item in page["items"]]
        cursor = page["next_cursor"]
    assert seen == [f"call-{day}" for day in (5, 4, 3, 2, 1)]
    assert cursor is None


async def test_the_table_tells_of_interactions_as_they_were_told(
    profiles: httpx2.AsyncClient, databases: dict[str, Sessions], ada: str
) -> None:
    told = await profiles.post("/v1/interactions", json=call(ada, 1))
    await profiles.patch(told.headers["Location"], json={"summary": "It came."})
    await republish_state(databases["profiles"], STATES["interactions"])
    rows = [row for row in await published(databases["profiles"]) if row.type == InteractionRecorded.type]
    assert len(rows) == 2
    assert rows[0].data == rows[1].data
