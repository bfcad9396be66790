"""Calendars over HTTP: rules that managers edit, in versions that are told to the other services."""

import asyncio
from typing import Any

import httpx2
import pytest
from tests.conftest import ClientFactory

from crm_shared.callers import Role
from crm_shared.contracts.tickets import CalendarChanged
from crm_shared.database import Sessions
from crm_shared.testing import published

Json = dict[str, Any]
SHOP: Json = {
    "name": "The shop",
    "time_zone": "Europe/Madrid",
    "working_hours": [{"days": [1, 2, 3, 4, 5], "hours": [{"start": "10:00", "end": "20:00"}]}],
    "holidays": [
        {"kind": "fixed", "key": "fair", "names": {"es": "Feria"}, "month": 4, "day": 20, "length": 2}
    ],
}
NEW = {"If-None-Match": "*"}


async def test_countries_are_there_from_the_start(tickets: httpx2.AsyncClient) -> None:
    listed = (await tickets.get("/v1/calendars")).json()
    assert {"CN", "ES", "US"} <= {each["code"] for each in listed["items"]}
    china = await tickets.get("/v1/calendars/CN")
    assert china.headers["ETag"] == '"1"'
    assert china.json()["time_zone"] == "Asia/Shanghai"


async def test_a_year_is_shown_day_by_day(tickets: httpx2.AsyncClient) -> None:
    year = (await tickets.get("/v1/calendars/CN/days", params={"year": 2026})).json()
    days = {day["on"]: day for day in year["days"]}
    assert (len(days), year["known"], year["working_days"]) == (365, True, 248)
    assert days["2026-02-17"]["holidays"][0]["names"]["zh"] == "春节"
    assert days["2026-02-17"]["hours"] == []
    assert (days["2026-10-10"]["make_up"], days["2026-10-10"]["weekday"]) == (True, 6)
    assert days["2026-10-10"]["hours"] == [{"start": "09:00", "end": "18:00"}]
    far = (await tickets.get("/v1/calendars/CN/days", params={"year": 2999})).json()
    assert (len(far["days"]), far["known"]) == (365, False)


async def test_a_change_is_a_new_version_and_is_told(
    tickets: httpx2.AsyncClient, databases: dict[str, Sessions]
) -> None:
    made = await tickets.put("/v1/calendars/SHOP-1", json=SHOP, headers=NEW)
    assert (made.status_code, made.headers["ETag"]) == (200, '"1"'), made.text
    changed = SHOP | {"make_up_days": [{"on": "2026-04-19", "like": 1}]}
    second = await tickets.put("/v1/calendars/SHOP-1", json=changed, headers={"If-Match": '"1"'})
    assert (second.json()["version"], second.json()["make_up_days"][0]["on"]) == (2, "2026-04-19")

    versions = (await tickets.get("/v1/calendars/SHOP-1/versions")).json()["items"]
    assert [(each["version"], each["created_by"]) for each in versions] == [(2, "tester"), (1, "tester")]
    first = (await tickets.get("/v1/calendars/SHOP-1", params={"version": 1})).json()
    assert (first["make_up_days"], second.json()["holidays"]) == ([], first["holidays"])
    told = [CalendarChanged.model_validate_json(row.data) for row in await published(databases["tickets"])]
    assert [(event.code, event.version) for event in told] == [("SHOP-1", 1), ("SHOP-1", 2)]
    assert {row.key for row in await published(databases["tickets"])} == {"SHOP-1"}


async def test_nobody_overwrites_what_they_have_not_seen(tickets: httpx2.AsyncClient) -> None:
    blind = await tickets.put("/v1/calendars/SHOP-2", json=SHOP)
    assert blind.status_code == 428
    assert (await tickets.put("/v1/calendars/SHOP-2", json=SHOP, headers=NEW)).status_code == 200
    for headers in (NEW, {"If-Match": '"9"'}):
        assert (await tickets.put("/v1/calendars/SHOP-2", json=SHOP, headers=headers)).status_code == 412
    assert (await tickets.put("/v1/calendars/SHOP-2", json=SHOP)).status_code == 428
    assert (await tickets.get("/v1/calendars/NONE")).status_code == 404
    assert (await tickets.get("/v1/calendars/SHOP-2", params={"version": 7})).status_code == 404


async def test_of_two_who_change_it_at_once_one_is_told_to_look_again(
    tickets: httpx2.AsyncClient, committed: dict[str, Sessions]
) -> None:
    assert (await tickets.put("/v1/calendars/RACE", json=SHOP, headers=NEW)).status_code == 200
    answers = await asyncio.gather(
        *(tickets.put("/v1/calendars/RACE", json=SHOP, headers={"If-Match": '"1"'}) for _ in range(8))
    )
    assert sorted(answer.status_code for answer in answers) == [200] + [412] * 7


@pytest.mark.parametrize(
    ("wrong", "pointer"),
    [
        ({"time_zone": "Mars/Olympus"}, "/time_zone"),
        (
            {"working_hours": [{"days": [1], "hours": [{"start": "12:00", "end": "11:00"}]}]},
            "/working_hours/0/hours/0/end",
        ),
        ({"holidays": [SHOP["holidays"][0], SHOP["holidays"][0]]}, "/holidays"),
        ({"holidays": [{"kind": "full-moon", "key": "moon", "names": {"en": "Moon"}}]}, "/holidays/0/kind"),
        (
            {"holidays": [SHOP["holidays"][0] | {"from_year": 2027, "until_year": 2026}]},
            "/holidays/0/until_year",
        ),
        ({"make_up_days": [{"on": "10000-01-01"}]}, "/make_up_days/0/on"),
    ],
)
async def test_what_is_wrong_is_pointed_at(tickets: httpx2.AsyncClient, wrong: Json, pointer: str) -> None:
    refused = await tickets.put("/v1/calendars/SHOP-3", json=SHOP | wrong, headers=NEW)
    assert refused.status_code == 422
    assert [error["pointer"] for error in refused.json()["errors"]] == [pointer]


async def test_only_managers_decide_when_there_is_work(client: ClientFactory) -> None:
    refused = await client("tickets", Role.AGENT).put("/v1/calendars/SHOP-4", json=SHOP, headers=NEW)
    assert refused.status_code == 403
    assert (await client("tickets", Role.PARTNER).get("/v1/calendars/ES")).status_code == 200
