"""Pairs who may be one person are found as customers change, come with reasons, and wait for somebody."""

import re
from collections.abc import Awaitable, Callable
from datetime import date, timedelta
from typing import Any
from uuid import uuid4

import httpx2
import pytest
from sqlalchemy import DateTime, bindparam, text

from crm_profiles.handlers import due_work, jobs
from crm_profiles.merging import duplicates, matching
from crm_profiles.merging.matching import MatchKey, Person
from crm_profiles.models.duplicates import KeyKind
from crm_shared import due
from crm_shared import jobs as job_runner
from crm_shared.database import Sessions
from crm_shared.testing import FrozenClock, fresh_key

Make = Callable[..., Awaitable[str]]
Look = Callable[[], Awaitable[list[dict[str, Any]]]]
BORN = {"birth_date": "1988-04-12"}


@pytest.fixture
def make(profiles: httpx2.AsyncClient) -> Make:
    """Makes customers: `await make("Ann", "ann@example.com", birth_date="1988-04-12")`."""

    async def create(name: str, *emails: str, **members: Any) -> str:
        contacts = [{"kind": "email", "value": value} for value in emails]
        answer = await profiles.post(
            "/v1/customers", json={"name": name, "contact_points": contacts, **members}
        )
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    return create


@pytest.fixture
def look(profiles: httpx2.AsyncClient, databases: dict[str, Sessions], clock: FrozenClock) -> Look:
    """The worker looks at who has changed; gives the pairs that are open then."""

    async def run() -> list[dict[str, Any]]:
        async with databases["profiles"].begin() as session:
            instants = {uuid4(): clock.now() - timedelta(seconds=5)}
            await due.schedule(session, "match-customers", instants)
        await due.run(databases["profiles"], due_work, clock)
        items: list[dict[str, Any]] = (await profiles.get("/v1/duplicates")).json()["items"]
        return items

    return run


def pair(*ids: str) -> tuple[str, ...]:
    return tuple(sorted(ids))


async def test_same_name_and_birth_date_are_found_whatever_the_spelling(make: Make, look: Look) -> None:
    first = await make("José  García", **BORN)
    second = await make("garcia, JOSE", **BORN)
    await make("José García", birth_date="1990-01-01")
    await make("José García")

    [found] = await look()

    assert pair(found["first_id"], found["second_id"]) == pair(first, second)
    assert [(each["reason"], each["weight"]) for each in found["reasons"]] == [
        ("same_birth_date", 7),
        ("same_name", 5),
    ]
    assert found["score"] == pytest.approx(8 / 9, abs=1e-4)
    assert {found["first"]["id"], found["second"]["id"]} == {first, second}
    assert await look() == [found]


async def test_who_has_what_somebody_gave_up_is_found_and_the_value_is_not_shown(
    profiles: httpx2.AsyncClient, make: Make, look: Look
) -> None:
    first = await make("Ann Lee", "shared@example.com")
    await profiles.patch(f"/v1/customers/{first}", json={"contact_points": []})
    await make("Ann Lee", "shared@example.com")

    [found] = await look()

    [contact, name] = found["reasons"]
    assert (contact["reason"], contact["evidence"]) == ("same_contact_point", "email s***@example.com")
    assert name["reason"] == "same_name"


async def test_alike_in_name_and_e_mail_are_found_and_shared_mailboxes_are_not(
    make: Make, look: Look
) -> None:
    await make("Ann Lee", "ann.lee@example.com", "support@example.com")
    await make("Ann Lee", "annlee+news@example.org", "support@example.org")
    await make("Bea Support", "support@example.net")
    [found] = await look()
    assert [each["reason"] for each in found["reasons"]] == ["same_email_name", "same_name"]


async def test_a_dismissed_pair_comes_back_only_with_other_facts(
    profiles: httpx2.AsyncClient, make: Make, look: Look, databases: dict[str, Sessions]
) -> None:
    first, _ = await make("Ann Lee", **BORN), await make("Ann Lee", **BORN)
    [found] = await look()
    path = f"/v1/duplicates/{found['id']}/dismiss"
    dismissed = await profiles.post(path, json={"reason": "twins"})
    assert (dismissed.json()["state"], dismissed.json()["reason"]) == ("dismissed", "twins")
    assert (await profiles.post(path, json={})).json() == dismissed.json()

    await profiles.patch(f"/v1/customers/{first}", json={"language": "en"})
    assert await look() == []
    await profiles.patch(f"/v1/customers/{first}", json={"name": "Anne Lee"})
    [again] = await look()
    assert (again["id"], again["state"]) == (found["id"], "open")
    assert [each["reason"] for each in again["reasons"]] == ["same_birth_date", "near_name"]


