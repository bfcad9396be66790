"""Custom attributes: declared by managers, checked on every way in, never left with misfits."""

import asyncio
from typing import Any

import httpx2
import pytest
from tests.conftest import ClientFactory

from crm_shared.callers import Role
from crm_shared.database import Sessions

Json = dict[str, Any]

DECLARED: dict[str, Json] = {
    "nickname": {"type": "string"},
    "shoe_size": {"type": "number"},
    "has_car": {"type": "boolean"},
    "wedding_day": {"type": "date"},
    "shirt_size": {"type": "choice", "choices": ["S", "M", "L"]},
    "hobbies": {"type": "choices", "choices": ["chess", "go", "tea"]},
}
VALUES: Json = {
    "nickname": "小明",
    "shoe_size": 42.5,
    "has_car": False,
    "wedding_day": "2012-05-20",
    "shirt_size": "M",
    "hobbies": ["tea", "chess"],
}


async def declare(
    profiles: httpx2.AsyncClient, key: str, if_match: str | None = None, **members: object
) -> httpx2.Response:
    headers = {"If-Match": if_match} if if_match else {}
    body = {"label": key} | members
    return await profiles.put(f"/v1/customer-attributes/{key}", json=body, headers=headers)


async def declare_all(profiles: httpx2.AsyncClient) -> None:
    for key, members in DECLARED.items():
        answer = await declare(profiles, key, **members)
        assert answer.status_code == 201, answer.text


async def create(profiles: httpx2.AsyncClient, attributes: object) -> Json:
    answer = await profiles.post("/v1/customers", json={"name": "Ada", "attributes": attributes})
    assert answer.status_code == 201, answer.text
    customer: Json = answer.json()
    return customer


@pytest.mark.capability("P1")
async def test_values_come_back_as_they_were_sent_and_are_patched_one_by_one(
    profiles: httpx2.AsyncClient,
) -> None:
    await declare_all(profiles)
    customer = await create(profiles, VALUES)
    path = f"/v1/customers/{customer['id']}"

    assert customer["attributes"] == VALUES | {"hobbies": ["chess", "tea"]}
    changed = (await profiles.patch(path, json={"attributes": {"nickname": None, "has_car": True}})).json()
    expected = customer["attributes"] | {"has_car": True}
    del expected["nickname"]
    assert changed["attributes"] == expected
    assert (await profiles.patch(path, json={"attributes": {"hobbies": ["tea", "chess"]}})).json() == changed
    [newest, _] = (await profiles.get(f"{path}/history")).json()["items"]
    assert newest["changes"] == [
        {"member": "attributes.has_car", "before": False, "after": True},
        {"member": "attributes.nickname", "before": "小明", "after": None},
    ]
    assert (await profiles.patch(path, json={"attributes": None})).json()["attributes"] == {}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("unheard_of", "x"),
        ("un/heard~of", "x"),
        ("nickname", 1),
        ("nickname", "x" * 1001),
        ("nickname", {"a": "b"}),
        ("nickname", ["x"]),
        ("shoe_size", "42"),
        ("shoe_size", True),
        ("shoe_size", 10**16),
        ("has_car", 1),
        ("wedding_day", "2012-02-30"),
        ("wedding_day", "20120520"),
        ("wedding_day", "2012-W20-1"),
        ("shirt_size", "XXL"),
        ("hobbies", "tea"),
        ("hobbies", ["tea", "golf"]),
    ],
)
async def test_a_value_that_does_not_fit_is_refused_with_its_pointer(
    profiles: httpx2.AsyncClient, key: str, value: object
) -> None:
    await declare_all(profiles)
    pointer = f"/attributes/{key.replace('~', '~0').replace('/', '~1')}"
    body = {"name": "Ada", "attributes": {"nickname": "ok"} | {key: value}}

    one = await profiles.post("/v1/customers", json=body)
    batch = {
        "items": [
            body | {"source": "shop", "external_id": "1"},
            {"source": "shop", "external_id": "2", "name": "B"},
        ]
    }
    many = (await profiles.post("/v1/customers/batch", json=batch)).json()

    assert one.status_code == 422, one.text
    assert [fault["pointer"] for fault in one.json()["errors"]] == [pointer]
    assert many["counts"] == {"failed": 1, "created": 1}
    assert [fault["pointer"] for fault in many["items"][0]["problem"]["errors"]] == [f"/items/0{pointer}"]


