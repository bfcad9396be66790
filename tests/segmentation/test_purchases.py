"""Purchases become figures and a level, whatever arrives first, and time takes its share."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from itertools import permutations
from uuid import UUID

import httpx2
import pytest

from crm_segmentation.handlers import subscriptions
from crm_shared.contracts.profiles import CustomerErased, CustomerMerged, CustomerUnmerged
from crm_shared.contracts.segmentation import LevelChanged
from crm_shared.database import Sessions
from crm_shared.ids import uuid7
from crm_shared.testing import FrozenClock, arrived, handle, published

from .conftest import Arrive, created, purchase, take

Read = Callable[[UUID], Awaitable[dict[str, object]]]
Work = Callable[[], Awaitable[None]]


async def told(sessions: Sessions, customer_id: UUID) -> list[LevelChanged]:
    """What was published of the customer's level, in order."""
    rows = [row for row in await published(sessions) if row.type == LevelChanged.type]
    events = [LevelChanged.model_validate_json(row.data) for row in rows]
    return [event for event in events if event.customer_id == customer_id]


async def test_a_new_customer_is_potential_and_everybody_hears_of_it(
    arrive: Arrive, rfm: Read, sessions: Sessions
) -> None:
    ann = uuid7()
    await arrive(created(ann))

    assert (await rfm(ann))["level"] == "potential"
    (event,) = await told(sessions, ann)
    assert (event.level, event.previous, event.version) == ("potential", None, 1)


async def test_a_purchase_that_comes_before_its_customer_counts(
    arrive: Arrive, rfm: Read, sessions: Sessions
) -> None:
    ann = uuid7()
    await arrive(purchase(ann, "2026-02-20", 30_000))
    await arrive(created(ann))

    value = await rfm(ann)
    assert value["level"] == "vip"
    assert (value["recency_days"], value["frequency"]) == (10, 1)
    assert value["monetary"] == {"amount": 30_000, "currency": "USD"}
    assert len(await told(sessions, ann)) == 1


async def test_the_order_of_arrival_does_not_matter(arrive: Arrive, rfm: Read) -> None:
    seen = set()
    days = (("2025-01-05", 4_000), ("2026-03-01", 7_000), ("2024-07-09", 100))
    for order in permutations(days):
        ann = uuid7()
        await arrive(*(purchase(ann, day, cents) for day, cents in order))
        value = await rfm(ann)
        seen.add((value["level"], value["frequency"], value["first_purchase_on"], value["last_purchase_on"]))
    assert seen == {("important", 3, "2024-07-09", "2026-03-01")}


async def test_an_event_that_comes_twice_counts_once(
    sessions: Sessions, clock: FrozenClock, rfm: Read
) -> None:
    ann = uuid7()
    event = arrived(purchase(ann, "2026-02-20", 6_000))
    for _ in range(2):
        async with sessions.begin() as session:
            await handle(session, subscriptions, [event, event], at=clock.now())
    assert (await rfm(ann))["monetary"] == {"amount": 6_000, "currency": "USD"}


async def test_a_level_is_told_only_when_it_is_another_one(arrive: Arrive, sessions: Sessions) -> None:
    ann = uuid7()
    first, second, third = (purchase(ann, "2026-02-20", cents) for cents in (100, 200, 30_000))
    for event in (first, second, third):
        await arrive(event)

    events = await told(sessions, ann)
    assert [(e.version, e.previous, e.level) for e in events] == [
        (1, None, "ordinary"),
        (2, "ordinary", "vip"),
    ]
    assert "300.00 USD" not in events[0].reason
    assert events[1].reason.startswith("3 purchases for 303.00 USD, the last on 2026-02-20: VIP is from")


async def test_other_currencies_are_shown_apart_and_never_converted(arrive: Arrive, rfm: Read) -> None:
    ann = uuid7()
    await arrive(purchase(ann, "2026-02-20", 30_000, "EUR"), purchase(ann, "2026-02-21", 500))

    value = await rfm(ann)
    assert value["level"] == "ordinary"
    assert value["frequency"] == 2
    assert value["monetary"] == {"amount": 500, "currency": "USD"}
    assert value["other_currencies"] == [{"amount": 30_000, "currency": "EUR"}]


async def test_time_alone_lowers_a_level_at_the_start_of_the_day_it_falls_due(
    arrive: Arrive, rfm: Read, work: Work, clock: FrozenClock, sessions: Sessions
) -> None:
    ann = uuid7()
    await arrive(purchase(ann, "2026-03-01", 30_000))
    flip = datetime(2026, 3, 1, tzinfo=UTC) + timedelta(days=181)

    clock.at = flip - timedelta(seconds=1)
    await work()
    assert (await rfm(ann))["level"] == "vip"

    clock.at = flip
    await work()
    assert (await rfm(ann))["level"] == "important"
    assert [event.level for event in await told(sessions, ann)] == ["vip", "important"]


