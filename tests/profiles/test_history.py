"""Histories: every change of a customer, and what they were at any instant."""

import asyncio
from datetime import datetime, timedelta
from importlib import import_module
from itertools import pairwise
from typing import Any
from uuid import uuid4

import httpx2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from tests.chance import examples
from tests.conftest import ClientFactory

from crm_profiles.schemas.customers import CustomerOut
from crm_shared.callers import Role
from crm_shared.database import Sessions
from crm_shared.testing import FrozenClock, published

Json = dict[str, Any]

ADA = {
    "name": "Ada",
    "tags": ["a"],
    "contact_points": [{"kind": "email", "value": "ada@example.com"}],
    "source": "shop",
    "channel": "registration",
}


async def create(profiles: httpx2.AsyncClient, **members: object) -> Json:
    answer = await profiles.post("/v1/customers", json=members)
    assert answer.status_code == 201, answer.text
    customer: Json = answer.json()
    return customer


async def history(profiles: httpx2.AsyncClient, customer_id: str, limit: int = 200) -> list[Json]:
    """All pages of it."""
    items: list[Json] = []
    params: dict[str, str | int] = {"limit": limit}
    while True:
        answer = await profiles.get(f"/v1/customers/{customer_id}/history", params=params)
        assert answer.status_code == 200, answer.text
        page = answer.json()
        items += page["items"]
        if not page["has_more"]:
            return items
        params["cursor"] = page["next_cursor"]


async def as_of(profiles: httpx2.AsyncClient, customer_id: str, instant: str) -> httpx2.Response:
    return await profiles.get(f"/v1/customers/{customer_id}", params={"as_of": instant})


def shown(customer: Json) -> CustomerOut:
    """Without the instant asked for."""
    return CustomerOut.model_validate(customer | {"as_of": None})


async def test_the_history_tells_who_changed_what_and_how_it_came_to_be_known(
    profiles: httpx2.AsyncClient, clock: FrozenClock
) -> None:
    ada = await create(profiles, **ADA)
    clock.advance(timedelta(days=1))
    body = {"name": "Ada Lovelace", "contact_points": [], "channel": "interview"}
    await profiles.patch(f"/v1/customers/{ada['id']}", json=body)

    changed, created = await history(profiles, ada["id"])

    assert (created["change"], created["version"]) == ("created", 1)
    assert created["recorded_at"] == "2026-03-02T09:00:00Z"
    assert (created["source"], created["channel"], created["actor"]) == ("shop", "registration", "tester")
    assert created["changes"] == [
        {"member": "birth_calendar", "before": None, "after": "solar"},
        {"member": "channel", "before": None, "after": "registration"},
        {"member": "contact_points", "before": None, "after": ADA["contact_points"]},
        {"member": "created_at", "before": None, "after": "2026-03-02T09:00:00Z"},
        {"member": "name", "before": None, "after": "Ada"},
        {"member": "source", "before": None, "after": "shop"},
        {"member": "tags", "before": None, "after": ["a"]},
    ]
    assert (changed["change"], changed["version"], changed["channel"]) == ("changed", 2, "interview")
    assert changed["recorded_at"] == "2026-03-03T09:00:00Z"
    assert changed["changes"] == [
        {"member": "contact_points", "before": ADA["contact_points"], "after": None},
        {"member": "name", "before": "Ada", "after": "Ada Lovelace"},
    ]


async def test_telling_it_by_another_channel_alone_changes_nothing(
    profiles: httpx2.AsyncClient, databases: dict[str, Sessions]
) -> None:
    ada = await create(profiles, **ADA)

    again = await profiles.patch(
        f"/v1/customers/{ada['id']}", json={"name": "Ada", "channel": "staff", "source": "till"}
    )

    assert again.json() == ada
    assert len(await published(databases["profiles"])) == 1
    assert len(await history(profiles, ada["id"])) == 1


