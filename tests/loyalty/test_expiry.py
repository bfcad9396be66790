"""Points that expire: when, which, and what is said about it before."""

import json
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.conftest import ClientFactory
from tests.loyalty.accounts import balance
from tests.loyalty.conftest import Give, Household, MakeEvent, Receive

from crm_loyalty import reconcile
from crm_loyalty.handlers import due_work
from crm_loyalty.ledger import ledger
from crm_loyalty.postings import Adjust, Capture, Earn, PlaceHold, Posting, Reverse, Spend
from crm_loyalty.rules.expiry import Expiry, ExpiryRule, lapses_at, notice_at
from crm_shared import due
from crm_shared.callers import Role
from crm_shared.database import Sessions
from crm_shared.ids import uuid7
from crm_shared.testing import FrozenClock, fresh_key, published

SetPolicy = Callable[..., Awaitable[None]]
Post = Callable[..., Awaitable[UUID]]

NEW_YORK, SHANGHAI, SANTIAGO = (
    ZoneInfo("America/New_York"),
    ZoneInfo("Asia/Shanghai"),
    ZoneInfo("America/Santiago"),
)
SECOND = timedelta(seconds=1)


@pytest.fixture
def set_policy(loyalty: httpx2.AsyncClient) -> SetPolicy:
    async def put(expiry: str, after: int | None, *, zone: str = "UTC", notice_days: int = 7) -> None:
        body = {"time_zone": zone, "expiry": expiry, "expires_after": after, "notice_days": notice_days}
        version = (await loyalty.get("/v1/programme/points-policy")).headers["ETag"]
        answer = await loyalty.put("/v1/programme/points-policy", json=body, headers={"If-Match": version})
        assert answer.status_code == 200, answer.text

    return put


async def due_work_runs(sessions: Sessions, clock: FrozenClock) -> None:
    while await due.run(sessions, due_work, clock):
        pass


async def expirations(loyalty: httpx2.AsyncClient, customer: UUID) -> list[tuple[str, int]]:
    items = (await loyalty.get(f"/v1/accounts/{customer}/expirations")).json()["items"]
    return [(item["expires_at"], item["points"]) for item in items]


@pytest.mark.parametrize(
    ("rule", "after", "zone", "earned_at", "expires_at"),
    [
        (ExpiryRule.DAYS, 1, SHANGHAI, "2026-03-02T15:59:59Z", "2026-03-03T16:00:00Z"),
        (ExpiryRule.DAYS, 1, SHANGHAI, "2026-03-02T16:00:00Z", "2026-03-04T16:00:00Z"),
        (ExpiryRule.DAYS, 0, NEW_YORK, "2026-03-08T06:59:59Z", "2026-03-09T04:00:00Z"),
        (ExpiryRule.DAYS, 0, NEW_YORK, "2026-11-01T05:30:00Z", "2026-11-02T05:00:00Z"),
        (ExpiryRule.END_OF_MONTH, 0, SHANGHAI, "2026-02-28T15:59:59Z", "2026-02-28T16:00:00Z"),
        (ExpiryRule.END_OF_MONTH, 12, SHANGHAI, "2027-02-10T00:00:00Z", "2028-02-29T16:00:00Z"),
        (ExpiryRule.END_OF_YEAR, 12, NEW_YORK, "2026-01-01T04:59:59Z", "2027-01-01T05:00:00Z"),
        (ExpiryRule.END_OF_YEAR, 12, NEW_YORK, "2026-01-01T05:00:00Z", "2028-01-01T05:00:00Z"),
        # In Santiago the clocks went from 23:59:59 to 01:00 that night: the day began an hour late.
        (ExpiryRule.DAYS, 0, SANTIAGO, "2026-09-05T12:00:00Z", "2026-09-06T04:00:00Z"),
    ],
)
def test_points_live_through_their_last_day_in_the_programmes_zone(
    rule: ExpiryRule, after: int, zone: ZoneInfo, earned_at: str, expires_at: str
) -> None:
    found = Expiry(rule, after, zone).of(datetime.fromisoformat(earned_at))

    assert found == datetime.fromisoformat(expires_at)


