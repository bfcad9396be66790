"""P3: a customer is written by what another system calls them, as often as it likes."""

import asyncio

import httpx2
import pytest

from crm_shared.ids import uuid7

pytestmark = pytest.mark.capability("P3")


async def test_an_upsert_by_external_id_can_be_repeated(agent: httpx2.AsyncClient) -> None:
    path = f"/v1/customers/by-external-id/shop/{uuid7()}"
    first = await agent.put(path, json={"name": "王小明"})
    assert first.status_code == 201, first.text
    again = await agent.put(path, json={"name": "王小明"})
    assert again.status_code == 200
    assert again.json() == first.json()
    changed = await agent.put(path, json={"name": "王大明"})
    assert (changed.json()["id"], changed.json()["version"]) == (first.json()["id"], 2)


async def test_fifty_upserts_of_one_external_id_at_once_make_one_customer(agent: httpx2.AsyncClient) -> None:
    path = f"/v1/customers/by-external-id/shop/{uuid7()}"
    answers = await asyncio.gather(*(agent.put(path, json={"name": "Zoë"}) for _ in range(50)))
    assert {answer.status_code for answer in answers} <= {200, 201}
    assert [answer.status_code for answer in answers].count(201) == 1
    assert len({answer.json()["id"] for answer in answers}) == 1
