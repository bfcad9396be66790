"""P1: what is known of a customer is typed, custom attributes are declared, mistakes are pointed at."""

import httpx2
import pytest

from crm_shared.ids import uuid7

pytestmark = pytest.mark.capability("P1")

WANG = {
    "name": "王小明",
    "gender": "male",
    "lunar_birth_date": {"year": 2020, "month": 4, "day": 1, "leap_month": True},
    "occupation": "木匠",
    "region": "CN",
    "address": {
        "lines": ["人民路 1 号"],
        "district": "黄浦区",
        "city": "上海",
        "province": "上海市",
        "postal_code": "200001",
        "country": "CN",
    },
    "language": "zh-CN",
    "time_zone": "Asia/Shanghai",
}


async def test_typed_members_and_declared_attributes_round_trip(
    agent: httpx2.AsyncClient, manager: httpx2.AsyncClient
) -> None:
    key = f"size_{uuid7().hex}"
    declaration = {"type": "choice", "label": "Shirt size", "choices": ["S", "M"]}
    assert (await manager.put(f"/v1/customer-attributes/{key}", json=declaration)).status_code == 201

    created = await agent.post("/v1/customers", json=WANG | {"attributes": {key: "M"}})
    path = f"/v1/customers/{created.json()['id']}"
    patched = await agent.patch(path, json={"occupation": None, "address": {"district": None}})

    assert created.status_code == 201, created.text
    expected = WANG | {"birth_date": "2020-05-23", "birth_calendar": "lunar", "attributes": {key: "M"}}
    assert {name: created.json()[name] for name in expected} == expected
    address = WANG["address"] | {"district": None}  # type: ignore[operator]
    read = (await agent.get(path)).json()
    assert read == patched.json()
    assert {name: read[name] for name in expected} == expected | {"occupation": None, "address": address}


@pytest.mark.parametrize(
    ("members", "pointer"),
    [
        ({"nickname": "Bob"}, "/nickname"),
        ({"attributes": {"nobody_declared_it": 1}}, "/attributes/nobody_declared_it"),
        ({"lunar_birth_date": {"year": 2021, "month": 4, "day": 1, "leap_month": True}}, "/lunar_birth_date"),
    ],
)
async def test_an_unknown_member_is_refused_with_its_pointer(
    agent: httpx2.AsyncClient, members: dict[str, object], pointer: str
) -> None:
    answer = await agent.post("/v1/customers", json={"name": "Ada"} | members)

    assert answer.status_code == 422
    assert [fault["pointer"] for fault in answer.json()["errors"]] == [pointer]