async def test_a_pair_that_nothing_speaks_for_any_more_is_gone(
    profiles: httpx2.AsyncClient, make: Make, look: Look
) -> None:
    first, _ = await make("Ann Lee", **BORN), await make("Ann Lee", **BORN)
    assert len(await look()) == 1
    await profiles.patch(f"/v1/customers/{first}", json={"birth_date": "2001-01-01"})
    assert await look() == []


async def test_a_merge_settles_its_pair_and_an_undone_one_says_they_are_two(
    profiles: httpx2.AsyncClient, make: Make, look: Look
) -> None:
    first, second = await make("Ann Lee", **BORN), await make("Ann Lee", **BORN)
    third = await make("Ann Lee", **BORN)
    assert len(await look()) == 3
    body = {"survivor_id": first, "absorbed_id": second}
    merge = await profiles.post("/v1/merges", json=body, headers=fresh_key())
    assert [pair(each["first_id"], each["second_id"]) for each in await look()] == [pair(first, third)]
    settled = (await profiles.get("/v1/duplicates", params={"state": "merged"})).json()["items"]
    assert [each["merge_id"] for each in settled] == [merge.json()["id"]]
    refused = await profiles.post(f"/v1/duplicates/{settled[0]['id']}/dismiss", json={})
    assert (refused.status_code, refused.json()["code"]) == (409, "duplicate_settled")

    await profiles.post(f"/v1/merges/{merge.json()['id']}/undo", json={})
    open_ = {pair(each["first_id"], each["second_id"]) for each in await look()}
    assert open_ == {pair(first, third), pair(second, third)}
    dismissed = (await profiles.get("/v1/duplicates", params={"state": "dismissed"})).json()["items"]
    assert [each["id"] for each in dismissed] == [settled[0]["id"]]


async def test_after_an_undone_merge_nothing_is_thought_theirs_that_the_other_brought(
    profiles: httpx2.AsyncClient, make: Make, look: Look
) -> None:
    first = await make("Ann Lee", "ann.lee@example.com", **BORN)
    second = await make("Ann Lee", "ann.lee@example.org", **BORN)
    [before] = await look()
    body = {"survivor_id": first, "absorbed_id": second}
    merge = await profiles.post("/v1/merges", json=body, headers=fresh_key())
    assert await look() == []

    undo = f"/v1/merges/{merge.json()['id']}/undo"
    assert (await profiles.post(undo, json={"reason": "mother and daughter"})).status_code == 200

    assert await look() == []
    [parted] = (await profiles.get("/v1/duplicates", params={"state": "dismissed"})).json()["items"]
    assert (parted["id"], parted["reason"]) == (before["id"], "mother and daughter")
    assert (parted["score"], parted["reasons"]) == (before["score"], before["reasons"])
    assert "same_contact_point" not in {each["reason"] for each in parted["reasons"]}

    await profiles.patch(f"/v1/customers/{second}", json={"contact_points": []})
    given = [{"kind": "email", "value": "ann.lee@example.org"}]
    await profiles.patch(f"/v1/customers/{first}", json={"contact_points": given})
    [again] = await look()
    assert (again["id"], again["reasons"][0]["reason"]) == (before["id"], "same_contact_point")


async def test_who_was_parted_by_hand_is_no_pair_though_nobody_had_found_it_before(
    profiles: httpx2.AsyncClient, make: Make, look: Look
) -> None:
    first, second = await make("Ann Lee", **BORN), await make("Ann Lee", **BORN)
    body = {"survivor_id": first, "absorbed_id": second}
    merge = await profiles.post("/v1/merges", json=body, headers=fresh_key())
    other_name = await profiles.patch(f"/v1/customers/{first}", json={"name": "Anne Lee"})
    assert other_name.status_code == 200

    await profiles.post(f"/v1/merges/{merge.json()['id']}/undo", json={})

    assert await look() == []
    [parted] = (await profiles.get("/v1/duplicates", params={"state": "dismissed"})).json()["items"]
    assert [each["reason"] for each in parted["reasons"]] == ["same_birth_date", "near_name"]
    await profiles.patch(f"/v1/customers/{first}", json={"name": "Ann Lee"})
    [again] = await look()
    assert (again["id"], again["state"], again["reason"]) == (parted["id"], "open", None)


