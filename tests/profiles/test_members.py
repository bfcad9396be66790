"""What is known of a customer: typed, patched member by member, kept by the calendar they live by."""

import json
from typing import Any

import httpx2
import pytest

from crm_profiles.customers.describing import FIELDS
from crm_profiles.state import customers as republished
from crm_shared.contracts.profiles import CustomerState
from crm_shared.database import Sessions
from crm_shared.testing import published

Json = dict[str, Any]

WANG: Json = {
    "name": "王小明",
    "language": "zh-CN",
    "time_zone": "Asia/Shanghai",
    "region": "CN",
    "gender": "male",
    "occupation": "木匠",
    "address": {"lines": ["人民路 1 号"], "city": "上海", "postal_code": "200001", "country": "CN"},
    "birth_date": "1988-04-12",
    "tags": ["newsletter"],
}


async def create(profiles: httpx2.AsyncClient, **members: object) -> Json:
    """What is answered at once is what is read later."""
    answer = await profiles.post("/v1/customers", json={"name": "Ada"} | members)
    assert answer.status_code == 201, answer.text
    customer: Json = answer.json()
    assert (await profiles.get(answer.headers["Location"])).json() == customer
    return customer


async def patched(profiles: httpx2.AsyncClient, customer: Json, body: Json) -> Json:
    answer = await profiles.patch(f"/v1/customers/{customer['id']}", json=body)
    assert answer.status_code == 200, answer.text
    changed: Json = answer.json()
    return changed


@pytest.mark.capability("P1")
async def test_typed_members_come_back_as_they_were_sent(
    profiles: httpx2.AsyncClient, databases: dict[str, Sessions]
) -> None:
    created = await create(profiles, **WANG)

    address = WANG["address"] | {"district": None, "province": None}
    expected = WANG | {"address": address, "birth_calendar": "solar", "lunar_birth_date": None}
    assert {name: created[name] for name in expected} == expected
    assert (await patched(profiles, created, WANG))["version"] == 1
    [row] = await published(databases["profiles"])
    event = CustomerState.model_validate_json(row.data).model_dump(mode="json")
    assert {name: event[name] for name in expected} == expected
    summary = (await profiles.get(f"/v1/customers/{created['id']}/summary/profiles")).json()
    assert {name: summary["customer"][name] for name in expected} == expected


async def test_what_is_republished_is_what_was_published(
    profiles: httpx2.AsyncClient, databases: dict[str, Sessions]
) -> None:
    await create(profiles, **WANG, contact_points=[{"kind": "email", "value": "wang@example.com"}])

    [row] = await published(databases["profiles"])
    async with databases["profiles"]() as session:
        [again] = [event async for event in republished(session)]

    assert json.loads(again.data) == json.loads(row.data)


async def test_an_address_is_patched_member_by_member(profiles: httpx2.AsyncClient) -> None:
    customer = await create(profiles, **WANG)

    moved = await patched(profiles, customer, {"address": {"lines": ["长江路 2 号"], "postal_code": None}})
    gone = await patched(profiles, customer, {"address": None})

    expected = customer["address"] | {"lines": ["长江路 2 号"], "postal_code": None}
    assert moved["address"] == expected
    assert gone["address"] is None


LUNAR = {"year": 1988, "month": 2, "day": 26, "leap_month": False}


async def test_a_lunar_birthday_is_shown_by_both_calendars(profiles: httpx2.AsyncClient) -> None:
    born = await create(profiles, lunar_birth_date={"year": 1988, "month": 2, "day": 26})
    assert (born["birth_date"], born["birth_calendar"]) == ("1988-04-12", "lunar")
    assert born["lunar_birth_date"] == LUNAR

    both = {"birth_date": "1988-04-12", "birth_calendar": "lunar", "lunar_birth_date": LUNAR}
    assert (await patched(profiles, born, both))["version"] == 1
    other = await patched(profiles, born, {"birth_date": "2020-05-23"})
    assert other["lunar_birth_date"] == {"year": 2020, "month": 4, "day": 1, "leap_month": True}
    solar = await patched(profiles, born, {"birth_calendar": "solar"})
    assert (solar["birth_date"], solar["lunar_birth_date"]) == ("2020-05-23", None)
    assert (await patched(profiles, born, {"lunar_birth_date": None}))["birth_date"] == "2020-05-23"
    lunar = await patched(profiles, born, {"birth_calendar": "lunar"})
    assert lunar["lunar_birth_date"] == other["lunar_birth_date"]
    cleared = await patched(profiles, born, {"lunar_birth_date": None})
    assert (cleared["birth_date"], cleared["lunar_birth_date"]) == (None, None)


