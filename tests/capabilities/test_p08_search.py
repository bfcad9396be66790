"""P8: a customer is found by what little is known of them."""

import httpx2
import pytest

from crm_shared.ids import uuid7

pytestmark = pytest.mark.capability("P8")


async def found(agent: httpx2.AsyncClient, **question: str) -> list[str]:
    answer = await agent.get("/v1/customers/search", params=question)
    assert answer.status_code == 200, answer.text
    return [item["customer"]["id"] for item in answer.json()["items"]]


async def test_a_slip_a_part_of_a_chinese_name_or_the_end_of_a_number_finds_the_customer(
    agent: httpx2.AsyncClient,
) -> None:
    number = f"{uuid7().int % 10**8:08}"
    zoe = await agent.post("/v1/customers", json={"name": "Zoë Quillfeather", "tags": ["p8"]})
    wang = await agent.post(
        "/v1/customers",
        json={
            "name": "欧阳小明",
            "region": "CN",
            "tags": ["p8"],
            "contact_points": [{"kind": "phone", "value": f"138{number}"}],
        },
    )
    assert (zoe.status_code, wang.status_code) == (201, 201)
    for question in ("zoe", "Quil", "feather", "quilfeather", "quillfaether", "quillfeather zoe"):
        assert zoe.json()["id"] in await found(agent, q=question, tag="p8"), question
    for question in ("欧", "小明", "明", number[-4:], f"+86 138 {number}"):
        assert wang.json()["id"] in await found(agent, q=question, tag="p8"), question
    assert await found(agent, q="quillfeather", tag="somebody else's") == []


async def test_customers_are_classified_by_tag(agent: httpx2.AsyncClient) -> None:
    tag = str(uuid7())
    ada = await agent.post("/v1/customers", json={"name": "Ada", "tags": [tag]})
    await agent.post("/v1/customers", json={"name": "Bob"})
    listed = await agent.get("/v1/customers", params={"tag": tag})
    assert [customer["id"] for customer in listed.json()["items"]] == [ada.json()["id"]]


async def test_tags_and_attributes_narrow_a_search(
    agent: httpx2.AsyncClient, manager: httpx2.AsyncClient
) -> None:
    size, tag = f"size_{uuid7().hex}", f"club-{uuid7().hex}"
    declared = {"type": "choice", "label": "Shirt size", "choices": ["S", "M"]}
    assert (await manager.put(f"/v1/customer-attributes/{size}", json=declared)).status_code == 201
    for name, value in (("Quirina Small", "S"), ("Quirina Medium", "M")):
        body = {"name": name, "tags": [tag], "attributes": {size: value}}
        assert (await agent.post("/v1/customers", json=body)).status_code == 201
    found = await agent.get(
        "/v1/customers/search", params={"q": "quirina", "attribute": f"{size}:M", "tag": tag}
    )
    assert [item["customer"]["name"] for item in found.json()["items"]] == ["Quirina Medium"]
    counted = await agent.get("/v1/customer-tags", params={"prefix": tag})
    assert counted.json()["items"] == [{"tag": tag, "customers": 2}]
