"""Giving back what was taken with a price, until its order is bought: then refunds do."""

import asyncio
from collections import Counter
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import httpx2
import pytest
from sqlalchemy import text
from tests.loyalty.accounts import balance, balances, differences
from tests.loyalty.conftest import Give, Household, MakeEvent, Receive
from tests.loyalty.coupons import BASKET, ask, issue
from tests.loyalty.pool_spending import leave, lots, post
from tests.patience import patiently

from crm_shared.contracts.base import Event, Money
from crm_shared.contracts.profiles import PurchaseRecorded
from crm_shared.database import Sessions
from crm_shared.ids import uuid7
from crm_shared.testing import FrozenClock, arrived, fresh_key

REASON = {"reason": "the card was declined"}


async def quote(loyalty: httpx2.AsyncClient, customer: UUID, **more: Any) -> str:
    answer = await post(loyalty, "/v1/quotes", {"customer_id": str(customer), "basket": BASKET} | more)
    assert answer.status_code == 201, answer.text
    assert answer.json()["not_used"] == []
    return str(answer.json()["id"])


async def commit(loyalty: httpx2.AsyncClient, quote_id: str, order: str = "1017") -> httpx2.Response:
    body = {"order": {"source": "shop", "external_id": order}}
    return await post(loyalty, f"/v1/quotes/{quote_id}/commit", body)


async def taken(loyalty: httpx2.AsyncClient, customer: UUID, order: str = "1017", **more: Any) -> str:
    quote_id = await quote(loyalty, customer, **more)
    committed = await commit(loyalty, quote_id, order)
    assert committed.status_code == 200, committed.text
    return quote_id


async def release(loyalty: httpx2.AsyncClient, quote_id: str) -> httpx2.Response:
    return await post(loyalty, f"/v1/quotes/{quote_id}/release", REASON)


def bought(customer: UUID, at: datetime, order: str = "1017") -> Event:
    purchase = PurchaseRecorded(
        customer_id=customer,
        version=1,
        purchase_id=uuid7(),
        source="shop",
        external_id=order,
        occurred_at=at,
        total=Money(amount=0, currency="USD"),
        lines=[],
    )
    return arrived(purchase)


async def test_what_was_taken_comes_back_as_it_was_and_the_order_may_take_another_price(
    sessions: Sessions, loyalty: httpx2.AsyncClient, give: Give, clock: FrozenClock
) -> None:
    customer = uuid7()
    await give(customer, 60, expires_at=clock.now() + timedelta(days=3))
    await give(customer, 60)
    before = await lots(loyalty, customer)
    code = await issue(loyalty, customer, max_uses=1)
    first = await taken(loyalty, customer, coupons=[code], points=100)
    spent = await balance(loyalty, customer)
    key = fresh_key()

    released = await loyalty.post(f"/v1/quotes/{first}/release", json=REASON, headers=key)
    replayed = await loyalty.post(f"/v1/quotes/{first}/release", json=REASON, headers=key)
    again, retaken = await release(loyalty, first), await commit(loyalty, first)

    assert (spent, released.status_code, released.json()["state"]) == (20, 200, "released")
    assert replayed.json() == released.json() == (await loyalty.get(f"/v1/quotes/{first}")).json()
    assert [(each.status_code, each.json()["code"]) for each in (again, retaken)] == [
        (409, "quote_released")
    ] * 2
    assert await lots(loyalty, customer) == before
    [entry, *_] = (await loyalty.get(f"/v1/accounts/{customer}/entries")).json()["items"]
    assert (entry["kind"], entry["reason"]) == ("reverse", REASON["reason"])
    assert (await ask(loyalty, "check", code, customer)).json()["usable"] is True
    second = await taken(loyalty, customer, coupons=[code], points=100)
    assert (await release(loyalty, second)).status_code == 200
    assert await balance(loyalty, customer) == 120
    assert await differences(sessions) == []


async def test_only_what_was_taken_is_released(
    loyalty: httpx2.AsyncClient, give: Give, clock: FrozenClock
) -> None:
    customer = uuid7()
    await give(customer, 100)
    open_ = await quote(loyalty, customer, points=10)
    code = await issue(loyalty, customer)
    of_a_coupon = await taken(loyalty, customer, coupons=[code])

    refused, missing = await release(loyalty, open_), await release(loyalty, str(uuid7()))
    unexplained = await post(loyalty, f"/v1/quotes/{of_a_coupon}/release", {"reason": " "})

    assert (refused.status_code, refused.json()["code"]) == (409, "quote_not_committed")
    assert (missing.status_code, missing.json()["code"]) == (404, "quote_not_found")
    assert (unexplained.status_code, unexplained.json()["errors"][0]["pointer"]) == (422, "/reason")
    assert (await release(loyalty, of_a_coupon)).json()["state"] == "released"
    assert (await commit(loyalty, open_)).status_code == 200


