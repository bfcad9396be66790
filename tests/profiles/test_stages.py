"""The stages of the life cycle: what moves customers through them, and how it is explained and reported."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from itertools import chain
from statistics import median
from typing import Any
from uuid import UUID

import httpx2
import pytest
import pytest_asyncio
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import select
from tests.chance import examples
from tests.conftest import ClientFactory

from crm_profiles.handlers import due_work, jobs
from crm_profiles.models.customers import Customer
from crm_shared import due
from crm_shared import jobs as shared_jobs
from crm_shared.callers import Role
from crm_shared.database import Sessions
from crm_shared.ids import uuid7
from crm_shared.testing import FrozenClock, fresh_key, published

Work = Callable[[], Awaitable[None]]


@pytest_asyncio.fixture
async def work(databases: dict[str, Sessions], clock: FrozenClock) -> Work:
    """Does what a worker does when it comes by: jobs, and all that is due."""

    async def until_done() -> None:
        while await shared_jobs.run(databases["profiles"], jobs, clock):
            pass
        while await due.run(databases["profiles"], due_work, clock):
            pass

    return until_done


async def customer(profiles: httpx2.AsyncClient, name: str = "Ann") -> str:
    created = await profiles.post("/v1/customers", json={"name": name})
    assert created.status_code == 201, created.text
    return str(created.json()["id"])


async def buys(profiles: httpx2.AsyncClient, customer_id: str, at: datetime) -> None:
    body = {
        "source": "shop",
        "external_id": str(uuid7()),
        "customer_id": customer_id,
        "occurred_at": at.isoformat(),
        "currency": "USD",
        "lines": [{"quantity": 1, "total": {"amount": 100, "currency": "USD"}}],
    }
    recorded = await profiles.post("/v1/purchases", json=body)
    assert recorded.status_code == 201, recorded.text


async def stages_of(profiles: httpx2.AsyncClient, customer_id: str) -> dict[str, Any]:
    answer = await profiles.get(f"/v1/customers/{customer_id}/stages")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def ways(stages: dict[str, Any]) -> list[tuple[str, str]]:
    return [(spell["stage"], spell["reason"]) for spell in stages["spells"]]


async def test_each_purchase_moves_a_customer_on_and_says_why(
    profiles: httpx2.AsyncClient, clock: FrozenClock, work: Work
) -> None:
    ann = await customer(profiles)
    await work()
    assert ways(await stages_of(profiles, ann)) == [("awareness", "became_known")]
    await buys(profiles, ann, clock.advance(timedelta(days=1)))
    await buys(profiles, ann, clock.advance(timedelta(days=1)))
    await work()
    stages = await stages_of(profiles, ann)
    assert ways(stages)[1:] == [("transaction", "purchased"), ("maintenance", "purchased")]
    assert (stages["stage"], stages["version"]) == ("maintenance", 3)
    assert stages["spells"][1]["until"] == stages["spells"][2]["since"]
    assert stages["spells"][2]["explanation"] == "Purchase number 2."
    assert datetime.fromisoformat(stages["silent_at"]) == clock.now() + timedelta(days=365)


async def test_a_change_of_stage_is_published_once_and_stands_on_the_timeline(
    profiles: httpx2.AsyncClient, clock: FrozenClock, work: Work, databases: dict[str, Sessions]
) -> None:
    ann = await customer(profiles)
    await buys(profiles, ann, clock.advance(timedelta(days=1)))
    await work()
    await work()
    told = [row for row in await published(databases["profiles"]) if "stage.changed" in row.type]
    assert [row.version for row in told] == [1, 2]
    timeline = (await profiles.get(f"/v1/customers/{ann}/timeline?type=stage.changed")).json()["items"]
    assert [entry["id"] for entry in timeline] == [str(told[1].id)]
    assert timeline[0]["data"]["previous"] == "awareness"


async def test_silence_alone_is_an_exit_and_a_sign_of_life_a_reactivation(
    profiles: httpx2.AsyncClient, clock: FrozenClock, work: Work
) -> None:
    ann = await customer(profiles)
    await buys(profiles, ann, clock.now())
    await work()
    clock.advance(timedelta(days=365) - timedelta(microseconds=1))
    await work()
    assert (await stages_of(profiles, ann))["stage"] == "transaction"
    clock.advance(timedelta(microseconds=1))
    await work()
    gone = await stages_of(profiles, ann)
    assert (gone["stage"], gone["spells"][-1]["reason"]) == ("exit", "silence")
    await buys(profiles, ann, clock.advance(timedelta(days=5)))
    await work()
    assert (await stages_of(profiles, ann))["stage"] == "reactivation"


async def test_who_says_that_they_leave_has_left_for_that_reason(
    profiles: httpx2.AsyncClient, clock: FrozenClock, work: Work
) -> None:
    ann = await customer(profiles)
    clock.advance(timedelta(days=2))
    left = await profiles.post(f"/v1/customers/{ann}/exit", json={"reason": "moved", "note": "To Madrid."})
    assert left.status_code == 201, left.text
    await work()
    stages = await stages_of(profiles, ann)
    assert ways(stages)[-1] == ("exit", "moved")
    assert stages["spells"][-1]["ref"] == left.json()["entry_id"]


async def test_a_purchase_that_is_told_of_late_stands_where_it_belongs(
    profiles: httpx2.AsyncClient, clock: FrozenClock, work: Work, databases: dict[str, Sessions]
) -> None:
    ann = await customer(profiles)
    await buys(profiles, ann, clock.now())
    await work()
    await buys(profiles, ann, datetime(1997, 1, 1, 12, tzinfo=UTC))
    await work()
    stages = await stages_of(profiles, ann)
    assert [spell["stage"] for spell in stages["spells"]] == [
        *("awareness", "transaction", "exit", "reactivation")
    ]
    assert stages["spells"][0]["since"] == "1997-01-01T12:00:00Z"
    versions = [row.version for row in await published(databases["profiles"]) if "stage." in row.type]
    assert versions == list(range(1, len(versions) + 1))
    timeline = (await profiles.get(f"/v1/customers/{ann}/timeline?type=stage.changed")).json()["items"]
    assert len(timeline) == len(stages["spells"]) - 1


async def test_another_policy_is_applied_to_everybody_in_a_job(
    profiles: httpx2.AsyncClient, client: ClientFactory, clock: FrozenClock, work: Work
) -> None:
    ann = await customer(profiles)
    clock.advance(timedelta(days=20))
    await work()
    manager = client("profiles", Role.MANAGER)
    policy = await manager.get("/v1/stages/policy")
    days = policy.json()["silence_days"] | {"awareness": 10}
    without = await manager.put("/v1/stages/policy", json={"silence_days": days})
    assert without.status_code == 428
    replaced = await manager.put(
        "/v1/stages/policy", json={"silence_days": days}, headers={"If-Match": policy.headers["ETag"]}
    )
    assert replaced.status_code == 202, replaced.text
    stale = await manager.put(
        "/v1/stages/policy", json={"silence_days": days}, headers={"If-Match": policy.headers["ETag"]}
    )
    assert stale.status_code == 412
    await work()
    assert (await manager.get(replaced.headers["Location"])).json()["state"] == "succeeded"
    assert (await stages_of(profiles, ann))["stage"] == "exit"


DAYS = st.lists(st.integers(0, 900), min_size=1, max_size=3)


@settings(max_examples=examples(10))
@given(groups=st.lists(DAYS, min_size=1, max_size=3), order=st.randoms(use_true_random=False))
async def test_stages_do_not_depend_on_when_and_in_which_order_purchases_are_told(
    groups: list[list[int]], order: Any, profiles: httpx2.AsyncClient, clock: FrozenClock, work: Work
) -> None:
    now = clock.now()
    one, other = await customer(profiles), await customer(profiles)
    told = [now - timedelta(days=day + 1, seconds=number) for number, day in enumerate(chain(*groups))]
    for at in sorted(told):
        await buys(profiles, one, at)
    await work()
    order.shuffle(told)
    for group in groups:
        for at in [told.pop() for _ in group]:
            await buys(profiles, other, at)
        await work()
    expected, found = await stages_of(profiles, one), await stages_of(profiles, other)
    for member in ("stage", "since", "silent_at"):
        assert found[member] == expected[member]
    meaning = ("stage", "since", "until", "reason", "explanation")
    assert [{m: s[m] for m in meaning} for s in found["spells"]] == [
        {m: s[m] for m in meaning} for s in expected["spells"]
    ]


async def test_reports_count_what_the_stages_say(
    profiles: httpx2.AsyncClient, clock: FrozenClock, work: Work
) -> None:
    begin = clock.now()
    people = [await customer(profiles) for _ in range(5)]
    left = await profiles.post(f"/v1/customers/{people[0]}/exit", json={"reason": "price"})
    assert left.status_code == 201
    clock.advance(timedelta(days=400))
    for person, purchases in zip(people, (0, 1, 1, 2, 3), strict=True):
        for number in range(purchases):
            await buys(profiles, person, begin + timedelta(days=2 * number, hours=1))
    await work()
    period = {"from": begin.date().isoformat(), "to": (begin.date() + timedelta(days=500)).isoformat()}
    funnel = (await profiles.get("/v1/reports/funnel", params=period)).json()
    assert funnel["cohort"] == 5
    assert [(step["stage"], step["reached"], step["previous"]) for step in funnel["steps"]] == [
        *(("awareness", 5, 5), ("interaction", 4, 5), ("transaction", 4, 4), ("maintenance", 2, 4))
    ]
    assert (funnel["left"], funnel["came_back"]) == (5, 0)

    spells = [spell for person in people for spell in (await stages_of(profiles, str(person)))["spells"]]
    dwell = (await profiles.get("/v1/reports/dwell-time", params=period)).json()
    for row in dwell["stages"]:
        days = [
            (datetime.fromisoformat(s["until"]) - datetime.fromisoformat(s["since"])) / timedelta(days=1)
            for s in spells
            if s["stage"] == row["stage"] and s["until"]
        ]
        assert (row["stays"], row["median_days"]) == (len(days), pytest.approx(median(days), abs=0.01))

    exits = (await profiles.get("/v1/reports/exit-reasons", params=period)).json()
    assert [(row["reason"], row["exits"], row["share"]) for row in exits["reasons"]] == [
        *(("silence", 4, 0.8), ("price", 1, 0.2))
    ]
    assert all(report["definition"] for report in (funnel, dwell, exits))


async def test_a_period_without_a_day_is_refused(profiles: httpx2.AsyncClient) -> None:
    answer = await profiles.get("/v1/reports/funnel?from=2026-01-02&to=2026-01-02")
    assert (answer.status_code, answer.json()["code"]) == (422, "period_invalid")
    assert [(fault["pointer"], fault["code"]) for fault in answer.json()["errors"]] == [("to", "range_empty")]


async def test_who_is_merged_has_the_stages_of_both_and_gets_the_own_ones_back(
    profiles: httpx2.AsyncClient, client: ClientFactory, clock: FrozenClock, work: Work
) -> None:
    ann, anne = await customer(profiles), await customer(profiles, "Anne")
    await buys(profiles, ann, clock.now())
    await buys(profiles, anne, clock.advance(timedelta(days=3)))
    await work()
    before = await stages_of(profiles, ann), await stages_of(profiles, anne)
    supervisor = client("profiles", Role.SUPERVISOR)
    body = {"survivor_id": ann, "absorbed_id": anne, "reason": "one person"}
    merged = await supervisor.post("/v1/merges", json=body, headers=fresh_key())
    assert merged.status_code == 201, merged.text
    await work()
    assert (await stages_of(profiles, ann))["stage"] == "maintenance"
    undone = await supervisor.post(
        f"/v1/merges/{merged.json()['id']}/undo",
        json={"reason": "two persons"},
        headers=fresh_key(),
    )
    assert undone.is_success, undone.text
    clock.advance(timedelta(seconds=1))  # versions of one instant are recorded a little after each other
    await work()
    after = await stages_of(profiles, ann), await stages_of(profiles, anne)
    assert [ways(stages) for stages in after] == [ways(stages) for stages in before]
    assert after[0]["version"] > before[0]["version"]


async def test_who_is_just_being_merged_or_erased_is_not_waited_for_but_looked_at_again(
    profiles: httpx2.AsyncClient, clock: FrozenClock, committed: dict[str, Sessions]
) -> None:
    ann = await customer(profiles)
    async with committed["profiles"].begin() as session:
        await session.execute(select(Customer.id).where(Customer.id == UUID(ann)).with_for_update())
        assert await due.run(committed["profiles"], due_work, clock) == 1
        assert (await stages_of(profiles, ann))["stage"] is None
    assert await due.run(committed["profiles"], due_work, clock) == 0
    clock.advance(timedelta(seconds=1))
    assert await due.run(committed["profiles"], due_work, clock) == 1
    assert (await stages_of(profiles, ann))["stage"] == "awareness"
