"""Consents, quiet hours and caps: what counts, what is remembered, who may say it, what the world hears."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest
from sqlalchemy import func, select

from crm_profiles.models import Base
from crm_profiles.models.consents import ConsentStatement, Permission
from crm_shared.callers import Role
from crm_shared.contracts.profiles import (
    ConsentChanged,
    ContactPolicyChanged,
    CustomerMerged,
    CustomerUnmerged,
)
from crm_shared.customers import link, unlink
from crm_shared.database import Sessions
from crm_shared.ids import uuid7
from crm_shared.testing import FrozenClock, published

Make = Callable[..., Awaitable[str]]


@pytest.fixture
def make(profiles: httpx2.AsyncClient) -> Make:
    async def customer(**fields: Any) -> str:
        answer = await profiles.post("/v1/customers", json={"name": "Ada", **fields})
        assert answer.status_code == 201, answer.text
        identity: str = answer.json()["id"]
        return identity

    return customer


def consent(customer: str, purpose: str = "marketing", channel: str = "email") -> str:
    return f"/v1/customers/{customer}/consents/{purpose}/{channel}"


async def events(sessions: Sessions) -> list[ConsentChanged]:
    return [
        ConsentChanged.model_validate_json(row.data)
        for row in await published(sessions)
        if row.type == ConsentChanged.type
    ]


async def test_a_statement_counts_is_remembered_and_told(
    profiles: httpx2.AsyncClient, databases: dict[str, Sessions], make: Make, clock: FrozenClock
) -> None:
    ada = await make()
    said = {"state": "granted", "source": "web-shop", "evidence": "ticked at checkout"}
    answer = await profiles.put(consent(ada), json=said)

    assert answer.status_code == 200, answer.text
    assert answer.headers["etag"] == '"1"'
    [item] = answer.json()["items"]
    assert item.items() >= (said | {"purpose": "marketing", "channel": "email", "basis": "consent"}).items()
    assert (item["recorded_by"], item["until"]) == ("tester", None)
    assert (await profiles.get(f"/v1/customers/{ada}/consents")).json() == answer.json()
    assert (await profiles.get(f"/v1/customers/{ada}/consents/history")).json()["items"] == [item]
    [event] = await events(databases["profiles"])
    assert (str(event.customer_id), event.version) == (ada, 1)
    assert [(c.purpose, c.channel, c.state) for c in event.permission.consents] == [
        ("marketing", "email", "granted")
    ]
    [entry] = (await profiles.get(f"/v1/customers/{ada}/timeline")).json()["items"]
    assert (entry["type"], entry["title"]) == ("consent.changed", "Consent to marketing by email: granted")


async def test_saying_the_same_again_changes_nothing(profiles: httpx2.AsyncClient, make: Make) -> None:
    ada = await make()
    once = {"state": "denied", "at": "2026-03-01T00:00:00Z"}
    for body in ({"state": "granted"}, {"state": "granted"}, once, once):
        answer = await profiles.put(consent(ada), json=body)
        assert answer.status_code == 200
    assert answer.json()["version"] == 2
    assert len((await profiles.get(f"/v1/customers/{ada}/consents/history")).json()["items"]) == 2


async def test_what_was_said_last_counts_however_late_the_rest_is_heard_of(
    profiles: httpx2.AsyncClient, make: Make, clock: FrozenClock
) -> None:
    ada = await make()
    await profiles.put(consent(ada), json={"state": "denied"})
    clock.advance(timedelta(days=1))
    late = await profiles.put(consent(ada), json={"state": "granted", "at": "2026-02-01T00:00:00Z"})
    assert [item["state"] for item in late.json()["items"]] == ["denied"]
    history = (await profiles.get(f"/v1/customers/{ada}/consents/history")).json()["items"]
    assert [item["state"] for item in history] == ["granted", "denied"]


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"state": "granted", "at": "2026-03-03T00:00:00Z"}, "/at"),
        ({"state": "granted", "until": "2026-03-01T00:00:00Z"}, "/until"),
        ({"state": "perhaps"}, "/state"),
        ({"state": "granted", "evidence": " "}, "/evidence"),
    ],
)
async def test_a_statement_that_cannot_be_is_refused_by_pointer(
    profiles: httpx2.AsyncClient, make: Make, body: dict[str, str], pointer: str
) -> None:
    answer = await profiles.put(consent(await make()), json=body)
    assert answer.status_code == 422
    assert [fault["pointer"] for fault in answer.json()["errors"]] == [pointer]


async def test_purposes_are_those_of_the_policy_and_customers_those_on_file(
    profiles: httpx2.AsyncClient, make: Make
) -> None:
    for path, code in (
        (consent(await make(), "horoscope"), "purpose_not_found"),
        (consent(str(uuid4())), "customer_not_found"),
    ):
        answer = await profiles.put(path, json={"state": "granted"})
        assert (answer.status_code, answer.json()["code"]) == (404, code)


async def test_customers_withdraw_themselves_and_nobody_elses(
    client: Callable[..., httpx2.AsyncClient], make: Make
) -> None:
    ada, eve = await make(), await make()
    herself = client("profiles", Role.CUSTOMER, customer_id=UUID(ada))
    assert (await herself.put(consent(ada), json={"state": "denied"})).status_code == 200
    assert (await herself.put(consent(eve), json={"state": "denied"})).status_code == 404


async def test_evidence_is_for_those_who_may_see_personal_data(
    profiles: httpx2.AsyncClient, client: Callable[..., httpx2.AsyncClient], make: Make
) -> None:
    ada = await make()
    await profiles.put(consent(ada), json={"state": "granted", "evidence": "said so from +8613812345678"})
    agent = client("profiles", Role.AGENT, pii=False)
    for path in ("consents", "consents/history", "contact-decision?purpose=marketing&channel=email"):
        assert "+86138" not in (await agent.get(f"/v1/customers/{ada}/{path}")).text
        assert "+86138" in (await profiles.get(f"/v1/customers/{ada}/{path}")).text


async def test_changes_at_once_are_all_remembered_and_the_last_one_counts(
    profiles: httpx2.AsyncClient, committed: dict[str, Sessions], make: Make
) -> None:
    ada = await make()
    bodies = [{"state": "granted" if n % 2 else "denied", "evidence": f"call {n}"} for n in range(10)]
    answers = await asyncio.gather(*(profiles.put(consent(ada), json=body) for body in bodies))
    assert {answer.status_code for answer in answers} == {200}
    history = (await profiles.get(f"/v1/customers/{ada}/consents/history")).json()["items"]
    assert sorted(item["evidence"] for item in history) == sorted(body["evidence"] for body in bodies)
    instants = [datetime.fromisoformat(item["recorded_at"]) for item in history]
    assert instants == sorted(set(instants), reverse=True)
    now = (await profiles.get(f"/v1/customers/{ada}/consents")).json()
    assert (now["version"], now["items"]) == (10, history[:1])
    told = await events(committed["profiles"])
    assert [event.version for event in told] == list(range(1, 11))
    assert told[-1].permission.consents[0].state == history[0]["state"]


async def test_who_has_seen_an_older_version_is_refused(profiles: httpx2.AsyncClient, make: Make) -> None:
    ada = await make()
    seen = (await profiles.get(f"/v1/customers/{ada}/consents")).headers["etag"]
    for path, body in (
        (consent(ada), {"state": "denied"}),
        (f"/v1/customers/{ada}/quiet-hours", {"windows": []}),
        (f"/v1/customers/{ada}/frequency-caps", {"caps": [{"limit": 1, "hours": 24}]}),
    ):
        first = await profiles.put(path, json=body, headers={"If-Match": seen})
        assert first.status_code == 200, first.text
        stale = await profiles.put(path, json=body, headers={"If-Match": seen})
        assert (stale.status_code, stale.json()["code"]) == (412, "stale_version")
        seen = first.headers["etag"]


async def test_a_merge_lets_the_newest_statement_count_and_undoing_it_gives_back_each_ones_own(
    profiles: httpx2.AsyncClient, databases: dict[str, Sessions], make: Make, clock: FrozenClock
) -> None:
    ada, eve = await make(), await make()
    await profiles.put(consent(ada), json={"state": "granted"})
    clock.advance(timedelta(hours=1))
    await profiles.put(consent(eve), json={"state": "denied"})
    await profiles.put(f"/v1/customers/{eve}/quiet-hours", json={"windows": []})
    before = [(await profiles.get(f"/v1/customers/{who}/consents")).json() for who in (ada, eve)]

    absorbed = {"customer_id": UUID(eve), "survivor_id": UUID(ada), "merge_id": uuid7(), "sequence": 1}
    async with databases["profiles"].begin() as session:
        await link(session, Base.metadata, [CustomerMerged(version=2, **absorbed)])
    both = (await profiles.get(f"/v1/customers/{ada}/consents")).json()
    assert ([item["state"] for item in both["items"]], both["quiet_hours"]) == (["denied"], [])
    assert both["version"] == 3

    async with databases["profiles"].begin() as session:
        await unlink(session, Base.metadata, [CustomerUnmerged(version=3, **absorbed)])
    assert [(await profiles.get(f"/v1/customers/{who}/consents")).json() for who in (ada, eve)] == before


async def test_a_decision_says_every_reason_what_it_rests_on_and_when_it_ends(
    profiles: httpx2.AsyncClient, make: Make, clock: FrozenClock
) -> None:
    ada = await make(time_zone="Asia/Shanghai")
    asked = {"purpose": "marketing", "channel": "email", "at": "2026-03-02T14:00:00Z"}

    async def decision() -> dict[str, Any]:
        answer = await profiles.get(f"/v1/customers/{ada}/contact-decision", params=asked)
        assert answer.status_code == 200, answer.text
        body: dict[str, Any] = answer.json()
        return body

    unknown = await decision()
    assert [reason["reason"] for reason in unknown["reasons"]] == ["consent_missing", "quiet_hours"]
    assert (unknown["allowed"], unknown["next_at"], unknown["consent"]) == (False, None, None)
    assert unknown["local_time"] == "2026-03-02T22:00:00+08:00"

    await profiles.put(consent(ada), json={"state": "granted"})
    night = await decision()
    assert [reason["reason"] for reason in night["reasons"]] == ["quiet_hours"]
    assert night["next_at"] == night["reasons"][0]["until"] == "2026-03-03T00:00:00Z"
    assert (night["consent"]["state"], night["permission_version"], night["policy_version"]) == (
        "granted",
        1,
        1,
    )

    await profiles.put(f"/v1/customers/{ada}/quiet-hours", json={"windows": []})
    assert (await decision())["allowed"]


async def test_the_policy_is_replaced_as_a_whole_by_who_has_seen_it(
    profiles: httpx2.AsyncClient, client: Callable[..., httpx2.AsyncClient], databases: dict[str, Sessions]
) -> None:
    read = await profiles.get("/v1/contact-policy")
    policy = {name: part for name, part in read.json().items() if name != "version"}
    policy["quiet_hours"] = []
    assert (await profiles.put("/v1/contact-policy", json=policy)).status_code == 428
    seen = {"If-Match": read.headers["etag"]}
    agent = client("profiles", Role.AGENT)
    assert (await agent.put("/v1/contact-policy", json=policy, headers=seen)).status_code == 403
    written = await profiles.put("/v1/contact-policy", json=policy, headers=seen)
    assert (written.status_code, written.json()) == (200, policy | {"version": 2})
    assert (await profiles.put("/v1/contact-policy", json=policy, headers=seen)).status_code == 412
    assert (await profiles.get("/v1/contact-policy")).json() == written.json()
    [version] = (await profiles.get("/v1/contact-policy/versions")).json()["items"]
    assert (version["version"], version["policy"], version["created_by"]) == (2, policy, "tester")
    [told] = [row for row in await published(databases["profiles"]) if row.type == ContactPolicyChanged.type]
    assert (told.key, told.version) == ("contact-policy", 2)


async def test_a_cap_for_a_purpose_that_is_not_there_is_refused(profiles: httpx2.AsyncClient) -> None:
    read = await profiles.get("/v1/contact-policy")
    policy = {name: part for name, part in read.json().items() if name != "version"}
    policy["caps"] = [{"purpose": "horoscope", "limit": 1, "hours": 1}]
    answer = await profiles.put("/v1/contact-policy", json=policy, headers={"If-Match": "*"})
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (422, "purpose_unknown")


async def test_an_erasure_takes_all_statements_along(
    profiles: httpx2.AsyncClient, databases: dict[str, Sessions], make: Make
) -> None:
    ada = await make()
    await profiles.put(consent(ada), json={"state": "granted"})
    erased = await profiles.post("/v1/privacy/erasures", json={"customer_id": ada})
    removed = erased.json()["services"][0]["removed"]
    assert (removed["consent_statements"], removed["permissions"]) == (1, 1)
    async with databases["profiles"]() as session:
        for table in (ConsentStatement, Permission):
            assert await session.scalar(select(func.count()).select_from(table)) == 0