async def test_pairs_are_paged_by_score_and_filtered(
    profiles: httpx2.AsyncClient, make: Make, look: Look
) -> None:
    ann = await make("Ann Lee", "ann.lee@example.com", **BORN)
    await make("Ann Lee", "ann.lee@example.org", **BORN)
    await make("Ann Lee", **BORN)
    await look()
    first = (await profiles.get("/v1/duplicates", params={"limit": 1})).json()
    rest = await profiles.get("/v1/duplicates", params={"cursor": first["next_cursor"], "limit": 5})
    scores = [each["score"] for each in first["items"] + rest.json()["items"]]
    assert len(scores) == 3
    assert scores == sorted(scores, reverse=True)
    of_ann = await profiles.get("/v1/duplicates", params={"customer_id": ann})
    assert len(of_ann.json()["items"]) == 2
    likely = await profiles.get("/v1/duplicates", params={"min_score": 0.95})
    assert len(likely.json()["items"]) == 1


async def test_a_scan_compares_everybody(
    profiles: httpx2.AsyncClient, make: Make, databases: dict[str, Sessions], clock: FrozenClock
) -> None:
    await make("Ann Lee", **BORN)
    await make("Ann Lee", **BORN)
    started = await profiles.post("/v1/duplicates/scans")
    assert started.status_code == 202
    while await job_runner.run(databases["profiles"], jobs, clock):
        pass
    job = (await profiles.get(started.headers["Location"])).json()
    assert (job["state"], job["result"]) == ("succeeded", {"customers": 2})
    assert len((await profiles.get("/v1/duplicates")).json()["items"]) == 1


async def test_nobody_is_found_after_an_erasure(
    profiles: httpx2.AsyncClient, make: Make, look: Look, client: Callable[..., httpx2.AsyncClient]
) -> None:
    first, _ = await make("Ann Lee", **BORN), await make("Ann Lee", **BORN)
    assert len(await look()) == 1
    await profiles.post("/v1/privacy/erasures", json={"customer_id": first})
    assert await look() == []


@pytest.mark.parametrize(
    ("one", "other", "kinds", "score"),
    [
        (("Ann", None), ("Ann", None), [], 1 / 17),
        (("Ann", date(1988, 4, 12)), ("Ann", date(1988, 4, 12)), [], 8 / 9),
        (("Ann", date(1988, 4, 12)), ("Ann", date(1990, 1, 1)), [KeyKind.CONTACT_POINT], 1 / 3),
        (("Ann", None), ("Bob", None), [KeyKind.CONTACT_POINT], 1 / 2),
        (("Ann", None), ("Ann", None), [KeyKind.EXTERNAL_ID], 8 / 9),
    ],
)
def test_the_score_is_the_probability_of_the_summed_weights(
    one: tuple[str, date | None], other: tuple[str, date | None], kinds: list[KeyKind], score: float
) -> None:
    shared = [MatchKey(kind, "phone:+86138") for kind in kinds]
    found = matching.reasons(Person(*one), Person(*other), shared, 0.0)
    assert matching.score(found) == pytest.approx(score, abs=1e-4)


async def test_who_has_changed_is_found_by_an_index_however_much_was_just_loaded(
    databases: dict[str, Sessions], clock: FrozenClock
) -> None:
    load = text(
        "INSERT INTO customer_versions (customer_id, version, recorded_at, channel, change, state)"
        " SELECT gen_random_uuid(), 1, :at - n * interval '1 second', 'import', 'created', '{}'"
        " FROM generate_series(1, 20000) AS n"
    ).bindparams(bindparam("at", type_=DateTime(timezone=True)))
    changed = text(f"EXPLAIN (ANALYZE, FORMAT JSON) {duplicates._CHANGED.text}").bindparams(
        bindparam("since", type_=DateTime(timezone=True))
    )
    async with databases["profiles"].begin() as session:
        await session.execute(load, {"at": clock.now()})
        await session.execute(text("SET LOCAL enable_seqscan = off"))  # nothing was analysed here
        since = clock.now() - timedelta(seconds=101)
        plan = str(await session.scalar(changed, {"since": since, "most": 500}))

    assert "'Index Name': 'ix_customer_versions_recorded_at'" in plan
    assert set(re.findall(r"'Rows Removed by (?:Index Recheck|Filter)': (\d+)", plan)) <= {"0"}
    assert "'Actual Rows': 100" in plan