@pytest.mark.parametrize(
    ("members", "pointer"),
    [
        ({"gender": "unknown"}, "/gender"),
        ({"occupation": " "}, "/occupation"),
        ({"address": {"street": "x"}}, "/address/street"),
        ({"address": {"country": "China"}}, "/address/country"),
        ({"address": {"lines": [""]}}, "/address/lines/0"),
        ({"birth_calendar": "julian"}, "/birth_calendar"),
        (
            {"lunar_birth_date": LUNAR | {"day": 30, "leap_month": True}},
            "/lunar_birth_date",
        ),
        ({"lunar_birth_date": {"year": 1899, "month": 1, "day": 1}}, "/lunar_birth_date/year"),
        ({"lunar_birth_date": LUNAR, "birth_date": "1988-04-13"}, "/lunar_birth_date"),
        ({"lunar_birth_date": LUNAR, "birth_calendar": "solar"}, "/lunar_birth_date"),
        ({"birth_calendar": "lunar", "birth_date": "1900-01-30"}, "/birth_date"),
        ({"birth_calendar": "lunar", "birth_date": "2100-02-09"}, "/birth_date"),
        ({"channel": "pigeon"}, "/channel"),
        ({"channel": None}, "/channel"),
    ],
)
async def test_what_does_not_fit_is_refused_with_its_pointer(
    profiles: httpx2.AsyncClient, members: Json, pointer: str
) -> None:
    answer = await profiles.post("/v1/customers", json={"name": "Ada"} | members)

    assert answer.status_code == 422, answer.text
    assert {fault["pointer"] for fault in answer.json()["errors"]} == {pointer}


async def test_customers_are_listed_by_what_is_known_of_them(profiles: httpx2.AsyncClient) -> None:
    wang = await create(profiles, **WANG, source="shop", channel="interview")
    await create(profiles, gender="female")

    for params in (
        {"gender": "male"},
        {"region": "CN"},
        {"source": "shop"},
        {"channel": "interview"},
        {"channel": "interview", "gender": "male"},
    ):
        items = (await profiles.get("/v1/customers", params=params)).json()["items"]
        assert [item["id"] for item in items] == [wang["id"]], params


def test_every_member_of_a_customer_is_told_by_their_event() -> None:
    assert set(FIELDS) <= CustomerState.model_fields.keys()


async def test_names_have_something_to_be_seen_and_nothing_that_is_not(profiles: httpx2.AsyncClient) -> None:
    created = await create(
        profiles,
        name="\u202eAn\u200bn\ufeff",
        occupation="می\u200cخواهم",
        tags=["vip\u200b", "vip"],
        address={"lines": ["Main\u00ad Street"]},
    )
    assert (created["name"], created["occupation"], created["tags"]) == ("Ann", "می\u200cخواهم", ["vip"])
    assert created["address"]["lines"] == ["Main Street"]
    for members, pointer in (
        ({"name": "\u200b\u200d"}, "/name"),
        ({"occupation": "\u2066\u2069"}, "/occupation"),
        ({"tags": ["\u3164"]}, "/tags/0"),
        ({"address": {"lines": ["\ufeff"]}}, "/address/lines/0"),
    ):
        answer = await profiles.patch(f"/v1/customers/{created['id']}", json=members)
        assert answer.status_code == 422, answer.text
        assert answer.json()["errors"][0]["pointer"] == pointer
    tagged = await profiles.put(f"/v1/customers/{created['id']}/tags/%E2%80%8Bvip")
    assert tagged.json()["tags"] == ["vip"]
    assert (await profiles.put(f"/v1/customers/{created['id']}/tags/%E2%80%8B")).status_code == 422