async def test_each_way_of_writing_leaves_its_source_and_channel(profiles: httpx2.AsyncClient) -> None:
    path = "/v1/customers/by-external-id/shop/c-1"
    customer = (await profiles.put(path, json={"name": "Ada", "channel": "social"})).json()
    item = {"source": "shop", "external_id": "c-1", "name": "Augusta", "channel": "purchase"}
    await profiles.post("/v1/customers/batch", json={"items": [item]})

    assert (customer["source"], customer["channel"]) == ("shop", "social")
    told = [(row["source"], row["channel"]) for row in await history(profiles, customer["id"])]
    assert told == [("shop", "purchase"), ("shop", "social")]
    assert (await profiles.get(f"/v1/customers/{customer['id']}")).json()["channel"] == "social"


async def test_a_customer_is_read_as_they_were(profiles: httpx2.AsyncClient, clock: FrozenClock) -> None:
    path = "/v1/customers/by-external-id/shop/c-1"
    body = {"name": "Ada", "contact_points": ADA["contact_points"], "birth_date": "1985-12-10"}
    first = (await profiles.put(path, json=body)).json()
    clock.advance(timedelta(days=30))
    second = (await profiles.patch(f"/v1/customers/{first['id']}", json={"name": "Augusta"})).json()

    for instant, expected in (
        ("2026-03-02T09:00:00Z", first),
        ("2026-04-01T08:59:59.999999Z", first),
        ("2026-04-01T17:00:00+08:00", second),
        ("2027-01-01T00:00:00Z", second),
    ):
        answer = await as_of(profiles, first["id"], instant)
        assert datetime.fromisoformat(answer.json()["as_of"]) == datetime.fromisoformat(instant)
        assert shown(answer.json()) == shown(expected)
        assert answer.headers["ETag"] == f'"{expected["version"]}"'
        assert (await profiles.get(answer.headers["Content-Location"])).json() == answer.json()


async def test_nobody_was_on_file_before_they_were_created(profiles: httpx2.AsyncClient) -> None:
    ada = await create(profiles, **ADA)

    for customer_id in (ada["id"], str(uuid4())):
        answer = await as_of(profiles, customer_id, "2026-03-02T08:59:59Z")
        assert (answer.status_code, answer.json()["code"]) == (404, "customer_not_found")
        assert "2026-03-02T08:59:59" in answer.json()["detail"]
    assert (await profiles.get(f"/v1/customers/{uuid4()}/history")).status_code == 404
    assert (await as_of(profiles, ada["id"], "last month")).status_code == 422


async def test_contact_points_of_the_past_are_masked_too(
    client: ClientFactory, profiles: httpx2.AsyncClient
) -> None:
    ada = await create(profiles, **ADA)
    await profiles.patch(f"/v1/customers/{ada['id']}", json={"contact_points": []})
    without = client("profiles", Role.AGENT, pii=False)

    then = (await as_of(without, ada["id"], ada["created_at"])).json()
    told = await history(without, ada["id"])

    masked = [{"kind": "email", "value": "a***@example.com"}]
    assert then["contact_points"] == masked
    assert [change for row in told for change in row["changes"] if change["member"] == "contact_points"] == [
        {"member": "contact_points", "before": masked, "after": None},
        {"member": "contact_points", "before": None, "after": masked},
    ]


async def test_an_erased_customer_has_no_past(profiles: httpx2.AsyncClient) -> None:
    ada = await create(profiles, **ADA)

    erased = await profiles.post("/v1/privacy/erasures", json={"customer_id": ada["id"]})

    assert erased.status_code == 202, erased.text
    assert (await as_of(profiles, ada["id"], ada["created_at"])).status_code == 404
    assert (await profiles.get(f"/v1/customers/{ada['id']}/history")).status_code == 404


async def test_who_was_on_file_before_histories_were_kept_begins_with_what_was_known(
    profiles: httpx2.AsyncClient, databases: dict[str, Sessions], clock: FrozenClock
) -> None:
    migration = import_module("crm_profiles.migrations.versions.0002_describe_customers")
    address, points = {"city": "London"}, ADA["contact_points"]
    body = {"name": "Ada", "address": address, "contact_points": points, "birth_calendar": "lunar"}
    put = await profiles.put("/v1/customers/by-external-id/shop/1", json=body | {"birth_date": "1985-12-10"})
    customer = put.json()
    kept = await history(profiles, customer["id"])
    async with databases["profiles"].begin() as session:
        await session.execute(text("DELETE FROM customer_versions"))
        await session.execute(text(migration.BEGIN_HISTORIES))

    [begun] = await history(profiles, customer["id"])
    later = [change for change in begun["changes"] if change not in kept[0]["changes"]]
    assert begun | {"changes": kept[0]["changes"]} == kept[0] | {"actor": None}
    assert {change["member"] for change in later} <= {"name_key"}, "columns that came with later revisions"
    then = await as_of(profiles, customer["id"], customer["created_at"])
    assert shown(then.json()) == shown(customer)