async def test_each_flip_plans_the_next(arrive: Arrive, rfm: Read, work: Work, clock: FrozenClock) -> None:
    ann, levels = uuid7(), []
    await arrive(purchase(ann, "2026-03-01", 5_000))
    for days in (365, 366, 367):
        clock.at = datetime(2026, 3, 1, 5, tzinfo=UTC) + timedelta(days=days)
        await work()
        levels.append((await rfm(ann))["level"])
    assert levels == ["ordinary", "potential", "potential"]


async def test_a_purchase_dated_later_begins_to_count_on_its_day(
    arrive: Arrive, rfm: Read, work: Work, clock: FrozenClock
) -> None:
    ann = uuid7()
    await arrive(purchase(ann, "2026-03-05", 30_000))
    assert (await rfm(ann))["level"] == "potential"

    clock.at = datetime(2026, 3, 5, tzinfo=UTC)
    await work()
    assert (await rfm(ann))["level"] == "vip"


@pytest.mark.parametrize("zone", ["Etc/GMT+12", "Pacific/Kiritimati"])
@pytest.mark.parametrize(
    "instant", [datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)], ids=["first", "last"]
)
async def test_a_purchase_at_an_end_of_the_calendar_disturbs_nobody(
    segmentation: httpx2.AsyncClient, arrive: Arrive, rfm: Read, work: Work, instant: datetime, zone: str
) -> None:
    ann, bob = uuid7(), uuid7()
    odd = purchase(ann, "2026-02-01", 100).model_copy(update={"occurred_at": instant})
    await arrive(odd, purchase(bob, "2026-02-01", 30_000))
    body = {"business_day": None, "time_zone": zone}
    job = (await segmentation.put("/v1/levels/business-day", json=body)).headers["Location"]
    await work()

    assert (await segmentation.get(job)).json()["state"] == "succeeded"
    assert ((await rfm(ann))["level"], (await rfm(bob))["level"]) == ("potential", "vip")


async def test_a_merge_gives_the_survivor_the_purchases_and_its_undoing_gives_them_back(
    arrive: Arrive, rfm: Read, segmentation: httpx2.AsyncClient
) -> None:
    ann, bea, merge = uuid7(), uuid7(), uuid7()
    await arrive(created(ann), created(bea), purchase(ann, "2026-02-20", 20_000))
    await arrive(purchase(bea, "2026-02-21", 9_000))

    await arrive(CustomerMerged(customer_id=bea, version=2, survivor_id=ann, merge_id=merge))
    assert (await rfm(ann))["level"] == "vip"
    assert (await rfm(bea))["monetary"] == {"amount": 29_000, "currency": "USD"}
    summary = (await segmentation.get(f"/v1/customers/{bea}/summary/segmentation")).json()
    assert (summary["customer_id"], summary["level"]) == (str(bea), "vip")

    await arrive(purchase(bea, "2026-02-22", 500))
    assert (await rfm(ann))["frequency"] == 3
    assert (await segmentation.get("/v1/levels")).json()["customers"] == 1

    await arrive(CustomerUnmerged(customer_id=bea, version=3, survivor_id=ann, merge_id=merge))
    assert (await rfm(ann))["level"] == "important"
    assert (await rfm(bea))["monetary"] == {"amount": 9_500, "currency": "USD"}
    assert (await rfm(bea))["level"] == "ordinary"


async def test_an_erased_customer_leaves_nothing_and_does_not_come_back(
    arrive: Arrive, rfm: Read, sessions: Sessions
) -> None:
    ann, erasure_id = uuid7(), uuid7()
    await arrive(created(ann), purchase(ann, "2026-02-20", 20_000))
    await arrive(CustomerErased(customer_id=ann, version=3, erasure_id=erasure_id))
    await arrive(purchase(ann, "2026-02-21", 20_000))

    value = await rfm(ann)
    assert (value["level"], value["frequency"]) == (None, 0)
    assert await told(sessions, ann) == []
    (confirmed,) = [row for row in await published(sessions) if row.key == str(ann)]
    assert confirmed.type == "segmentation.erasure.confirmed.v1"


async def test_purchases_that_arrive_while_their_customer_is_merged_end_with_the_survivor(
    committed: dict[str, Sessions], clock: FrozenClock, rfm: Read, sessions: Sessions
) -> None:
    ann, bea = uuid7(), uuid7()
    merged = CustomerMerged(customer_id=bea, version=2, survivor_id=ann, merge_id=uuid7())
    await take(sessions, clock, created(bea))
    await asyncio.gather(
        *(take(sessions, clock, purchase(bea, "2026-02-20", 3_000)) for _ in range(6)),
        take(sessions, clock, merged),
        *(take(sessions, clock, purchase(one, "2026-02-21", 3_000)) for one in (ann, bea, ann, bea)),
    )
    value = await rfm(ann)
    assert (value["level"], value["frequency"]) == ("vip", 10)
    assert (await told(sessions, ann))[-1].level == "vip"
