"""One key, one effect, one answer, whatever happens in between."""

import asyncio
from collections.abc import Callable

import httpx2
import pytest
from fastapi import FastAPI

from crm_shared.callers import Role

NOTES = "/v1/notes"
KEY = {"idempotency-key": "a key of ours"}
SOMEBODY = "00000000-0000-7000-8000-000000000001"


async def count(client: httpx2.AsyncClient) -> int:
    notes: int = (await client.get(NOTES)).json()["notes"]
    return notes


async def test_a_repeated_request_has_one_effect_and_the_same_answer(agent: httpx2.AsyncClient) -> None:
    first = await agent.post(NOTES, json={"text": "a", "tags": []}, headers=KEY)
    again = await agent.post(
        NOTES, content=b'{"tags": [], "text": "a"}', headers=KEY | {"content-type": "application/json"}
    )
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.content == first.content
    assert "idempotency-replayed" not in first.headers
    assert again.headers["idempotency-replayed"] == "true"
    for name in ("etag", "location", "content-type"):
        assert again.headers[name] == first.headers[name]
    assert await count(agent) == 1


async def test_the_same_key_for_another_request_is_refused(agent: httpx2.AsyncClient) -> None:
    await agent.post(NOTES, json={"text": "a"}, headers=KEY)
    answer = await agent.post(NOTES, json={"text": "b"}, headers=KEY)
    assert (answer.status_code, answer.json()["code"]) == (422, "idempotency_key_reused")


async def test_keys_of_two_callers_have_nothing_to_do_with_each_other(
    call_as: Callable[..., httpx2.AsyncClient],
) -> None:
    for name in ("alice", "bob"):
        answer = await call_as(Role.AGENT, subject=name).post(NOTES, json={"text": name}, headers=KEY)
        assert answer.json()["author"] == name


async def test_a_refusal_leaves_no_trace_and_may_succeed_later(agent: httpx2.AsyncClient) -> None:
    note = (await agent.post(NOTES, json={"text": "sealed"})).json()
    path = f"{NOTES}/{note['id']}"
    refused = await agent.patch(path, json={"text": "b"}, headers=KEY)
    assert refused.json()["code"] == "note_sealed"
    stale = await agent.patch(path, json={"text": "b"}, headers=KEY | {"if-match": '"7"'})
    assert (stale.status_code, stale.json()["current_version"]) == (412, 1)


async def test_a_commit_that_fails_is_never_answered_as_done_nor_remembered(
    agent: httpx2.AsyncClient,
) -> None:
    """The foreign key is checked at the commit only, after the reply was stored."""
    body = {"text": "a", "parent_id": SOMEBODY}
    for _ in range(2):
        answer = await agent.post(NOTES, json=body, headers=KEY)
        assert answer.status_code == 500
    assert await count(agent) == 0


@pytest.mark.parametrize("key", ["", "a" * 256, "clé", "a\tb"])
async def test_a_key_that_is_none_is_refused(agent: httpx2.AsyncClient, key: str) -> None:
    answer = await agent.post(
        NOTES, json={"text": "a"}, headers=[(b"idempotency-key", key.encode("latin-1"))]
    )
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_idempotency_key")


async def test_two_keys_are_none(agent: httpx2.AsyncClient) -> None:
    keys = [("idempotency-key", "one"), ("idempotency-key", "two")]
    answer = await agent.post(NOTES, json={"text": "a"}, headers=keys)
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_idempotency_key")
    assert await count(agent) == 0


async def test_where_value_moves_a_key_is_demanded(agent: httpx2.AsyncClient) -> None:
    note = (await agent.post(NOTES, json={"text": "a"})).json()
    path = f"{NOTES}/{note['id']}/pay"
    answer = await agent.post(path)
    assert (answer.status_code, answer.json()["code"]) == (400, "idempotency_key_missing")
    assert (await agent.post(path, headers=KEY)).status_code == 200


async def test_fifty_at_once_with_one_key_have_one_effect(agent: httpx2.AsyncClient) -> None:
    answers = await asyncio.gather(*(agent.post(NOTES, json={"text": "a"}, headers=KEY) for _ in range(50)))
    assert {answer.status_code for answer in answers} <= {201, 409, 503}
    done = [answer for answer in answers if answer.status_code == 201]
    assert len({answer.content for answer in done}) == 1
    assert sum("idempotency-replayed" not in answer.headers for answer in done) == 1
    assert await count(agent) == 1


async def test_replays_and_conflicts_are_counted(app: FastAPI, agent: httpx2.AsyncClient) -> None:
    await agent.post(NOTES, json={"text": "a"}, headers=KEY)
    await agent.post(NOTES, json={"text": "a"}, headers=KEY)
    await agent.post(NOTES, json={"text": "b"}, headers=KEY)
    text = app.state.metrics.render().decode()
    assert "idempotency_replays_total 1.0" in text
    assert 'idempotency_conflicts_total{reason="idempotency_key_reused"} 1.0' in text