def _instant(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


@given(
    rule=st.sampled_from([ExpiryRule.DAYS, ExpiryRule.END_OF_MONTH, ExpiryRule.END_OF_YEAR]),
    after=st.integers(0, 1200),
    zone=st.sampled_from([NEW_YORK, SHANGHAI, SANTIAGO]),
    instants=st.lists(st.integers(946684800, 4102444800).map(_instant), min_size=2),
)
def test_what_was_earned_earlier_never_expires_later(
    rule: ExpiryRule, after: int, zone: ZoneInfo, instants: list[datetime]
) -> None:
    expiry = Expiry(rule, after, zone)

    ends = [expiry.of(instant) for instant in sorted(instants)]

    assert all(end is not None and end > instant for end, instant in zip(ends, sorted(instants), strict=True))
    assert ends == sorted(end for end in ends if end is not None)


def test_notice_and_inactivity_are_reckoned_in_days_of_the_zone() -> None:
    end = lapses_at(datetime(2026, 3, 1, 12, tzinfo=UTC), 10, NEW_YORK)

    assert end == datetime(2026, 3, 12, 4, tzinfo=UTC)
    assert notice_at(end, 7, NEW_YORK) == datetime(2026, 3, 5, 5, tzinfo=UTC)


async def test_exactly_what_a_lot_has_left_expires_at_its_instant_and_the_rest_stays(
    loyalty: httpx2.AsyncClient, sessions: Sessions, give: Give, clock: FrozenClock, set_policy: SetPolicy
) -> None:
    customer = uuid7()
    await set_policy("days", 30)
    await give(customer, 100)
    clock.advance(timedelta(days=3))
    await give(customer, 50)
    await loyalty.post(f"/v1/accounts/{customer}/spend", json={"points": 30}, headers=fresh_key())
    assert await expirations(loyalty, customer) == [
        ("2026-04-02T00:00:00Z", 70),
        ("2026-04-05T00:00:00Z", 50),
    ]

    clock.advance(datetime(2026, 4, 2, tzinfo=UTC) - clock.now() - SECOND)
    await due_work_runs(sessions, clock)
    assert await balance(loyalty, customer) == 120
    clock.advance(SECOND)
    await due_work_runs(sessions, clock)

    assert await balance(loyalty, customer) == 50
    assert await expirations(loyalty, customer) == [("2026-04-05T00:00:00Z", 50)]
    [expired] = [row for row in await published(sessions) if row.type == "loyalty.points.expired.v1"]
    assert '"points":70' in expired.data
    [entry] = (await loyalty.get(f"/v1/accounts/{customer}/entries?limit=1")).json()["items"]
    assert (entry["kind"], entry["amount"], entry["effective_at"]) == ("expire", -70, "2026-04-02T00:00:00Z")
    async with sessions() as session:
        assert await reconcile.differences(await session.connection()) == []


async def test_what_is_over_cannot_be_spent_even_before_the_worker_has_come_to_it(
    loyalty: httpx2.AsyncClient, give: Give, clock: FrozenClock
) -> None:
    customer = uuid7()
    await give(customer, 10, expires_at=clock.now() + timedelta(hours=1))
    await give(customer, 5)
    clock.advance(timedelta(hours=1))

    answer = await loyalty.post(f"/v1/accounts/{customer}/spend", json={"points": 6}, headers=fresh_key())
    assert (answer.status_code, answer.json()["available"]) == (409, 5)
    answer = await loyalty.post(f"/v1/accounts/{customer}/spend", json={"points": 5}, headers=fresh_key())

    assert (answer.status_code, answer.json()["balance"]) == (201, 0)


async def test_a_hold_keeps_what_it_reserved_in_time_and_what_it_releases_expires_at_once(
    loyalty: httpx2.AsyncClient, sessions: Sessions, give: Give, clock: FrozenClock
) -> None:
    customer = uuid7()
    await give(customer, 10, expires_at=clock.now() + timedelta(hours=1))
    await give(customer, 20)
    holds = [
        (
            await loyalty.post(
                f"/v1/accounts/{customer}/holds", json={"points": 4, "expires_in": 9000}, headers=fresh_key()
            )
        ).json()["id"]
        for _ in range(2)
    ]
    clock.advance(timedelta(hours=1))
    await due_work_runs(sessions, clock)
    assert await balance(loyalty, customer) == 28

    await loyalty.post(f"/v1/accounts/{customer}/holds/{holds[0]}/capture", headers=fresh_key())
    assert await balance(loyalty, customer) == 24
    await loyalty.post(f"/v1/accounts/{customer}/holds/{holds[1]}/release", headers=fresh_key())

    assert await balance(loyalty, customer) == 20


@pytest.fixture
def post(sessions: Sessions, clock: FrozenClock) -> Post:
    async def post_one(kind: Callable[..., Posting], customer: UUID, **terms: Any) -> UUID:
        at = clock.now()
        posting = kind(customer_id=customer, source="test", reference=str(uuid7()), effective_at=at, **terms)
        async with sessions.begin() as session:
            [verdict] = await ledger.post(session, [posting], at=at)
        movement = verdict.accepted()
        return movement.hold_id or movement.id

    return post_one


async def test_what_is_over_pays_what_is_owed_before_what_is_earned_too_late(
    loyalty: httpx2.AsyncClient, sessions: Sessions, clock: FrozenClock, post: Post
) -> None:
    customer = uuid7()
    soon = clock.now() + timedelta(hours=1)
    returned = await post(Earn, customer, points=5)
    await post(Spend, customer, points=5)
    await post(Earn, customer, points=10, expires_at=soon)
    await post(Reverse, customer, transaction_id=returned)
    clock.advance(timedelta(hours=2))
    late = await post(Earn, customer, points=7, expires_at=soon)
    await post(Reverse, customer, transaction_id=late)
    await due_work_runs(sessions, clock)

    assert await balance(loyalty, customer) == 0


@pytest.mark.parametrize("by", ["the worker", "the owner", "a member of the pool"])
async def test_of_lots_that_are_over_the_first_to_end_pays_what_is_owed_whosever_it_was(
    sessions: Sessions,
    clock: FrozenClock,
    post: Post,
    pool: Household,
    receive: Receive,
    merged: MakeEvent,
    by: str,
) -> None:
    survivor, absorbed, friend = uuid7(), uuid7(), uuid7()
    now = clock.now()
    returned = await post(Earn, survivor, points=5)
    await post(Spend, survivor, points=5)
    await post(Earn, friend, points=1, expires_at=now + timedelta(minutes=1))
    await pool([survivor, friend])
    await post(Earn, survivor, points=30, expires_at=now + timedelta(hours=2))
    held = await post(PlaceHold, friend, points=2, expires_at=now + timedelta(hours=4))
    await post(Earn, absorbed, points=10, expires_at=now + timedelta(hours=1))
    await receive(merged(absorbed, survivor, uuid7()))
    await post(Reverse, survivor, transaction_id=returned)
    clock.advance(timedelta(hours=3))
    if by == "the owner":
        await post(Adjust, survivor, points=1, reason="test")
    elif by == "a member of the pool":
        await post(Capture, friend, hold_id=held)
    await due_work_runs(sessions, clock)

    said = [json.loads(row.data) for row in await published(sessions) if "points.expired" in row.type]
    expired = {datetime.fromisoformat(each["expired_at"]): each["points"] for each in said}
    assert expired == {now + timedelta(hours=1): 10 - 5, now + timedelta(hours=2): 30 - 1}


async def test_a_hold_of_somebody_else_runs_out_after_the_lots_that_ended_before_it(
    sessions: Sessions, clock: FrozenClock, post: Post, pool: Household
) -> None:
    owner, friend = uuid7(), uuid7()
    now = clock.now()
    returned = await post(Earn, owner, points=5)
    await post(Spend, owner, points=5)
    await post(Earn, friend, points=1, expires_at=now + timedelta(minutes=1))
    await pool([owner, friend])
    await post(Earn, owner, points=10, expires_at=now + timedelta(hours=1))
    await post(Earn, owner, points=30, expires_at=now + timedelta(hours=2))
    await post(PlaceHold, friend, points=3, expires_at=now + timedelta(hours=4))
    await post(Reverse, owner, transaction_id=returned)
    clock.advance(timedelta(hours=5))
    await due_work_runs(sessions, clock)

    said = [json.loads(row.data) for row in await published(sessions) if "points.expired" in row.type]
    expired = Counter[datetime]()
    for each in said:
        expired[datetime.fromisoformat(each["expired_at"])] += each["points"]
    # Two of the first lot were held to the end of the hold, and so was the friend's own point.
    assert expired == {
        now + timedelta(hours=1): 10 - 2 - 5,
        now + timedelta(hours=2): 30,
        now + timedelta(hours=4): 2 + 1,
    }


async def test_any_earning_or_spending_puts_inactivity_off(
    loyalty: httpx2.AsyncClient, sessions: Sessions, give: Give, clock: FrozenClock, set_policy: SetPolicy
) -> None:
    idle, active = uuid7(), uuid7()
    await set_policy("inactivity", 10)
    await give(idle, 10)
    await give(active, 10)
    assert await expirations(loyalty, active) == [("2026-03-13T00:00:00Z", 10)]
    clock.advance(timedelta(days=5))
    await loyalty.post(f"/v1/accounts/{active}/spend", json={"points": 1}, headers=fresh_key())
    clock.advance(timedelta(days=6))
    await due_work_runs(sessions, clock)

    assert [await balance(loyalty, who) for who in (idle, active)] == [0, 9]
    assert await expirations(loyalty, active) == [("2026-03-18T00:00:00Z", 9)]
    clock.advance(timedelta(days=5))
    await due_work_runs(sessions, clock)
    assert await balance(loyalty, active) == 0


async def test_expiry_is_announced_once_per_day_on_which_points_expire(
    sessions: Sessions, give: Give, clock: FrozenClock, set_policy: SetPolicy
) -> None:
    customer = uuid7()
    await set_policy("end_of_month", 1, zone="Asia/Shanghai")
    for points in (10, 20, 30):
        await give(customer, points)

    clock.advance(datetime(2026, 4, 23, 16, tzinfo=UTC) - clock.now() - SECOND)
    await due_work_runs(sessions, clock)
    assert not [row for row in await published(sessions) if "expiring" in row.type]
    clock.advance(SECOND)
    await due_work_runs(sessions, clock)

    [notice] = [row for row in await published(sessions) if row.type == "loyalty.points.expiring.v1"]
    assert '"points":60' in notice.data
    assert '"expires_at":"2026-04-30T16:00:00Z"' in notice.data


async def test_a_policy_counts_for_what_is_earned_under_it(
    loyalty: httpx2.AsyncClient, give: Give, set_policy: SetPolicy, client: ClientFactory
) -> None:
    customer = uuid7()
    await give(customer, 1)
    await set_policy("days", 10)
    await give(customer, 2)
    await set_policy("days", 20)
    await give(customer, 3)

    items = (await client("loyalty", Role.AGENT).get(f"/v1/accounts/{customer}/expirations")).json()["items"]

    assert [(item["points"], item["policy_versions"]) for item in items] == [(2, [2]), (3, [3])]
    versions = (await loyalty.get("/v1/programme/points-policy/versions")).json()["items"]
    assert [version["version"] for version in versions] == [3, 2]


async def test_expirations_are_walked_by_cursor(
    loyalty: httpx2.AsyncClient, give: Give, clock: FrozenClock
) -> None:
    customer = uuid7()
    for day in range(1, 6):
        await give(customer, day, expires_at=clock.now() + timedelta(days=day))
        await give(customer, day, expires_at=clock.now() + timedelta(days=day))
    found: list[int] = []
    parameters: dict[str, Any] = {"limit": 2}
    while True:
        page = (await loyalty.get(f"/v1/accounts/{customer}/expirations", params=parameters)).json()
        found += [item["points"] for item in page["items"]]
        if not page["has_more"]:
            break
        parameters["cursor"] = page["next_cursor"]

    assert found == [2, 4, 6, 8, 10]


@pytest.mark.parametrize(
    "change",
    [
        {"expiry": "never", "expires_after": 3},
        {"expiry": "days", "expires_after": None},
        {"expiry": "days", "expires_after": 100_000},
        {"time_zone": "Mars/Olympus"},
    ],
)
async def test_a_policy_that_contradicts_itself_is_refused(
    loyalty: httpx2.AsyncClient, change: dict[str, Any]
) -> None:
    body = {"time_zone": "UTC", "expiry": "days", "expires_after": 3} | change

    answer = await loyalty.put("/v1/programme/points-policy", json=body, headers={"If-Match": '"1"'})

    assert answer.status_code == 422


async def test_of_two_who_replace_the_same_policy_one_must_read_again(loyalty: httpx2.AsyncClient) -> None:
    body = {"time_zone": "UTC", "expiry": "never"}

    answers = [
        await loyalty.put("/v1/programme/points-policy", json=body, headers={"If-Match": '"1"'})
        for _ in range(2)
    ]

    assert [answer.status_code for answer in answers] == [200, 412]
