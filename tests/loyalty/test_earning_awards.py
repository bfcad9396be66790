"""Points for purchases as they arrive: caps, budgets, levels, first purchases, each once."""

import asyncio
from datetime import UTC, date, datetime, timedelta
from typing import Any

import httpx2
import pytest
from sqlalchemy import text
from tests.loyalty.accounts import balance
from tests.loyalty.conftest import MakeEvent, Put, Receive

from crm_loyalty import reconcile
from crm_shared.contracts.base import Event
from crm_shared.contracts.profiles import CustomerCreated, LunarDateState
from crm_shared.contracts.segmentation import Level, LevelChanged
from crm_shared.database import Sessions
from crm_shared.ids import uuid7
from crm_shared.testing import arrived

NOON = datetime(2026, 2, 1, 12, tzinfo=UTC)


async def test_the_entry_shows_the_calculation_per_line(
    loyalty: httpx2.AsyncClient, receive: Receive, put: Put, bought: MakeEvent
) -> None:
    jazz = {"kind": "multiplier", "percent": 100, "of": "base"}
    await put("jazz", rate=jazz, when={"categories": ["jazz"]})
    ann = uuid7()

    await receive(bought(ann, ("jazz", 1500), ("pop", 1433)))

    [entry] = (await loyalty.get(f"/v1/accounts/{ann}/entries")).json()["items"]
    assert [(line["rule"], line["line"], line["points"]) for line in entry["explanation"]] == [
        ("base", 1, 15),
        ("base", 2, 14),
        ("jazz", 1, 15),
    ]
    assert entry["amount"] == 44


async def test_a_cap_holds_within_a_batch_and_over_batches_and_begins_anew(
    loyalty: httpx2.AsyncClient, receive: Receive, put: Put, bought: MakeEvent
) -> None:
    await put("base", rate={"kind": "fixed", "points": 10}, caps=[{"period": "day", "points": 25}])
    ann, bob = uuid7(), uuid7()

    await receive(bought(ann, ("a", 1)), bought(bob, ("a", 1)), bought(ann, ("a", 1)))
    await receive(bought(ann, ("a", 1)), bought(ann, ("a", 1)))
    assert (await balance(loyalty, ann), await balance(loyalty, bob)) == (25, 10)

    await receive(bought(ann, ("a", 1), at=NOON + timedelta(hours=12)))
    assert await balance(loyalty, ann) == 35


async def test_a_cap_is_the_persons_even_after_a_merge_and_each_ones_own_after_its_undoing(
    loyalty: httpx2.AsyncClient,
    receive: Receive,
    put: Put,
    merged: MakeEvent,
    unmerged: MakeEvent,
    bought: MakeEvent,
) -> None:
    await put("base", rate={"kind": "fixed", "points": 10}, caps=[{"period": "total", "points": 25}])
    ann, anne, merge_id = uuid7(), uuid7(), uuid7()
    await receive(bought(ann, ("a", 1)), bought(anne, ("a", 1)))

    await receive(merged(anne, ann, merge_id))
    await receive(bought(anne, ("a", 1)))
    assert await balance(loyalty, ann) == 25

    await receive(unmerged(anne, ann, merge_id))
    await receive(bought(ann, ("a", 1)), bought(ann, ("a", 1)))
    assert (await balance(loyalty, ann), await balance(loyalty, anne)) == (25, 15)


async def test_only_the_first_purchase_earns_the_welcome_bonus(
    loyalty: httpx2.AsyncClient, receive: Receive, put: Put, bought: MakeEvent
) -> None:
    await put("base", rate={"kind": "fixed", "points": 500}, when={"purchase_numbers": [1]})
    ann = uuid7()

    await receive(bought(ann, ("a", 1)), bought(ann, ("a", 1), at=NOON - timedelta(days=1)))
    await receive(bought(ann, ("a", 1)))

    assert await balance(loyalty, ann) == 500


