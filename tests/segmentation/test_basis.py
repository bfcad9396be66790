"""The business day and the thresholds: data that can be changed, and everybody is levelled anew."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import date
from pathlib import Path
from uuid import UUID

import httpx2
import pytest
from sqlalchemy import text

from crm_segmentation import handlers
from crm_segmentation.levels import Figures, Thresholds, assign
from crm_shared.callers import Role
from crm_shared.contracts.base import Event
from crm_shared.contracts.segmentation import Level
from crm_shared.database import Sessions
from crm_shared.ids import derived, uuid7
from crm_shared.testing import FrozenClock, published

from .conftest import Arrive, created, purchase, take

Read = Callable[[UUID], Awaitable[dict[str, object]]]
Work = Callable[[], Awaitable[None]]
Client = Callable[..., httpx2.AsyncClient]

DEFAULT = Thresholds(1, "USD", 25_000, 180, 10_000, 2, 365)
LOWER = {
    "vip": {"monetary": {"amount": 2_000, "currency": "USD"}, "recency_days": 30},
    "important": {"monetary": {"amount": 1_000, "currency": "USD"}},
    "ordinary": {"frequency": 1, "recency_days": 365},
}


async def set_day(segmentation: httpx2.AsyncClient, day: str | None) -> str:
    """Set the business day; returns the address of the job."""
    response = await segmentation.put("/v1/levels/business-day", json={"business_day": day})
    assert response.status_code == 202, response.text
    return response.headers["Location"]


async def test_a_business_day_in_the_past_counts_only_what_was_bought_until_then(
    segmentation: httpx2.AsyncClient, arrive: Arrive, rfm: Read, work: Work
) -> None:
    ann = uuid7()
    await arrive(created(ann), purchase(ann, "1998-06-30", 26_000), purchase(ann, "1998-07-01", 100))
    assert (await rfm(ann))["level"] == "important"

    location = await set_day(segmentation, "1998-06-30")
    assert (await segmentation.get("/v1/levels")).json()["recomputing"] is True
    await work()

    job = (await segmentation.get(location)).json()
    assert (job["state"], job["progress"], job["result"]) == (
        "succeeded",
        {"done": 1, "total": 1},
        {"customers": 1, "changed": 1},
    )
    value = await rfm(ann)
    assert (value["level"], value["recency_days"], value["frequency"]) == ("vip", 0, 1)
    levels = (await segmentation.get("/v1/levels")).json()
    assert (levels["recomputing"], levels["business_day"]) == (False, "1998-06-30")
    assert {item["level"]: item["customers"] for item in levels["items"]} == {
        "vip": 1,
        "important": 0,
        "ordinary": 0,
        "potential": 0,
    }


async def test_with_a_fixed_day_time_changes_nothing_until_the_clock_is_followed_again(
    segmentation: httpx2.AsyncClient, arrive: Arrive, rfm: Read, work: Work, clock: FrozenClock
) -> None:
    ann = uuid7()
    await arrive(purchase(ann, "2026-03-01", 26_000))
    await set_day(segmentation, "2026-03-02")
    await work()
    clock.at = clock.at.replace(year=2030)
    await work()
    assert (await rfm(ann))["level"] == "vip"

    await set_day(segmentation, None)
    await work()
    assert (await rfm(ann))["level"] == "important"


async def test_setting_the_same_day_again_changes_nothing(
    segmentation: httpx2.AsyncClient, arrive: Arrive, work: Work, sessions: Sessions
) -> None:
    await arrive(purchase(uuid7(), "1998-06-30", 26_000))
    for _ in range(2):
        await set_day(segmentation, "1998-06-30")
        await work()
        known = await published(sessions)
    assert len(known) == 2
    assert (await segmentation.get("/v1/levels/business-day")).json()["version"] == 2


async def test_the_day_begins_and_ends_where_the_time_zone_says(
    segmentation: httpx2.AsyncClient, arrive: Arrive, rfm: Read, work: Work, clock: FrozenClock
) -> None:
    ann = uuid7()
    await arrive(purchase(ann, "2026-03-02", 500))
    clock.at = clock.at.replace(hour=18)
    body = {"business_day": None, "time_zone": "Asia/Shanghai"}
    await segmentation.put("/v1/levels/business-day", json=body)
    await work()

    assert (await segmentation.get("/v1/levels/business-day")).json()["in_force"] == "2026-03-03"
    value = await rfm(ann)
    assert (value["last_purchase_on"], value["recency_days"]) == ("2026-03-02", 1)


async def test_new_thresholds_are_a_new_version_and_level_everybody(
    segmentation: httpx2.AsyncClient, arrive: Arrive, rfm: Read, work: Work
) -> None:
    ann = uuid7()
    await arrive(purchase(ann, "2026-03-01", 2_000))
    read = await segmentation.get("/v1/levels/thresholds")
    headers = {"If-Match": read.headers["ETag"]}

    replaced = await segmentation.put("/v1/levels/thresholds", json=LOWER, headers=headers)
    assert replaced.status_code == 202, replaced.text
    await work()

    assert (await rfm(ann))["level"] == "vip"
    assert (await rfm(ann))["thresholds_version"] == 2
    first = (await segmentation.get("/v1/levels")).json()["items"][0]
    assert first == {
        "level": "vip",
        "customers": 1,
        "definition": "VIP is from 20.00 USD with the last purchase at most 30 days ago",
    }
    now = (await segmentation.get("/v1/levels/thresholds")).json()
    assert (now["version"], now["created_by"], now["vip"]) == (2, "tester", LOWER["vip"])


async def test_thresholds_are_replaced_only_by_who_has_read_them(segmentation: httpx2.AsyncClient) -> None:
    path = "/v1/levels/thresholds"
    blind = await segmentation.put(path, json=LOWER)
    assert (blind.status_code, blind.json()["code"]) == (428, "if_match_missing")
    stale = await segmentation.put(path, json=LOWER, headers={"If-Match": '"7"'})
    assert (stale.status_code, stale.json()["code"]) == (412, "stale_version")


@pytest.mark.parametrize(
    "change",
    [
        {"important": {"monetary": {"amount": 1_000, "currency": "EUR"}}},
        {"important": {"monetary": {"amount": 3_000, "currency": "USD"}}},
        {"important": {"monetary": {"amount": 0, "currency": "USD"}}},
        {"ordinary": {"frequency": 0, "recency_days": 1}},
        {"surprise": 1},
    ],
)
async def test_thresholds_that_contradict_themselves_are_refused(
    segmentation: httpx2.AsyncClient, change: dict[str, object]
) -> None:
    response = await segmentation.put(
        "/v1/levels/thresholds", json=LOWER | change, headers={"If-Match": '"1"'}
    )
    assert (response.status_code, response.json()["code"]) == (422, "invalid_request")


@pytest.mark.parametrize(
    "body",
    [
        {"business_day": "1998-06-31"},
        {"business_day": "1899-12-31"},
        {"business_day": "3000-01-01"},
        {"business_day": None, "time_zone": "Mars/Olympus"},
        {"business_day": None, "time_zone": "localtime"},
        {"business_day": None, "time_zone": "Factory"},
        {},
    ],
)
async def test_a_day_that_does_not_exist_is_refused(
    segmentation: httpx2.AsyncClient, body: dict[str, object]
) -> None:
    assert (await segmentation.put("/v1/levels/business-day", json=body)).status_code == 422


async def test_only_managers_change_what_levels_depend_on(client: Client) -> None:
    agent = client("segmentation", Role.AGENT)
    assert (await agent.put("/v1/levels/business-day", json={"business_day": None})).status_code == 403
    assert (await agent.put("/v1/levels/thresholds", json=LOWER)).status_code == 403


async def test_a_customer_sees_only_their_own_value(client: Client) -> None:
    ann, bea = uuid7(), uuid7()
    own = client("segmentation", Role.CUSTOMER, customer_id=ann)
    for path in ("/v1/rfm/{}", "/v1/customers/{}/summary/segmentation"):
        assert (await own.get(path.format(ann))).status_code == 200
        assert (await own.get(path.format(bea))).status_code == 404


async def test_the_summary_of_a_customer_says_the_same_as_the_value(
    segmentation: httpx2.AsyncClient, arrive: Arrive, rfm: Read
) -> None:
    ann = uuid7()
    await arrive(purchase(ann, "2026-02-20", 30_000))
    for customer_id in (ann, uuid7()):
        summary = (await segmentation.get(f"/v1/customers/{customer_id}/summary/segmentation")).json()
        value = await rfm(customer_id)
        for name in ("customer_id", "business_day", "level", "reason", "recency_days", "frequency"):
            assert summary[name] == value[name]
    assert summary["monetary"] is None


async def test_a_job_whose_worker_died_goes_on_where_it_was(
    segmentation: httpx2.AsyncClient,
    arrive: Arrive,
    work: Work,
    clock: FrozenClock,
    sessions: Sessions,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(handlers, "_CHUNK", 2)
    ids = sorted(uuid7() for _ in range(5))
    await arrive(*(purchase(customer_id, "1998-06-30", 26_000) for customer_id in ids))
    location = await set_day(segmentation, "1998-06-30")
    async with sessions.begin() as session:
        await session.execute(
            text(
                "UPDATE jobs SET state = 'running', lease = gen_random_uuid(), lease_until = :now,"
                " checkpoint = jsonb_build_object('done', 2, 'changed', 2, 'after', CAST(:after AS text))"
            ),
            {"now": clock.now(), "after": str(ids[1])},
        )
    await work()

    job = (await segmentation.get(location)).json()
    assert job["result"] == {"customers": 5, "changed": 5}
    vips = (await segmentation.get("/v1/levels")).json()["items"][0]
    assert (vips["level"], vips["customers"]) == ("vip", 3)


async def test_everybody_has_the_right_level_when_purchases_arrive_while_all_are_levelled_anew(
    segmentation: httpx2.AsyncClient,
    committed: dict[str, Sessions],
    clock: FrozenClock,
    work: Work,
    rfm: Read,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(handlers, "_CHUNK", 3)
    ids = [uuid7() for _ in range(20)]
    days = ("1998-01-05", "1998-06-20", "1998-07-20", "2026-02-28")
    sessions = committed["segmentation"]

    async def buy(day: str) -> None:
        for start in range(0, 20, 4):
            events: list[Event] = [purchase(one, day, 9_000) for one in ids[start : start + 4]]
            await take(sessions, clock, *events)

    async def change_days() -> None:
        for day in ("1998-02-01", None, "1998-06-30"):
            await set_day(segmentation, day)
            await work()

    try:
        await asyncio.gather(change_days(), *(buy(day) for day in days))
        expected = assign(Figures(date(1998, 6, 20), 2, 18_000), DEFAULT, date(1998, 6, 30))
        for customer_id in ids:
            value = await rfm(customer_id)
            assert (value["level"], value["reason"]) == (expected.level, expected.reason)
    finally:
        async with sessions.begin() as session:
            await session.execute(text("UPDATE level_basis SET business_day = NULL, version = 1"))


async def test_on_the_cdnow_sample_levels_equal_a_direct_computation_and_none_is_empty(
    segmentation: httpx2.AsyncClient, arrive: Arrive, work: Work, rfm: Read
) -> None:
    sample = next(Path(__file__).parents[2].glob("deploy/local/**/cdnow_sample.txt"), None)
    if sample is None:
        pytest.skip("the sample is not here")
    rows = [line.split() for line in sample.read_text().splitlines()]
    bought: dict[UUID, list[tuple[date, int]]] = {}
    events: list[Event] = []
    for _, number, day, _, dollars in rows:
        customer_id, cents = derived("cdnow", number), round(float(dollars) * 100)
        on = date.fromisoformat(f"{day[:4]}-{day[4:6]}-{day[6:]}")
        bought.setdefault(customer_id, []).append((on, cents))
        events.append(purchase(customer_id, on.isoformat(), cents))
    await set_day(segmentation, "1998-06-30")
    for start in range(0, len(events), 1000):
        await arrive(*events[start : start + 1000])
    await work()

    expected = [
        assign(
            Figures(max(on for on, _ in theirs), len(theirs), sum(cents for _, cents in theirs)),
            DEFAULT,
            date(1998, 6, 30),
        ).level
        for theirs in bought.values()
    ]
    items = (await segmentation.get("/v1/levels")).json()["items"]
    assert {item["level"]: item["customers"] for item in items} == {
        level: expected.count(level) for level in Level
    }
    assert all(item["customers"] > 100 for item in items)
