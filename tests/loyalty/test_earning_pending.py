"""Pending points: apart from the balance until the return window ends, and gone with what is given back."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from uuid import UUID

import httpx2
import pytest
import pytest_asyncio
from sqlalchemy import text
from tests.loyalty.conftest import MakeEvent, Put, Receive
from tests.loyalty.purchases import refunded

from crm_loyalty import reconcile
from crm_loyalty.handlers import due_work
from crm_shared import due
from crm_shared.database import Sessions
from crm_shared.ids import uuid7
from crm_shared.testing import FrozenClock

Wait = Callable[[int], Awaitable[None]]

RATE = {"kind": "per_amount", "points": 1, "per_amount": 100}


@pytest.fixture
def wait(sessions: Sessions, clock: FrozenClock) -> Wait:
    """Lets so many days pass, and all that is due by then be done."""

    async def pass_(days: int) -> None:
        later = FrozenClock(clock.now() + timedelta(days=days))
        while await due.run(sessions, due_work, later):
            pass

    return pass_


async def account(loyalty: httpx2.AsyncClient, who: UUID) -> tuple[int, list[int]]:
    """The balance, and what is pending by purchase."""
    balance = (await loyalty.get(f"/v1/accounts/{who}")).json()["balance"]
    items = (await loyalty.get(f"/v1/accounts/{who}/pending")).json()["items"]
    return balance, [item["points"] for item in items]


@pytest_asyncio.fixture
async def window(put: Put) -> None:
    await put("base", currency="USD", rate=RATE, pending_days=14)


async def test_points_wait_for_the_end_of_the_window_and_come_once(
    loyalty: httpx2.AsyncClient,
    receive: Receive,
    bought: MakeEvent,
    window: None,
    wait: Wait,
    clock: FrozenClock,
    sessions: Sessions,
) -> None:
    ann = uuid7()
    await receive(bought(ann, ("jazz", 1500), ("pop", 1433), at=clock.now()))

    assert await account(loyalty, ann) == (0, [29])
    spent = await loyalty.post(
        f"/v1/accounts/{ann}/spend", json={"points": 1}, headers={"Idempotency-Key": "k"}
    )
    assert spent.json()["code"] == "insufficient_points"
    await wait(13)
    assert await account(loyalty, ann) == (0, [29])
    await wait(14)
    await wait(15)
    assert await account(loyalty, ann) == (29, [])
    [entry] = (await loyalty.get(f"/v1/accounts/{ann}/entries")).json()["items"]
    assert [(line["line"], line["points"]) for line in entry["explanation"]] == [(1, 15), (2, 14)]
    async with sessions() as session:
        assert await reconcile.differences(await session.connection()) == []


async def test_what_is_given_back_before_takes_its_points_along_and_what_comes_after_too(
    loyalty: httpx2.AsyncClient,
    receive: Receive,
    bought: MakeEvent,
    window: None,
    wait: Wait,
    clock: FrozenClock,
    sessions: Sessions,
) -> None:
    ann = uuid7()
    purchase = bought(ann, ("jazz", 1500), ("pop", 1433), at=clock.now())
    refund = refunded(purchase, 1000, line=1)
    await receive(purchase)
    await receive(refund)
    async with sessions.begin() as session:
        await session.execute(text("DELETE FROM inbox"))
    await receive(refund)
    assert await account(loyalty, ann) == (0, [19])

    await wait(14)
    assert await account(loyalty, ann) == (19, [])
    [entry] = (await loyalty.get(f"/v1/accounts/{ann}/entries")).json()["items"]
    assert [(line["line"], line["points"]) for line in entry["explanation"]] == [(1, 5), (2, 14)]
    assert entry["explanation"][0]["text"].endswith("; 5 left after refunds")

    await receive(refunded(purchase, 500, line=1), refunded(purchase, 1433, line=2))
    assert await account(loyalty, ann) == (0, [])
    async with sessions() as session:
        assert await reconcile.differences(await session.connection()) == []


async def test_it_makes_no_difference_whether_something_comes_back_before_the_end_of_the_window_or_after(
    loyalty: httpx2.AsyncClient,
    receive: Receive,
    bought: MakeEvent,
    put: Put,
    wait: Wait,
    clock: FrozenClock,
    sessions: Sessions,
) -> None:
    await put("base", currency="USD", rate=RATE | {"points": 3}, pending_days=14)
    ann, bea = uuid7(), uuid7()
    of_ann, of_bea = (bought(who, ("jazz", 100), at=clock.now()) for who in (ann, bea))
    first = refunded(of_ann, 10, line=1)
    await receive(of_ann, first, of_bea)
    await wait(14)
    # The first one is told of again, as if nobody remembered that.
    async with sessions.begin() as session:
        await session.execute(text("DELETE FROM inbox"))
    await receive(
        first, refunded(of_ann, 20, line=1), refunded(of_bea, 10, line=1), refunded(of_bea, 20, line=1)
    )

    assert await account(loyalty, ann) == await account(loyalty, bea) == (2, [])
    async with sessions() as session:
        assert await reconcile.differences(await session.connection()) == []


async def test_pending_points_follow_a_merge_and_go_with_an_erasure(
    loyalty: httpx2.AsyncClient,
    receive: Receive,
    bought: MakeEvent,
    merged: MakeEvent,
    erased: MakeEvent,
    window: None,
    wait: Wait,
    clock: FrozenClock,
) -> None:
    ann, anne, bob = uuid7(), uuid7(), uuid7()
    await receive(bought(anne, ("jazz", 1500), at=clock.now()), bought(bob, ("jazz", 900), at=clock.now()))
    await receive(merged(anne, ann, uuid7()), erased(bob))

    assert await account(loyalty, ann) == (0, [15])
    await wait(14)
    assert await account(loyalty, ann) == (15, [])
    assert await account(loyalty, bob) == (0, [])


async def test_points_of_a_window_that_is_over_already_come_at_once(
    loyalty: httpx2.AsyncClient, receive: Receive, bought: MakeEvent, window: None, clock: FrozenClock
) -> None:
    ann = uuid7()

    await receive(bought(ann, ("jazz", 1500), at=clock.now() - timedelta(days=14)))

    assert await account(loyalty, ann) == (15, [])