async def test_once_the_order_is_bought_only_refunds_give_anything_back(
    loyalty: httpx2.AsyncClient,
    give: Give,
    receive: Receive,
    merged: MakeEvent,
    clock: FrozenClock,
) -> None:
    customer, survivor = uuid7(), uuid7()
    for who in (customer, survivor):
        await give(who, 100)
    ordered, other = (
        await taken(loyalty, customer, points=60),
        await taken(loyalty, customer, "1018", points=10),
    )
    await receive(merged(customer, survivor, uuid7()))

    await receive(bought(survivor, clock.now()))
    refused, released = await release(loyalty, ordered), await release(loyalty, other)

    assert (refused.status_code, refused.json()["code"]) == (409, "order_was_purchased")
    assert released.status_code == 200, "that was another order"
    shown = (await commit(loyalty, ordered)).json()
    assert (shown["state"], shown["order"]["external_id"]) == ("purchased", "1017")
    assert await balance(loyalty, survivor) == 140
    another = await quote(loyalty, survivor, points=1)
    assert (await commit(loyalty, another)).json()["code"] == "order_has_price"


async def test_points_of_a_household_go_back_to_whom_they_came_from(
    sessions: Sessions, loyalty: httpx2.AsyncClient, give: Give, pool: Household
) -> None:
    ann, bea = uuid7(), uuid7()
    await give(ann, 10)
    await give(bea, 50)
    pool_id = await pool([ann, bea])
    ordered = await taken(loyalty, ann, points=40)
    await leave(loyalty, pool_id, bea)

    released = await release(loyalty, ordered)

    assert released.status_code == 200
    assert await balances(sessions) == {ann: (10, 0), bea: (50, 0)}
    assert await differences(sessions) == []


async def test_what_somebody_gave_back_by_hand_does_not_come_twice(
    sessions: Sessions, loyalty: httpx2.AsyncClient, give: Give
) -> None:
    customer = uuid7()
    await give(customer, 100)
    ordered = await taken(loyalty, customer, points=60)
    [entry, *_] = (await loyalty.get(f"/v1/accounts/{customer}/entries")).json()["items"]
    by_hand = await post(loyalty, f"/v1/transactions/{entry['transaction_id']}/reversal", REASON)

    released = await release(loyalty, ordered)

    assert (by_hand.status_code, released.status_code) == (201, 200)
    assert await balance(loyalty, customer) == 100
    assert await differences(sessions) == []


@pytest.mark.parametrize("order_of_start", ["the purchase first", "the release first"])
async def test_of_a_release_and_the_purchase_at_once_one_counts(
    committed: dict[str, Sessions],
    loyalty: httpx2.AsyncClient,
    give: Give,
    receive: Receive,
    clock: FrozenClock,
    order_of_start: str,
) -> None:
    people = [uuid7() for _ in range(8)]
    for customer in people:
        await give(customer, 100)
    ordered = [await taken(loyalty, customer, str(customer), points=60) for customer in people]

    async def let_go(quote_id: str) -> int:
        return (await patiently(lambda: release(loyalty, quote_id))).status_code

    async def buy(customer: UUID) -> None:
        await receive(bought(customer, clock.now(), str(customer)))

    work = [each for pair in zip(ordered, people, strict=True) for each in (let_go(pair[0]), buy(pair[1]))]
    work += [let_go(quote_id) for quote_id in ordered]
    if order_of_start == "the purchase first":
        work.reverse()
    done = await asyncio.gather(*work)

    statuses = Counter(each for each in done if each is not None)
    states = [(await loyalty.get(f"/v1/quotes/{quote_id}")).json()["state"] for quote_id in ordered]
    left = [await balance(loyalty, customer) for customer in people]
    assert statuses == Counter({200: states.count("released"), 409: 16 - states.count("released")})
    assert left == [{"released": 100, "purchased": 40}[state] for state in states]
    assert await differences(committed["loyalty"]) == []


async def test_a_release_that_waits_for_the_purchase_finds_it_bought(
    committed: dict[str, Sessions],
    loyalty: httpx2.AsyncClient,
    give: Give,
    receive: Receive,
    clock: FrozenClock,
) -> None:
    customer = uuid7()
    await give(customer, 100)
    ordered = await taken(loyalty, customer, points=60)
    async with committed["loyalty"].begin() as session:
        await session.execute(text("SELECT FROM accounts FOR UPDATE"))
        poll = asyncio.ensure_future(receive(bought(customer, clock.now())))
        await waiting(committed["loyalty"], 1)
        asked = asyncio.create_task(release(loyalty, ordered))
        await waiting(committed["loyalty"], 2)
    await poll

    assert (await asked).json()["code"] == "order_was_purchased"
    assert await balance(loyalty, customer) == 40


async def waiting(sessions: Sessions, number: int) -> None:
    """Until so many wait for a lock."""
    async with sessions() as onlooker:
        for _ in range(500):
            found = await onlooker.scalar(text("SELECT count(DISTINCT pid) FROM pg_locks WHERE NOT granted"))
            if found == number:
                return
            await asyncio.sleep(0.01)
    raise AssertionError(f"{number} were to wait")
