"""Rewards: points and stock go together, every refusal has its code, and what is cancelled comes back."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import httpx2
import pytest
from sqlalchemy import text
from tests.conftest import ClientFactory
from tests.loyalty.accounts import balance
from tests.loyalty.conftest import Give, MakeEvent, Receive

from crm_loyalty import reconcile
from crm_shared.callers import Role
from crm_shared.contracts.segmentation import LevelChanged
from crm_shared.database import Sessions
from crm_shared.ids import uuid7
from crm_shared.testing import arrived, fresh_key, published

Answer = httpx2.Response

GIFT: dict[str, Any] = {"kind": "gift", "names": {"en": "A record bag"}, "points": 100}


async def offer(loyalty: httpx2.AsyncClient, *, stock: int = 0, **changes: Any) -> str:
    """A reward on offer, and its key."""
    name = f"r-{uuid7().hex}"
    put = await loyalty.put(f"/v1/rewards/{name}", json=GIFT | changes, headers={"If-None-Match": "*"})
    assert put.status_code == 200, put.text
    if stock:
        filled = await loyalty.post(
            f"/v1/rewards/{name}/restock", json={"change": stock}, headers=fresh_key()
        )
        assert filled.json()["remaining"] == stock, filled.text
    return name


async def order(
    loyalty: httpx2.AsyncClient,
    customer: UUID,
    reward: str,
    quantity: int = 1,
    headers: dict[str, str] | None = None,
) -> Answer:
    return await loyalty.post(
        f"/v1/accounts/{customer}/reward-orders",
        json={"reward": reward, "quantity": quantity},
        headers=headers or fresh_key(),
    )


async def step(loyalty: httpx2.AsyncClient, order_id: str, name: str, body: object = None) -> Answer:
    return await loyalty.post(f"/v1/reward-orders/{order_id}/{name}", json=body, headers=fresh_key())


async def test_an_order_takes_points_and_stock_and_goes_its_way(
    loyalty: httpx2.AsyncClient, give: Give, sessions: Sessions
) -> None:
    customer = uuid7()
    await give(customer, 500)
    reward = await offer(loyalty, stock=10)

    placed = await order(loyalty, customer, reward, 2)
    assert placed.status_code == 201, placed.text
    assert (await loyalty.get(f"/v1/rewards/{reward}")).json()["remaining"] == 8
    assert await balance(loyalty, customer) == 300

    id = placed.json()["id"]
    assert (await step(loyalty, id, "pack")).json()["state"] == "packed"
    assert (await step(loyalty, id, "ship", {"tracking": "SF1"})).json()["tracking"] == "SF1"
    assert (await step(loyalty, id, "deliver")).json()["state"] == "delivered"
    late = await step(loyalty, id, "cancel")
    assert (late.status_code, late.json()["code"], late.json()["state"]) == (
        409,
        "order_state_conflict",
        "delivered",
    )

    steps = (await loyalty.get(placed.headers["Location"])).json()["steps"]
    assert [each["state"] for each in steps] == ["ordered", "packed", "shipped", "delivered"]
    assert all(each["by"] for each in steps)
    told = [row.type for row in await published(sessions) if ".reward." in row.type]
    assert told == [f"loyalty.reward.{what}.v1" for what in ("ordered", "shipped", "delivered")]


async def test_a_cancelled_order_gives_points_and_stock_back_once(
    loyalty: httpx2.AsyncClient, give: Give
) -> None:
    customer = uuid7()
    await give(customer, 100)
    reward = await offer(loyalty, stock=1, max_total=1, max_per_customer=1)
    placed = (await order(loyalty, customer, reward)).json()["id"]

    assert (await step(loyalty, placed, "cancel")).json()["state"] == "cancelled"
    assert (await step(loyalty, placed, "cancel")).status_code == 409

    assert await balance(loyalty, customer) == 100
    left = (await loyalty.get(f"/v1/rewards/{reward}")).json()
    assert (left["remaining"], left["ordered"]) == (1, 0)
    assert (await order(loyalty, customer, reward)).status_code == 201


async def test_points_of_an_order_do_not_come_back_while_it_stands(
    loyalty: httpx2.AsyncClient, give: Give
) -> None:
    customer = uuid7()
    await give(customer, 100)
    placed = (await order(loyalty, customer, await offer(loyalty, stock=1))).json()["id"]
    entries = (await loyalty.get(f"/v1/accounts/{customer}/entries")).json()["items"]
    [spend] = [each["transaction_id"] for each in entries if each["kind"] == "spend"]

    refused = await loyalty.post(
        f"/v1/transactions/{spend}/reversal", json={"reason": "typo"}, headers=fresh_key()
    )

    assert (refused.status_code, refused.json()["code"]) == (409, "reward_was_ordered")
    assert refused.json()["order_id"] == placed
    assert await balance(loyalty, customer) == 0
    assert (await step(loyalty, placed, "cancel")).status_code == 200
    assert await balance(loyalty, customer) == 100
    late = await loyalty.post(
        f"/v1/transactions/{spend}/reversal", json={"reason": "typo"}, headers=fresh_key()
    )
    assert (late.status_code, late.json()["code"]) == (409, "nothing_to_reverse")


async def test_a_reward_that_needs_approval_is_not_sent_without(
    loyalty: httpx2.AsyncClient, give: Give, client: ClientFactory
) -> None:
    customer = uuid7()
    await give(customer, 100)
    placed = (await order(loyalty, customer, await offer(loyalty, stock=1, needs_approval=True))).json()["id"]

    assert (await step(loyalty, placed, "ship", {})).status_code == 409
    assert (await step(client("loyalty", Role.AGENT), placed, "approve")).status_code == 403
    assert (await step(client("loyalty", Role.SUPERVISOR), placed, "approve")).status_code == 200
    assert (await step(loyalty, placed, "ship", {})).status_code == 200


async def test_a_reward_may_be_for_some_levels_only(
    loyalty: httpx2.AsyncClient, give: Give, receive: Receive
) -> None:
    customer = uuid7()
    await give(customer, 100)
    reward = await offer(loyalty, stock=1, levels=["vip"])
    assert (await order(loyalty, customer, reward)).json()["code"] == "not_for_this_tier"

    became = {"level": "vip", "reason": "figures", "thresholds_version": 1, "business_day": "2026-02-01"}
    known = {"customer_id": customer, "version": 1}
    await receive(arrived(LevelChanged.model_validate(known | became)))

    assert (await order(loyalty, customer, reward)).status_code == 201


@pytest.mark.parametrize(
    ("changes", "stock", "code"),
    [
        ({}, 0, "out_of_stock"),
        ({"points": 101}, 5, "insufficient_points"),
        ({"max_total": 1, "limited": False}, 0, "limit_reached"),
        ({"max_per_customer": 1}, 5, "limit_reached"),
        ({"valid_from": "2027-01-01T00:00:00Z"}, 5, "not_yet_valid"),
        ({"valid_until": "2025-01-01T00:00:00Z"}, 5, "no_longer_valid"),
        ({"tiers": ["gold"]}, 5, "not_for_this_tier"),
        ({"active": False}, 5, "reward_not_offered"),
    ],
)
async def test_each_refusal_has_its_code_and_takes_nothing(
    loyalty: httpx2.AsyncClient, give: Give, changes: dict[str, Any], stock: int, code: str
) -> None:
    customer = uuid7()
    await give(customer, 100)
    reward = await offer(loyalty, stock=stock, **({"points": 50} | changes))

    refused = await order(loyalty, customer, reward, 2)

    assert (refused.status_code, refused.json()["code"]) == (409, code)
    assert await balance(loyalty, customer) == 100
    assert (await loyalty.get(f"/v1/rewards/{reward}")).json()["ordered"] == 0


async def test_a_hundred_parallel_orders_never_oversell(
    committed: dict[str, Sessions], loyalty: httpx2.AsyncClient, give: Give
) -> None:
    people = [uuid7() for _ in range(50)]
    for person in people:
        await give(person, 200)
    reward = await offer(loyalty, stock=30, max_per_customer=1)

    async def insist(person: UUID) -> Answer:
        once = fresh_key()
        while True:
            answer = await order(loyalty, person, reward, headers=once)
            if answer.status_code not in (503, 504):
                return answer
            await asyncio.sleep(0.05)

    answers = await asyncio.gather(*(insist(person) for person in people * 2))

    assert Counter(answer.status_code for answer in answers) == {201: 30, 409: 70}
    refusals = {answer.json()["code"] for answer in answers if answer.status_code == 409}
    assert refusals <= {"out_of_stock", "limit_reached"}
    buyers = [answer.json()["customer_id"] for answer in answers if answer.status_code == 201]
    assert len(set(buyers)) == 30
    left = (await loyalty.get(f"/v1/rewards/{reward}")).json()
    assert (left["remaining"], left["ordered"]) == (0, 30)
    async with committed["loyalty"]() as session:
        assert await session.scalar(text("SELECT sum(balance) FROM accounts")) == 50 * 200 - 30 * 100
        assert await reconcile.differences(await session.connection()) == []


async def test_of_parallel_cancellations_one_gives_back(
    committed: dict[str, Sessions], loyalty: httpx2.AsyncClient, give: Give
) -> None:
    customer = uuid7()
    await give(customer, 100)
    placed = (await order(loyalty, customer, await offer(loyalty, stock=1))).json()["id"]

    answers = await asyncio.gather(*(step(loyalty, placed, "cancel") for _ in range(20)))

    codes = Counter(answer.status_code for answer in answers)
    assert codes[200] == 1
    assert codes.keys() <= {200, 409, 503}
    assert await balance(loyalty, customer) == 100


async def test_the_catalogue_is_written_in_versions(loyalty: httpx2.AsyncClient) -> None:
    reward = await offer(loyalty)

    blind = await loyalty.put(f"/v1/rewards/{reward}", json=GIFT)
    stale = await loyalty.put(f"/v1/rewards/{reward}", json=GIFT, headers={"If-Match": '"7"'})
    changed = await loyalty.put(
        f"/v1/rewards/{reward}", json=GIFT | {"points": 120}, headers={"If-Match": '"1"'}
    )

    assert (blind.status_code, stale.status_code) == (428, 412)
    assert (changed.json()["version"], changed.json()["points"]) == (2, 120)
    hidden = await offer(loyalty, active=False)
    offered = (await loyalty.get("/v1/rewards", params={"offered": True, "limit": 200})).json()["items"]
    assert reward in {each["key"] for each in offered}
    assert hidden not in {each["key"] for each in offered}


async def test_after_a_merge_the_survivor_has_both_ones_orders_and_one_limit(
    loyalty: httpx2.AsyncClient, give: Give, receive: Receive, merged: MakeEvent, unmerged: MakeEvent
) -> None:
    old, new, merge = uuid7(), uuid7(), uuid7()
    await give(old, 200)
    await give(new, 200)
    reward = await offer(loyalty, stock=5, max_per_customer=1)
    await order(loyalty, old, reward)
    await receive(merged(old, new, merge))

    assert (await order(loyalty, new, reward)).json()["code"] == "limit_reached"
    assert len((await loyalty.get(f"/v1/accounts/{new}/reward-orders")).json()["items"]) == 1

    await receive(unmerged(old, new, merge))
    assert (await loyalty.get(f"/v1/accounts/{new}/reward-orders")).json()["items"] == []
    assert (await order(loyalty, new, reward)).status_code == 201


async def test_erasure_clears_where_an_order_was_sent(
    loyalty: httpx2.AsyncClient, give: Give, receive: Receive, erased: MakeEvent
) -> None:
    customer = uuid7()
    await give(customer, 100)
    body = {"reward": await offer(loyalty, stock=1), "deliver_to": "Canton Road 5"}
    placed = await loyalty.post(f"/v1/accounts/{customer}/reward-orders", json=body, headers=fresh_key())
    assert placed.json()["deliver_to"] == "Canton Road 5"

    await receive(erased(customer))

    left = (await loyalty.get(placed.headers["Location"])).json()
    assert (left["deliver_to"], left["points"]) == (None, 100)


async def test_an_order_of_who_was_erased_is_cancelled_and_all_comes_back_once(
    loyalty: httpx2.AsyncClient,
    sessions: Sessions,
    give: Give,
    receive: Receive,
    erased: MakeEvent,
    pool: Callable[..., Awaitable[str]],
) -> None:
    gone, other = uuid7(), uuid7()
    await give(gone, 60)
    await give(other, 40)
    await pool([gone, other])
    reward = await offer(loyalty, stock=1)
    placed = (await order(loyalty, gone, reward)).json()
    assert await balance(loyalty, other) == 0
    await receive(erased(gone))

    cancelled = await step(loyalty, placed["id"], "cancel")
    again = await step(loyalty, placed["id"], "cancel")

    assert (cancelled.status_code, cancelled.json()["state"]) == (200, "cancelled")
    assert (again.status_code, again.json()["code"]) == (409, "order_state_conflict")
    assert await balance(loyalty, other) == 40
    assert (await loyalty.get(f"/v1/rewards/{reward}")).json()["remaining"] == 1
    async with sessions() as session:
        left = await session.scalar(
            text("SELECT balance FROM accounts WHERE origin_customer_id = :gone"), {"gone": gone}
        )
        assert left == 60
        assert await reconcile.differences(await session.connection()) == []
    refused = await loyalty.post(f"/v1/accounts/{gone}/spend", json={"points": 1}, headers=fresh_key())
    assert (refused.status_code, refused.json()["code"]) == (410, "customer_was_erased")
