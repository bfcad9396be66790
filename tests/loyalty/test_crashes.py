"""Between a request and its reply the connection may die at any point: asked again, it has happened once."""

from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import httpx2
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine
from tests.loyalty import coupons, test_quotes
from tests.loyalty.accounts import differences
from tests.loyalty.conftest import Give, MakeEvent, Receive
from tests.loyalty.crashing import NEVER, cut_off, dying, footprint, moments
from tests.loyalty.purchases import refunded
from tests.loyalty.test_rewards import offer, order
from tests.loyalty.tiers import LADDER, NEW

from crm_loyalty.handlers import due_work, subscriptions
from crm_shared import due
from crm_shared.contracts.base import Event
from crm_shared.database import Sessions
from crm_shared.ids import uuid7
from crm_shared.testing import FrozenClock, fresh_key, handle

Ask = tuple[str, Any]
"""A path and a body."""
Prepare = Callable[[httpx2.AsyncClient, UUID], Awaitable[Ask]]

FRIEND = uuid7()


async def made(loyalty: httpx2.AsyncClient, path: str, body: object) -> dict[str, Any]:
    answer = await loyalty.post(path, json=body, headers=fresh_key())
    assert answer.is_success, answer.text
    found: dict[str, Any] = answer.json()
    return found


def order_of(who: UUID) -> dict[str, str]:
    return {"source": "shop", "external_id": f"of {who}"}


async def spend(loyalty: httpx2.AsyncClient, who: UUID) -> Ask:
    return f"/v1/accounts/{who}/spend", {"points": 20, "order": order_of(who)}


async def hold(loyalty: httpx2.AsyncClient, who: UUID) -> Ask:
    return f"/v1/accounts/{who}/holds", {"points": 2, "expires_in": 60}


async def capture(loyalty: httpx2.AsyncClient, who: UUID) -> Ask:
    held = await made(loyalty, *await hold(loyalty, who))
    return f"/v1/accounts/{who}/holds/{held['id']}/capture", None


async def release(loyalty: httpx2.AsyncClient, who: UUID) -> Ask:
    held = await made(loyalty, *await hold(loyalty, who))
    return f"/v1/accounts/{who}/holds/{held['id']}/release", None


async def adjust(loyalty: httpx2.AsyncClient, who: UUID) -> Ask:
    return f"/v1/accounts/{who}/adjust", {"points": 5, "reason": "Sorry"}


async def transfer(loyalty: httpx2.AsyncClient, who: UUID) -> Ask:
    return f"/v1/accounts/{who}/transfers", {"to": str(FRIEND), "points": 2}


async def reverse(loyalty: httpx2.AsyncClient, who: UUID) -> Ask:
    spent = await made(loyalty, *await spend(loyalty, who))
    return f"/v1/transactions/{spent['transaction_id']}/reversal", {"reason": "a mistake"}


async def order_reward(loyalty: httpx2.AsyncClient, who: UUID) -> Ask:
    reward = await offer(loyalty, stock=1, max_total=1, max_per_customer=1)
    return f"/v1/accounts/{who}/reward-orders", {"reward": reward}


async def cancel_order(loyalty: httpx2.AsyncClient, who: UUID) -> Ask:
    placed = await order(loyalty, who, await offer(loyalty, stock=1))
    return f"/v1/reward-orders/{placed.json()['id']}/cancel", None


async def redeem_coupon(loyalty: httpx2.AsyncClient, who: UUID) -> Ask:
    code = await coupons.issue(loyalty, who, max_uses_per_customer=1)
    return "/v1/coupons/redeem", {
        "code": code,
        "customer_id": str(who),
        "order": order_of(who),
        "basket": coupons.BASKET,
    }


async def redeem_reservation(loyalty: httpx2.AsyncClient, who: UUID) -> Ask:
    code = await coupons.issue(loyalty, who)
    reserved = await coupons.ask(loyalty, "reserve", code, who, order=str(who))
    return f"/v1/coupon-uses/{reserved.json()['id']}/redeem", None


async def commit_quote(loyalty: httpx2.AsyncClient, who: UUID) -> Ask:
    code = await test_quotes.coupon(loyalty, who)
    named = await test_quotes.quote(loyalty, who, coupons=[code], points=100)
    return f"/v1/quotes/{named['id']}/commit", {"order": order_of(who)}