NAMES = st.sampled_from(["Ada", "Augusta", "王小明"])
POINTS = st.lists(
    st.sampled_from([{"kind": "email", "value": f"{letter}@example.com"} for letter in "ab"]), max_size=2
)
PATCHES = st.fixed_dictionaries(
    {},
    optional={
        "name": NAMES,
        "language": st.sampled_from([None, "en", "zh-CN"]),
        "birth_date": st.sampled_from([None, "1985-12-10"]),
        "tags": st.lists(st.sampled_from("xyz"), max_size=3),
        "contact_points": POINTS,
    },
)
STEPS = st.lists(st.tuples(PATCHES, st.integers(-2, 2)), min_size=1, max_size=6)


def replayed(rows: list[Json]) -> Json:
    """What the changes add up to, the newest of which comes first."""
    members: Json = {}
    for row in reversed(rows):
        members |= {change["member"]: change["after"] for change in row["changes"]}
    return {name: value for name, value in members.items() if value is not None}


async def assert_history_agrees(profiles: httpx2.AsyncClient, customer: Json) -> None:
    """Instants rise, versions have no gap, and reading as of any instant gives the changes until then."""
    rows = await history(profiles, customer["id"], limit=2)
    instants = [datetime.fromisoformat(row["recorded_at"]) for row in rows]
    assert all(later > earlier for later, earlier in pairwise(instants))
    assert [row["version"] for row in rows] == list(range(len(rows), 0, -1))
    now = (await profiles.get(f"/v1/customers/{customer['id']}")).json()
    assert (now["version"], datetime.fromisoformat(now["updated_at"])) == (rows[0]["version"], instants[0])
    for instant in instants:
        for moment in (instant, instant + timedelta(microseconds=1)):
            then = (await as_of(profiles, customer["id"], moment.isoformat())).json()
            known = [row for row in rows if datetime.fromisoformat(row["recorded_at"]) <= moment]
            assert then["version"] == known[0]["version"]
            members = replayed(known)
            empty: Json = {"tags": [], "contact_points": [], "external_ids": [], "attributes": {}}
            for name in then.keys() - {"id", "version", "updated_at", "merged_from", "as_of"}:
                assert then[name] == members.get(name, empty.get(name)), name
    last = (await as_of(profiles, customer["id"], "2999-01-01T00:00:00Z")).json()
    assert shown(last) == shown(now)


@given(steps=STEPS)
@settings(max_examples=examples(15))
@pytest.mark.capability("P13")
async def test_reading_as_of_an_instant_is_replaying_the_history_until_then(
    profiles: httpx2.AsyncClient, clock: FrozenClock, steps: list[tuple[Json, int]]
) -> None:
    customer = await create(profiles, name="Ada")
    for patch, minutes in steps:
        clock.advance(timedelta(minutes=minutes))  # clocks are set back, too
        answer = await profiles.patch(f"/v1/customers/{customer['id']}", json=patch)
        assert answer.status_code in (200, 409)

    await assert_history_agrees(profiles, customer)


async def test_writers_at_once_leave_one_history_whose_instants_rise(
    committed: dict[str, Sessions], profiles: httpx2.AsyncClient
) -> None:
    customer = await create(profiles, name="Ada")
    path = f"/v1/customers/{customer['id']}"

    answers = await asyncio.gather(
        *(profiles.patch(path, json={"name": f"Ada {n}", "tags": [str(n % 3)]}) for n in range(20))
    )

    assert {answer.status_code for answer in answers} == {200}
    events = await published(committed["profiles"])
    assert [event.version for event in events] == list(range(1, 22))
    assert [event.time for event in events] == sorted({event.time for event in events})
    await assert_history_agrees(profiles, customer)
