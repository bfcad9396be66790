"""The quality of data: judged by one pure rule, kept up to date without costing who writes."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.conftest import ClientFactory
from tests.profiles.conftest import Work

from crm_profiles.quality import quality
from crm_profiles.rules.accuracy import Held, Rules, assess
from crm_shared import due
from crm_shared.callers import Role
from crm_shared.database import Sessions
from crm_shared.testing import FrozenClock

NOW = FrozenClock().now()
RULES = Rules(
    1,
    {"name": 10, "phone": 20, "email": 20},
    {"completeness": 60, "validity": 20, "freshness": 20},
    {"phone": 365, "email": 365, "social": 730, "address": 730},
)

Pass = Callable[..., Awaitable[None]]


@pytest.fixture
async def later(stored: dict[str, Sessions], clock: FrozenClock, work: Work) -> Pass:
    """Lets time pass and the worker do what is due."""
    async with stored["profiles"].begin() as session:
        await due.schedule(session, quality.LOOK, {UUID(int=0): clock.now()})

    async def go_on(by: timedelta = timedelta(minutes=1)) -> None:
        clock.advance(by)
        await work()

    return go_on


async def create(profiles: httpx2.AsyncClient, **members: Any) -> str:
    answer = await profiles.post("/v1/customers", json={"name": "Zoë"} | members)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


async def tasks(profiles: httpx2.AsyncClient, **query: Any) -> list[dict[str, Any]]:
    found = await profiles.get("/v1/quality/tasks", params=query)
    assert found.status_code == 200, found.text
    items: list[dict[str, Any]] = found.json()["items"]
    return items


async def judged(profiles: httpx2.AsyncClient, customer_id: str) -> dict[str, Any]:
    answer = await profiles.get(f"/v1/customers/{customer_id}/quality")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


PHONE = {"kind": "phone", "value": "+8613812345678"}
EMAIL = {"kind": "email", "value": "zoe@example.com"}


def held(days: int = 0, *, reaches: bool = True, subject: str = "phone") -> Held:
    return Held(subject, "x", reaches, NOW - timedelta(days=days))


@pytest.mark.parametrize(
    ("members", "things", "score", "step"),
    [
        ({"name", "phone", "email"}, [held()], 100, "nothing"),
        ({"name"}, [], 20, "ask_for_missing"),
        ({"name", "phone"}, [held()], 76, "ask_for_missing"),
        ({"name", "phone", "email"}, [held(reaches=False)], 80, "verify_invalid"),
        ({"name", "phone", "email"}, [held(365), held(364)], 90, "verify_stale"),
        ({"name", "phone", "email"}, [held(729, subject="address")], 100, "nothing"),
    ],
)
def test_the_score_is_the_weighted_mean_of_the_parts_that_can_be_judged(
    members: set[str], things: list[Held], score: int, step: str
) -> None:
    found = assess(RULES, members, things, at=NOW)
    assert (found.score, found.next_step) == (score, step)


@given(
    members=st.sets(st.sampled_from(sorted(RULES.members))),
    things=st.lists(st.builds(held, st.integers(0, 1000), reaches=st.booleans()), max_size=5),
    days=st.integers(0, 500),
)
def test_a_score_only_falls_with_time_and_changes_when_it_says(
    members: set[str], things: list[Held], days: int
) -> None:
    now = assess(RULES, members, things, at=NOW)
    then = NOW + timedelta(days=days)
    after = assess(RULES, members, things, at=then)
    assert 0 <= after.score <= now.score <= 100
    if now.look_at is None or then < now.look_at:
        assert (after.score, after.stale) == (now.score, now.stale)
    else:
        assert len(after.stale) > len(now.stale)


async def test_a_customer_is_judged_with_reasons(profiles: httpx2.AsyncClient, client: ClientFactory) -> None:
    zoe = await create(profiles, contact_points=[{"kind": "phone", "value": "+8610000000000"}, EMAIL])
    found = await judged(profiles, zoe)
    parts = {part["part"]: (part["numerator"], part["denominator"]) for part in found["parts"]}
    assert parts == {"completeness": (50, 100), "validity": (1, 2), "freshness": (2, 2)}
    assert found["score"] == 60 * 0.5 + 20 * 0.5 + 20
    assert found["missing"][:3] == ["address", "birth_date", "language"]
    assert found["invalid"] == [{"subject": "phone", "value": "+8610000000000"}]
    assert found["next_step"] == "verify_invalid"
    masked = await judged(client("profiles", Role.AGENT, pii=False), zoe)
    assert masked["invalid"] == [{"subject": "phone", "value": "+86100****0000"}]


async def test_what_becomes_stale_is_verified_and_is_fresh_again(
    profiles: httpx2.AsyncClient, later: Pass, clock: FrozenClock
) -> None:
    zoe = await create(profiles, contact_points=[PHONE])
    await later(timedelta(days=200))
    await profiles.patch(f"/v1/customers/{zoe}", json={"contact_points": [PHONE, EMAIL]})
    await later(timedelta(days=164))
    assert await tasks(profiles) == []
    await later(timedelta(days=1))
    [task] = await tasks(profiles)
    assert (task["subject"], task["value"], task["reason"]) == ("phone", "+8613812345678", "stale")
    [stale] = (await judged(profiles, zoe))["stale"]
    assert stale["stale_since"] == "2027-03-02T09:00:00Z"
    await later()
    assert len(await tasks(profiles)) == 1

    path = f"/v1/quality/tasks/{task['id']}/complete"
    for _ in range(2):
        done = await profiles.post(path, json={"outcome": "confirmed"})
        assert (done.status_code, done.json()["completed_by"]) == (200, "tester")
    other = await profiles.post(path, json={"outcome": "invalid"})
    assert (other.status_code, other.json()["code"]) == (409, "task_done")
    assert (await judged(profiles, zoe))["stale"] == []
    assert await tasks(profiles) == []
    await later(timedelta(days=200))
    assert [each["subject"] for each in await tasks(profiles)] == ["email"]
    await later(timedelta(days=165))
    assert [each["subject"] for each in await tasks(profiles)] == ["email", "phone"]


async def test_a_message_that_does_not_arrive_has_the_address_verified(
    profiles: httpx2.AsyncClient, later: Pass, clock: FrozenClock
) -> None:
    zoe = await create(profiles, contact_points=[PHONE, EMAIL])
    await later()
    message = {
        "source": "mailer",
        "external_id": "m-1",
        "customer_id": zoe,
        "purpose": "greeting",
        "channel": "email",
        "sent_at": clock.now().isoformat(),
        "failed_at": clock.now().isoformat(),
        "failure": "mailbox_full",
    }
    assert (await profiles.post("/v1/messages", json=message)).is_success
    [task] = await tasks(profiles, reason="bounced")
    assert (task["subject"], task["value"]) == ("email", "zoe@example.com")
    assert (await judged(profiles, zoe))["invalid"] == [{"subject": "email", "value": "zoe@example.com"}]
    early = await profiles.post(f"/v1/quality/tasks/{task['id']}/complete", json={"outcome": "changed"})
    assert (early.status_code, early.json()["code"]) == (409, "still_on_file")
    clock.advance(timedelta(minutes=1))
    done = await profiles.post(f"/v1/quality/tasks/{task['id']}/complete", json={"outcome": "confirmed"})
    assert done.status_code == 200, done.text
    assert (await judged(profiles, zoe))["invalid"] == []
    # The same failure, told once more with an answer, is no new doubt.
    answered = message | {"answered_at": clock.now().isoformat()}
    assert (await profiles.post("/v1/messages", json=answered)).is_success
    assert await tasks(profiles) == []


async def test_what_is_not_on_file_any_more_need_not_be_verified(
    profiles: httpx2.AsyncClient, later: Pass
) -> None:
    zoe = await create(profiles, contact_points=[PHONE], address={"city": "上海"})
    await later()
    await later(timedelta(days=800))
    assert [each["subject"] for each in await tasks(profiles)] == ["address", "phone"]
    changed = {"contact_points": [EMAIL], "address": {"city": "北京"}}
    assert (await profiles.patch(f"/v1/customers/{zoe}", json=changed)).status_code == 200
    await later()
    assert await tasks(profiles) == []
    done = await tasks(profiles, done=True)
    assert {(each["outcome"], each["completed_by"]) for each in done} == {("changed", "quality")}


async def test_the_report_counts_everybody_once_with_their_denominators(
    profiles: httpx2.AsyncClient, later: Pass, client: ClientFactory
) -> None:
    zoe = await create(profiles, contact_points=[PHONE, EMAIL], gender="female")
    ann = await create(profiles, name="Ann")
    bob = await create(profiles, name="Bob", contact_points=[{"kind": "phone", "value": "+8610000000000"}])
    await later()
    report = (await profiles.get("/v1/quality")).json()
    assert (report["customers"], report["with_invalid"], report["with_stale"]) == (3, 1, 0)
    shares = {each["member"]: (each["complete"], each["share"]) for each in report["members"]}
    assert (shares["name"], shares["phone"], shares["email"]) == ((3, 1.0), (2, 0.6667), (1, 0.3333))
    assert sum(bucket["customers"] for bucket in report["distribution"]) == 3
    worst = (await profiles.get("/v1/quality/customers", params={"limit": 2})).json()
    rest = await profiles.get("/v1/quality/customers", params={"cursor": worst["next_cursor"]})
    listed = worst["items"] + rest.json()["items"]
    assert [each["customer_id"] for each in listed] == [ann, bob, zoe]
    for each in listed:
        assert each["score"] == (await judged(profiles, each["customer_id"]))["score"]

    merged = await profiles.post(
        "/v1/merges",
        json={"survivor_id": zoe, "absorbed_id": ann},
        headers={"Idempotency-Key": "merge"},
    )
    assert merged.status_code in (200, 201), merged.text
    admin = client("profiles", Role.ADMIN)
    await admin.post("/v1/privacy/erasures", json={"customer_id": bob})
    await later()
    assert (await profiles.get("/v1/quality")).json()["customers"] == 1


async def test_a_new_policy_judges_everybody_anew(
    profiles: httpx2.AsyncClient, later: Pass, work: Work
) -> None:
    zoe = await create(profiles)
    await later()
    known = await profiles.get("/v1/quality/policy")
    rules = {name: known.json()[name] for name in ("members", "parts", "stale_days")}
    only_name = rules | {"members": dict.fromkeys(rules["members"], 0) | {"name": 1}}
    assert (await profiles.put("/v1/quality/policy", json=only_name)).status_code == 428
    headers = {"If-Match": known.headers["etag"]}
    answer = await profiles.put("/v1/quality/policy", json=only_name, headers=headers)
    assert (answer.status_code, answer.json()["version"]) == (200, 2)
    await work()
    job = await profiles.get(answer.headers["link"].split(">")[0].lstrip("<"))
    assert (job.json()["state"], job.json()["result"]) == ("succeeded", {"customers": 1})
    assert (await judged(profiles, zoe))["score"] == 100
    report = (await profiles.get("/v1/quality")).json()
    assert (report["mean_score"], [each["member"] for each in report["members"]]) == (100, ["name"])
    nothing = rules | {"members": dict.fromkeys(rules["members"], 0)}
    assert (await profiles.put("/v1/quality/policy", json=nothing)).status_code == 422


@pytest.mark.capability("P11")
async def test_a_contact_point_is_verified_without_a_task_or_with_one(
    profiles: httpx2.AsyncClient, client: ClientFactory, later: Pass
) -> None:
    zoe = await create(profiles, region="CN", contact_points=[PHONE, EMAIL])
    await later()
    assert await tasks(profiles) == []
    phone, email = (f"/v1/customers/{zoe}/contact-points/{kind}" for kind in ("phone", "email"))
    await later(timedelta(days=366))
    assert sorted(task["subject"] for task in await tasks(profiles)) == ["email", "phone"]
    reached = await profiles.post(f"{phone}/138 1234 5678/verify", json={"outcome": "confirmed"})
    assert reached.status_code == 200, reached.text
    assert (reached.json()["value"], reached.json()["outcome"]) == ("+8613812345678", "confirmed")
    assert [task["subject"] for task in await tasks(profiles)] == ["email"]
    assert [stale["subject"] for stale in (await judged(profiles, zoe))["stale"]] == ["email"]

    again = await profiles.post(f"{phone}/+8613812345678/verify", json={"outcome": "invalid"})
    assert again.json()["outcome"] == "invalid"
    assert [each["subject"] for each in (await judged(profiles, zoe))["invalid"]] == ["phone"]

    for value in ("other@example.com", "x"):
        unknown = await profiles.post(f"{email}/{value}/verify", json={"outcome": "confirmed"})
        assert (unknown.status_code, unknown.json()["code"]) == (404, "contact_point_not_found")
    assert (
        await profiles.post(f"{email}/zoe@example.com/verify", json={"outcome": "changed"})
    ).status_code == 422
    blind = client("profiles", Role.AGENT, pii=False)
    for value in ("zoe@example.com", "other@example.com"):
        refused = await blind.post(f"{email}/{value}/verify", json={"outcome": "confirmed"})
        assert (refused.status_code, refused.json()["code"]) == (403, "personal_data_hidden")