ROUTES = [
    *(spend, hold, capture, release, adjust, transfer, reverse),
    *(order_reward, cancel_order, redeem_coupon, redeem_reservation, commit_quote),
]


@pytest.mark.parametrize("prepare", ROUTES, ids=lambda prepare: prepare.__name__)
async def test_a_request_that_was_cut_off_anywhere_has_one_effect_and_one_reply(
    committed: dict[str, Sessions],
    engines: dict[str, AsyncEngine],
    loyalty: httpx2.AsyncClient,
    give: Give,
    prepare: Prepare,
) -> None:
    sessions, effects = committed["loyalty"], list[Counter[str]]()
    await give(FRIEND, 1)

    async def cut_off_at(moment: int) -> int:
        who = uuid7()
        await give(who, 500)
        path, body = await prepare(loyalty, who)
        before = await footprint(sessions)
        headers = {"Idempotency-Key": str(who)}
        with dying(engines["loyalty"], moment) as fate:
            first = await loyalty.post(path, json=body, headers=headers)
        again = await loyalty.post(path, json=body, headers=headers)
        assert first.is_success or first.status_code == 503, (moment, first.text)
        assert again.is_success, (moment, again.text)
        if first.is_success:
            assert again.json() == first.json()
            assert "Idempotency-Replayed" in again.headers
        effects.append(await footprint(sessions) - before)
        return fate.steps

    steps = await cut_off_at(NEVER)
    for moment in moments(steps):
        await cut_off_at(moment)

    [expected, *others] = effects
    assert [moment for moment, effect in zip(moments(steps), others, strict=True) if effect != expected] == []
    assert expected["idempotency_keys"] == 1
    assert await differences(sessions) == []


async def test_a_poll_that_was_cut_off_anywhere_has_one_effect(
    committed: dict[str, Sessions],
    engines: dict[str, AsyncEngine],
    loyalty: httpx2.AsyncClient,
    receive: Receive,
    bought: MakeEvent,
    clock: FrozenClock,
) -> None:
    """The worker dies before its commit, or between that and the offsets: the same records come again."""
    assert (await loyalty.put("/v1/tiers", json=LADDER, headers=NEW)).status_code == 200
    sessions, effects = committed["loyalty"], list[Counter[str]]()

    async def poll(events: list[Event]) -> None:
        async with sessions.begin() as session:
            await handle(session, subscriptions, events, at=clock.now())

    async def cut_off_at(moment: int) -> int:
        who = uuid7()
        await receive(bought(who, ("jazz", 5_000)))
        await made(loyalty, *await spend(loyalty, who))
        purchase = bought(who, ("jazz", 10_000), ("pop", 1_000))
        told = {"order_source": "shop", "order_external_id": f"of {who}"}
        events = [purchase, refunded(purchase, 4_000).model_copy(update=told)]
        before = await footprint(sessions)
        with dying(engines["loyalty"], moment) as fate, cut_off():
            await poll(events)
        await poll(events)
        effects.append(await footprint(sessions) - before)
        return fate.steps

    steps = await cut_off_at(NEVER)
    for moment in moments(steps):
        await cut_off_at(moment)

    [expected, *others] = effects
    assert [moment for moment, effect in zip(moments(steps), others, strict=True) if effect != expected] == []
    assert (expected["transactions"], expected["inbox"]) == (2, 2)
    assert await differences(sessions) == []


async def test_due_work_that_was_cut_off_anywhere_is_done_once(
    committed: dict[str, Sessions],
    engines: dict[str, AsyncEngine],
    give: Give,
    clock: FrozenClock,
) -> None:
    sessions = committed["loyalty"]

    async def cut_off_at(moment: int) -> int:
        for _ in range(3):
            await give(uuid7(), 10, expires_at=clock.now() + timedelta(minutes=1))
        clock.advance(timedelta(minutes=1))
        before = await footprint(sessions)
        with dying(engines["loyalty"], moment) as fate, cut_off():
            await due.run(sessions, due_work, clock)
        while await due.run(sessions, due_work, clock):
            pass
        assert (await footprint(sessions))["transactions"] == before["transactions"] + 3, moment
        assert (await footprint(sessions))["due"] == 0, moment
        return fate.steps

    for moment in moments(await cut_off_at(NEVER)):
        await cut_off_at(moment)

    assert await differences(sessions) == []
