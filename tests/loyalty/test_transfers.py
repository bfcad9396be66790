"""Transfers: points change hands with their age and expiry, within a day's limit, and can be undone."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx2
import pytest
from tests.loyalty.accounts import balances, differences, insist
from tests.loyalty.conftest import Give, MakeEvent, Receive

from crm_shared.callers import Role
from crm_shared.database import Sessions
from crm_shared.ids import uuid7
from crm_shared.testing import FrozenClock, fresh_key, published

Ask = Callable[..., Awaitable[httpx2.Response]]


@pytest.fixture
def transfer(loyalty: httpx2.AsyncClient) -> Ask:
    async def ask(giver: UUID, to: UUID, points: int, **more: Any) -> httpx2.Response:
        return await loyalty.post(
            f"/v1/accounts/{giver}/transfers",
            json={"to": str(to), "points": points} | more,
            headers=fresh_key(),
        )

    return ask


@pytest.fixture
def undo(loyalty: httpx2.AsyncClient) -> Ask:
    async def ask(transfer: httpx2.Response) -> httpx2.Response:
        transaction_id = transfer.json()["transaction_id"]
        return await loyalty.post(
            f"/v1/transactions/{transaction_id}/reversal",
            json={"reason": "wrong person"},
            headers=fresh_key(),
        )

    return ask


async def lots(loyalty: httpx2.AsyncClient, customer: UUID) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await loyalty.get(f"/v1/accounts/{customer}/lots")).json()["items"]
    return found


async def test_points_keep_their_age_and_their_expiry(
    sessions: Sessions, loyalty: httpx2.AsyncClient, give: Give, transfer: Ask, clock: FrozenClock
) -> None:
    giver, to = uuid7(), uuid7()
    soon, later = clock.now() + timedelta(days=1), clock.now() + timedelta(days=9)
    await give(giver, 10, expires_at=later)
    await give(giver, 10, expires_at=soon)
    await give(to, 1)
    had = {lot["expires_at"]: lot["earned_at"] for lot in await lots(loyalty, giver)}
    clock.advance(timedelta(hours=1))

    answer = await transfer(giver, to, 15, reason="for the trip")

    assert answer.status_code == 201
    assert {name: answer.json()[name] for name in ("kind", "points", "balance", "customer_id")} == {
        "kind": "transfer",
        "points": 15,
        "balance": 5,
        "customer_id": str(giver),
    }
    got = {lot["expires_at"]: lot for lot in await lots(loyalty, to) if lot["expires_at"]}
    assert sorted(lot["remaining"] for lot in got.values()) == [5, 10]
    assert {expires_at: lot["earned_at"] for expires_at, lot in got.items()} == had
    assert await balances(sessions) == {giver: (5, 0), to: (16, 0)}
    assert await differences(sessions) == []
    told = [event.type for event in await published(sessions)][-2:]
    assert told == ["loyalty.points.transferred.v1", "loyalty.points.received.v1"]
    [entry, *_] = (await loyalty.get(f"/v1/accounts/{giver}/entries")).json()["items"]
    assert (entry["amount"], entry["reason"]) == (-15, "for the trip")


async def test_what_was_received_expires_when_it_would_have(
    sessions: Sessions, loyalty: httpx2.AsyncClient, give: Give, transfer: Ask, clock: FrozenClock
) -> None:
    giver, to = uuid7(), uuid7()
    await give(giver, 10, expires_at=clock.now() + timedelta(days=1))
    await give(to, 1)
    await transfer(giver, to, 10)

    clock.advance(timedelta(days=1))
    answer = await loyalty.post(
        f"/v1/accounts/{to}/spend", json={"points": 2}, headers={"Idempotency-Key": "late"}
    )

    assert (answer.status_code, answer.json()["available"]) == (409, 1)


async def test_what_is_held_stays(
    sessions: Sessions, loyalty: httpx2.AsyncClient, give: Give, transfer: Ask
) -> None:
    giver, to = uuid7(), uuid7()
    await give(giver, 10)
    await give(to, 1)
    await insist(loyalty, f"/v1/accounts/{giver}/holds", "hold", {"points": 8, "expires_in": 60})

    refused, done = await transfer(giver, to, 3), await transfer(giver, to, 2)

    assert (refused.status_code, refused.json()["available"]) == (409, 2)
    assert done.status_code == 201
    assert await balances(sessions) == {giver: (8, 8), to: (3, 0)}


async def test_nobody_gives_to_themselves_or_to_nobody(
    loyalty: httpx2.AsyncClient,
    give: Give,
    receive: Receive,
    merged: MakeEvent,
    erased: MakeEvent,
    transfer: Ask,
) -> None:
    giver, twin, gone = uuid7(), uuid7(), uuid7()
    for customer in (giver, twin, gone):
        await give(customer, 10)
    await receive(merged(twin, giver, uuid7()))
    await receive(erased(gone))

    answers = [await transfer(giver, to, 1) for to in (giver, twin, uuid7(), gone)]

    assert [answer.json()["code"] for answer in answers] == [
        "transfer_to_self",
        "transfer_to_self",
        "account_not_found",
        "customer_was_erased",
    ]


async def test_a_day_has_a_limit(
    loyalty: httpx2.AsyncClient, give: Give, transfer: Ask, clock: FrozenClock
) -> None:
    terms = {"time_zone": "Asia/Shanghai", "expiry": "never", "transfer_max": 10}
    policy = await loyalty.put("/v1/programme/points-policy", json=terms, headers={"If-Match": '"1"'})
    assert policy.json()["transfer_max"] == 10
    giver, to = uuid7(), uuid7()
    await give(giver, 100)
    await give(to, 1)

    first, second = await transfer(giver, to, 8), await transfer(giver, to, 3)
    clock.advance(timedelta(days=1))
    third = await transfer(giver, to, 10)

    assert (first.status_code, third.status_code) == (201, 201)
    assert second.json()["code"] == "transfer_limit_reached"
    assert (second.json()["limit"], second.json()["transferred"]) == (10, 8)


async def test_a_day_that_has_its_first_hour_twice_has_one_limit(
    loyalty: httpx2.AsyncClient, give: Give, transfer: Ask, clock: FrozenClock
) -> None:
    terms = {"time_zone": "America/Havana", "expiry": "never", "transfer_max": 10}
    await loyalty.put("/v1/programme/points-policy", json=terms, headers={"If-Match": '"1"'})
    giver, to = uuid7(), uuid7()
    await give(giver, 100)
    await give(to, 1)

    clock.at = datetime(2026, 11, 1, 4, 30, tzinfo=UTC)  # half past midnight, for the first time
    first = await transfer(giver, to, 8)
    clock.advance(timedelta(hours=1))
    second = await transfer(giver, to, 3)

    assert (first.status_code, second.json()["code"]) == (201, "transfer_limit_reached")


async def test_a_transfer_is_undone_as_far_as_the_points_are_there(
    sessions: Sessions, loyalty: httpx2.AsyncClient, give: Give, transfer: Ask, undo: Ask
) -> None:
    giver, to = uuid7(), uuid7()
    await give(giver, 10)
    await give(to, 1)
    before = await lots(loyalty, giver)
    done = await transfer(giver, to, 10)
    await insist(loyalty, f"/v1/accounts/{to}/spend", "spend", {"points": 4})

    undone, again = await undo(done), await undo(done)

    # Their own point was spent first, and three of those that they were given.
    assert (undone.status_code, undone.json()["points"], undone.json()["balance"]) == (201, 7, 7)
    assert again.json()["code"] == "nothing_to_reverse"
    assert await balances(sessions) == {giver: (7, 0), to: (0, 0)}
    [lot] = await lots(loyalty, giver)
    assert (lot["id"], lot["remaining"]) == (before[0]["id"], 7)
    assert await differences(sessions) == []


async def test_a_transfer_that_nobody_touched_is_undone_as_a_whole(
    sessions: Sessions, loyalty: httpx2.AsyncClient, give: Give, transfer: Ask, undo: Ask
) -> None:
    giver, to = uuid7(), uuid7()
    for points in (3, 4, 5):
        await give(giver, points)
    await give(to, 1)
    before = await lots(loyalty, giver)

    undone = await undo(await transfer(giver, to, 9))

    assert (undone.status_code, undone.json()["points"], undone.json()["balance"]) == (201, 9, 12)
    assert await lots(loyalty, giver) == before
    assert await balances(sessions) == {giver: (12, 0), to: (1, 0)}
    assert await differences(sessions) == []


async def test_customers_give_only_their_own(client: Callable[..., httpx2.AsyncClient], give: Give) -> None:
    giver, to = uuid7(), uuid7()
    await give(giver, 10)
    await give(to, 1)
    body, key = {"to": str(to), "points": 1}, {"Idempotency-Key": "mine"}
    own = client("loyalty", Role.CUSTOMER, customer_id=giver)

    answers = [
        await own.post(f"/v1/accounts/{giver}/transfers", json=body, headers=key),
        await own.post(f"/v1/accounts/{to}/transfers", json=body | {"to": str(giver)}, headers=key),
    ]

    assert [answer.status_code for answer in answers] == [201, 404]


async def test_all_who_give_to_each_other_at_once_have_as_much_together_as_before(
    committed: dict[str, Sessions], loyalty: httpx2.AsyncClient, give: Give
) -> None:
    people = [uuid7() for _ in range(4)]
    for person in people:
        await give(person, 10)

    answers = await asyncio.gather(
        *(
            insist(
                loyalty,
                f"/v1/accounts/{giver}/transfers",
                f"{giver} {to} {number}",
                {"to": str(to), "points": 3},
            )
            for number in range(4)
            for giver in people
            for to in people
            if giver != to
        )
    )

    codes = Counter(answer.json().get("code", "done") for answer in answers)
    assert codes.keys() <= {"done", "insufficient_points"}
    assert codes["done"] > 0
    have = await balances(committed["loyalty"])
    assert sum(balance for balance, _ in have.values()) == 40
    assert all(balance >= 0 for balance, _ in have.values())
    assert await differences(committed["loyalty"]) == []