async def test_a_declaration_is_replaced_only_by_who_has_seen_it(profiles: httpx2.AsyncClient) -> None:
    first = await declare(profiles, "level", type="choice", choices=["a", "b"])
    again = await declare(profiles, "level", type="choice", choices=["a", "b"])
    unseen = await declare(profiles, "level", type="choice", choices=["a", "b", "c"])
    seen = await declare(profiles, "level", '"1"', type="choice", choices=["a", "b", "c"])
    stale = await declare(profiles, "level", '"1"', type="choice", choices=["a"])

    codes = [answer.status_code for answer in (first, again, unseen, seen, stale)]
    assert codes == [201, 200, 428, 200, 412]
    read = await profiles.get("/v1/customer-attributes/level")
    assert (read.headers["ETag"], read.json()["choices"]) == ('"2"', ["a", "b", "c"])
    assert (await profiles.get("/v1/customer-attributes")).json()["items"] == [read.json()]


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"type": "choice"}, "/choices"),
        ({"type": "string", "choices": ["a"]}, "/choices"),
        ({"type": "choice", "choices": ["a", "a"]}, "/choices"),
        ({"type": "colour"}, "/type"),
    ],
)
async def test_a_declaration_that_is_none_is_refused(
    profiles: httpx2.AsyncClient, body: Json, pointer: str
) -> None:
    answer = await declare(profiles, "level", **body)
    assert answer.status_code == 422
    assert [fault["pointer"] for fault in answer.json()["errors"]] == [pointer]


async def test_a_declaration_never_leaves_values_that_do_not_fit(profiles: httpx2.AsyncClient) -> None:
    await declare_all(profiles)
    customer = await create(profiles, VALUES)
    await create(profiles, {"shirt_size": "S"})

    for key, members in (
        ("shirt_size", {"type": "string"}),
        ("shirt_size", {"type": "choice", "choices": ["S", "L"]}),
        ("hobbies", {"type": "choices", "choices": ["tea", "go"]}),
    ):
        refused = await declare(profiles, key, '"1"', **members)
        assert (refused.status_code, refused.json()["code"]) == (409, "attribute_in_use"), refused.text
        expected = 2 if members["type"] == "string" else 1
        assert refused.json()["customers"] == expected
    assert (
        await declare(profiles, "hobbies", '"1"', type="choices", choices=["tea", "chess"])
    ).status_code == 200

    path = "/v1/customer-attributes/nickname"
    assert (await profiles.delete(path)).status_code == 409
    await profiles.patch(f"/v1/customers/{customer['id']}", json={"attributes": {"nickname": None}})
    assert [(await profiles.delete(path)).status_code for _ in range(2)] == [200, 404]
    assert (await profiles.get(path)).status_code == 404


async def test_only_managers_declare(client: ClientFactory) -> None:
    agent = client("profiles", Role.AGENT)

    assert (await declare(agent, "level", type="string")).status_code == 403
    assert (await agent.delete("/v1/customer-attributes/level")).status_code == 403
    assert (await agent.get("/v1/customer-attributes")).status_code == 200


async def test_customers_are_listed_by_their_attributes(profiles: httpx2.AsyncClient) -> None:
    await declare_all(profiles)
    customer = await create(profiles, VALUES)
    await create(profiles, {"shirt_size": "S", "shoe_size": 42})

    for wanted in (
        ["shirt_size:M"],
        ["shoe_size:42.5"],
        ["has_car:false"],
        ["hobbies:tea"],
        ["hobbies:tea", "nickname:小明"],
    ):
        answer = await profiles.get("/v1/customers", params={"attribute": wanted})
        assert [item["id"] for item in answer.json()["items"]] == [customer["id"]], wanted
    for unmet in (["hobbies:tea", "has_car:true"], ["shirt_size:XXL"], ["unheard_of:1"], ["shoe_size:nan"]):
        answer = await profiles.get("/v1/customers", params={"attribute": unmet})
        assert answer.json()["items"] == [], unmet
    assert (await profiles.get("/v1/customers", params={"attribute": "tea"})).status_code == 422


async def test_a_choice_that_goes_while_somebody_chooses_it_leaves_no_misfit(
    committed: dict[str, Sessions], profiles: httpx2.AsyncClient
) -> None:
    for round_ in range(8):
        key = f"size_{round_}"
        await declare(profiles, key, type="choice", choices=["S", "M"])
        body = {"name": "Ada", "attributes": {key: "M"}}

        declared, created = await asyncio.gather(
            declare(profiles, key, '"1"', type="choice", choices=["S"]),
            profiles.post("/v1/customers", json=body),
        )

        assert {(200, 422), (409, 201)} >= {(declared.status_code, created.status_code)}
