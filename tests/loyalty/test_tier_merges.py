"""Tiers of customers who are merged and parted again: what was reached, and what was given by hand."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from uuid import UUID

import httpx2
import pytest
from tests.loyalty.conftest import Give, MakeEvent, Receive
from tests.loyalty.purchases import refunded
from tests.loyalty.tiers import Json, tier

from crm_shared.ids import uuid7
from crm_shared.testing import FrozenClock

Grant = Callable[[UUID, str], Awaitable[None]]


@pytest.fixture
def grant(loyalty: httpx2.AsyncClient, clock: FrozenClock) -> Grant:
    """Gives a customer a tier by hand."""

    async def put(who: UUID, to: str) -> None:
        body = {"tier": to, "until": (clock.now() + timedelta(days=99)).isoformat(), "reason": "a guest"}
        given = await loyalty.put(f"/v1/accounts/{who}/tier/grant", json=body)
        assert given.status_code == 200, given.text

    return put


async def test_merged_customers_reach_together_what_none_of_them_did_and_part_with_what_they_had(
    loyalty: httpx2.AsyncClient,
    receive: Receive,
    purchased: MakeEvent,
    merged: MakeEvent,
    unmerged: MakeEvent,
    ladder: Json,
) -> None:
    survivor, absorbed, merge_id = uuid7(), uuid7(), uuid7()
    await receive(purchased(survivor, 12_000))
    await receive(purchased(absorbed, 40_000))
    before = [await tier(loyalty, who) for who in (survivor, absorbed)]
    await receive(merged(absorbed, survivor, merge_id))
    both = await tier(loyalty, absorbed)
    assert (both["customer_id"], both["tier"], both["total"]) == (str(survivor), "gold", 52_000)

    await receive(unmerged(absorbed, survivor, merge_id))
    after = [await tier(loyalty, who) for who in (survivor, absorbed)]
    same = ("customer_id", "tier", "why", "since", "until", "total")
    assert [[each[name] for name in same] for each in after] == [
        [each[name] for name in same] for each in before
    ]


async def test_a_tier_that_is_held_survives_a_merge(
    loyalty: httpx2.AsyncClient,
    give: Give,
    receive: Receive,
    purchased: MakeEvent,
    merged: MakeEvent,
    ladder: Json,
) -> None:
    survivor, absorbed = uuid7(), uuid7()
    purchase = purchased(absorbed, 50_000)
    await receive(purchase)
    await receive(refunded(purchase, 50_000))
    await give(survivor, 1)
    await receive(merged(absorbed, survivor, uuid7()))
    found = await tier(loyalty, survivor)
    assert (found["tier"], found["why"]) == ("gold", "held")


async def test_a_tier_that_was_given_by_hand_goes_back_to_whom_it_was_given(
    loyalty: httpx2.AsyncClient,
    give: Give,
    receive: Receive,
    merged: MakeEvent,
    unmerged: MakeEvent,
    ladder: Json,
    grant: Grant,
) -> None:
    survivor, absorbed, merge_id = uuid7(), uuid7(), uuid7()
    for who, to in ((survivor, "gold"), (absorbed, "black")):
        await give(who, 1)
        await grant(who, to)
    await receive(merged(absorbed, survivor, merge_id))
    assert (await tier(loyalty, survivor))["tier"] == "black"

    await receive(unmerged(absorbed, survivor, merge_id))
    assert [(await tier(loyalty, who))["tier"] for who in (survivor, absorbed)] == ["gold", "black"]


async def test_what_was_given_by_hand_while_they_were_one_outlasts_the_undoing(
    loyalty: httpx2.AsyncClient,
    give: Give,
    receive: Receive,
    merged: MakeEvent,
    unmerged: MakeEvent,
    ladder: Json,
    grant: Grant,
) -> None:
    survivor, absorbed, merge_id = uuid7(), uuid7(), uuid7()
    for who in (survivor, absorbed):
        await give(who, 1)
    await receive(merged(absorbed, survivor, merge_id))
    await grant(survivor, "black")

    await receive(unmerged(absorbed, survivor, merge_id))
    assert [(await tier(loyalty, who))["tier"] for who in (survivor, absorbed)] == ["black", None]


async def test_what_was_ended_by_hand_while_they_were_one_does_not_come_back(
    loyalty: httpx2.AsyncClient,
    give: Give,
    receive: Receive,
    merged: MakeEvent,
    unmerged: MakeEvent,
    ladder: Json,
    grant: Grant,
) -> None:
    survivor, absorbed, merge_id = uuid7(), uuid7(), uuid7()
    for who in (survivor, absorbed):
        await give(who, 1)
    await grant(survivor, "black")
    await receive(merged(absorbed, survivor, merge_id))
    assert (await loyalty.delete(f"/v1/accounts/{survivor}/tier/grant")).json()["tier"] is None

    await receive(unmerged(absorbed, survivor, merge_id))
    assert (await tier(loyalty, survivor))["tier"] is None
