"""P2: a contact point reaches one customer, however it is written and however many want it at once."""

import asyncio

import httpx2
import pytest

from crm_shared.ids import uuid7

pytestmark = pytest.mark.capability("P2")


async def test_two_hundred_creates_with_one_phone_make_one_customer(agent: httpx2.AsyncClient) -> None:
    number = f"13{uuid7().int % 10**9:09}"
    spellings = [number, f"+86 {number}", f"0086 {number[:3]}-{number[3:]}", f"{number[:3]} {number[3:]}"]

    async def attempt(spelling: str) -> httpx2.Response:
        points = [{"kind": "phone", "value": spelling}]
        body = {"name": "王小明", "region": "CN", "contact_points": points}
        while (answer := await agent.post("/v1/customers", json=body)).status_code == 503:
            pass
        return answer

    answers = await asyncio.gather(*(attempt(spellings[n % 4]) for n in range(200)))

    [created] = [answer.json() for answer in answers if answer.status_code == 201]
    refused = [answer.json() for answer in answers if answer.status_code == 409]
    assert len(refused) == 199, {answer.status_code for answer in answers}
    assert {problem["customer_id"] for problem in refused} == {created["id"]}
    found = await agent.get("/v1/customers", params={"phone": f"+86{number}"})
    assert [customer["id"] for customer in found.json()["items"]] == [created["id"]]


async def test_contact_points_come_and_go_one_by_one(agent: httpx2.AsyncClient) -> None:
    name = f"ada-{uuid7().hex}@example.com"
    customer = (await agent.post("/v1/customers", json={"name": "Ada"})).json()
    path = f"/v1/customers/{customer['id']}/contact-points"

    added = await agent.post(path, json={"kind": "email", "value": name.upper()})
    assert added.status_code == 201, added.text
    taken = {"name": "Eve", "contact_points": [{"kind": "email", "value": name}]}
    assert (await agent.post("/v1/customers", json=taken)).json()["customer_id"] == customer["id"]
    gone = await agent.delete(f"{path}/email/{name}")
    assert gone.json()["contact_points"] == []
    assert (await agent.post("/v1/customers", json=taken)).status_code == 201