async def test_a_level_counts_from_when_it_is_heard_of(
    loyalty: httpx2.AsyncClient, receive: Receive, put: Put, bought: MakeEvent
) -> None:
    await put("base", rate={"kind": "fixed", "points": 10}, when={"levels": ["vip"]})
    ann = uuid7()

    def level(level: Level, version: int) -> Event:
        return arrived(
            LevelChanged(
                customer_id=ann,
                version=version,
                level=level,
                reason="figures",
                thresholds_version=1,
                business_day=NOON.date(),
            )
        )

    await receive(bought(ann, ("a", 1)))
    await receive(level(Level.VIP, 2), level(Level.ORDINARY, 1))
    await receive(bought(ann, ("a", 1)))
    await receive(level(Level.ORDINARY, 3))
    await receive(bought(ann, ("a", 1)))

    assert await balance(loyalty, ann) == 10


async def test_a_budget_stops_exactly_however_many_buy_at_once(
    committed: dict[str, Sessions],
    forget_rules: None,
    loyalty: httpx2.AsyncClient,
    receive: Receive,
    put: Put,
    bought: MakeEvent,
) -> None:
    await put("base", rate={"kind": "fixed", "points": 7}, budget=205)
    people = [uuid7() for _ in range(40)]

    await asyncio.gather(*(receive(bought(person, ("a", 1))) for person in people))

    async with committed["loyalty"]() as session:
        points = list(await session.scalars(text("SELECT points FROM awards ORDER BY points")))
        used = await session.scalar(text("SELECT used FROM earning_budgets"))
        balances = await session.scalar(text("SELECT sum(balance) FROM accounts"))
        assert await reconcile.differences(await session.connection()) == []
    assert points == [205 % 7] + [7] * (205 // 7)
    assert used == balances == 205


async def test_rules_of_one_group_choose_in_one_way(loyalty: httpx2.AsyncClient, put: Put) -> None:
    fixed = {"description": "b", "rate": {"kind": "fixed", "points": 1}, "group": "promo"}
    await put("a", rate={"kind": "fixed", "points": 1}, group="promo", choice="best")

    refused = await loyalty.put(
        "/v1/earning-rules/b", json=fixed | {"choice": "first"}, headers={"If-None-Match": "*"}
    )

    assert (refused.status_code, refused.json()["code"], refused.json()["rule"]) == (
        409,
        "choice_differs",
        "a",
    )
    agreeing = await loyalty.put(
        "/v1/earning-rules/b", json=fixed | {"choice": "best"}, headers={"If-None-Match": "*"}
    )
    assert agreeing.json()["explanation"] == (
        "1 points for each purchase. Of the rules of group promo only the best counts, priority 0."
    )


@pytest.mark.parametrize(
    ("terms", "pointer", "code"),
    [
        ({"rate": {"kind": "per_amount", "points": 1, "per_amount": 1}}, "/rate", "currency_missing"),
        ({"when": {"min_amount": 5}}, "/when", "currency_missing"),
        ({"when": {"weekdays": [8]}}, "/when/weekdays/0", "less_than_equal"),
        ({"when": {"days_of_month": [0]}}, "/when/days_of_month", "day_zero"),
        (
            {"when": {"hours": [{"since": "10:00", "until": "10:00:00"}]}},
            "/when/hours/0/until",
            "until_is_since",
        ),
        ({"when": {"hours": [{"since": "24:00", "until": "10:00"}]}}, "/when/hours/0/since", None),
        (
            {"when": {"dates": [{"since": "2026-02-01", "until": "2026-02-01"}]}},
            "/when/dates/0/until",
            "range_empty",
        ),
        ({"caps": [{"period": "day", "points": 1}] * 2}, "/caps", "cap_repeated"),
        ({"choice": "best"}, "/choice", "group_missing"),
        (
            {"rate": {"kind": "multiplier", "percent": 1, "of": "g"}, "group": "g"},
            "/group",
            "multiplies_itself",
        ),
        ({"valid_from": "2026-02-01T00:00:00Z", "valid_until": "2026-02-01T00:00:00Z"}, "/valid_until", None),
        ({"budget": 0}, "/budget", None),
    ],
)
async def test_what_makes_no_sense_is_refused_where_it_is(
    loyalty: httpx2.AsyncClient, terms: dict[str, Any], pointer: str, code: str | None
) -> None:
    body = {"description": "x", "rate": {"kind": "fixed", "points": 1}} | terms

    answer = await loyalty.put("/v1/earning-rules/x", json=body, headers={"If-None-Match": "*"})

    assert answer.status_code == 422
    [fault] = answer.json()["errors"]
    assert fault["pointer"] == pointer
    assert code is None or fault["code"] == code


@pytest.mark.parametrize(
    ("born", "bought_at", "points"),
    [
        ({"birth_date": date(1990, 2, 1)}, NOON, 10),
        ({"birth_date": date(1990, 2, 1)}, datetime(2026, 2, 1, 23, 59, 59, tzinfo=UTC), 10),
        ({"birth_date": date(1990, 2, 1)}, datetime(2026, 2, 2, tzinfo=UTC), 0),
        ({"birth_date": date(1992, 2, 29)}, datetime(2026, 2, 28, 12, tzinfo=UTC), 10),
        ({"birth_date": date(1992, 2, 29)}, datetime(2028, 2, 28, 12, tzinfo=UTC), 0),
        # The first day of the first lunar month: 17 February in 2026.
        (
            {
                "birth_date": date(1990, 1, 27),
                "birth_calendar": "lunar",
                "lunar_birth_date": LunarDateState(year=1990, month=1, day=1),
            },
            datetime(2026, 2, 17, 12, tzinfo=UTC),
            10,
        ),
        ({}, NOON, 0),
    ],
)
async def test_a_birthday_earns_on_its_day_in_the_calendar_in_which_it_is_kept(
    loyalty: httpx2.AsyncClient,
    receive: Receive,
    put: Put,
    bought: MakeEvent,
    born: dict[str, Any],
    bought_at: datetime,
    points: int,
) -> None:
    await put("base", rate={"kind": "fixed", "points": 10}, when={"birthday": {}})
    ann = uuid7()

    await receive(arrived(CustomerCreated(customer_id=ann, version=1, name="Ann", **born)))
    await receive(bought(ann, ("a", 1), at=bought_at))

    assert await balance(loyalty, ann) == points


async def test_a_holiday_earns_on_its_day_by_the_copy_of_the_calendar(
    loyalty: httpx2.AsyncClient, receive: Receive, put: Put, bought: MakeEvent
) -> None:
    christmas = {"holidays": [{"calendar": "US", "key": "christmas"}]}
    await put("base", rate={"kind": "fixed", "points": 10}, when=christmas)
    ann = uuid7()

    for second in (
        "2026-12-24T23:59:59",
        "2026-12-25T00:00:00",
        "2026-12-25T23:59:59",
        "2026-12-26T00:00:00",
    ):
        await receive(bought(ann, ("a", 1), at=datetime.fromisoformat(second + "+00:00")))

    assert await balance(loyalty, ann) == 20


async def test_a_holiday_that_no_calendar_has_is_refused(loyalty: httpx2.AsyncClient) -> None:
    unknown = [{"calendar": "US", "key": "christmas"}, {"calendar": "US", "key": "nonsense"}]
    body = {"description": "x", "rate": {"kind": "fixed", "points": 1}, "when": {"holidays": unknown}}

    answer = await loyalty.put("/v1/earning-rules/x", json=body, headers={"If-None-Match": "*"})

    assert (answer.status_code, answer.json()["code"]) == (422, "holiday_unknown")
    assert answer.json()["errors"][0]["pointer"] == "/when/holidays/1"


async def test_days_and_rounding_are_the_programmes(
    loyalty: httpx2.AsyncClient, receive: Receive, put: Put, bought: MakeEvent
) -> None:
    path = "/v1/programme/points-policy"
    seen = {"If-Match": (await loyalty.get(path)).headers["ETag"]}
    policy = {"time_zone": "Asia/Shanghai", "expiry": "never", "rounding": "up"}
    assert (await loyalty.put(path, json=policy, headers=seen)).status_code == 200
    rate = {"kind": "per_amount", "points": 1, "per_amount": 100}
    await put("base", currency="USD", rate=rate, when={"days_of_month": [8]})
    ann = uuid7()

    # Midnight of the eighth in Shanghai is four in the afternoon of the seventh in UTC.
    for second in (
        "2026-02-07T15:59:59",
        "2026-02-07T16:00:00",
        "2026-02-08T15:59:59",
        "2026-02-08T16:00:00",
    ):
        await receive(bought(ann, ("a", 101), at=datetime.fromisoformat(second + "+00:00")))

    assert await balance(loyalty, ann) == 4
