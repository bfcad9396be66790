"""Referrals: who brings whom, once, and what both get when the friend has ordered."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import httpx2
import pytest
from tests.conftest import ClientFactory
from tests.loyalty.accounts import balance
from tests.loyalty.conftest import MakeEvent, Receive
from tests.loyalty.figures import given
from tests.loyalty.purchases import refunded
from tests.patience import patiently

from crm_loyalty import reconcile
from crm_loyalty.handlers import due_work
from crm_shared import due
from crm_shared.callers import Role
from crm_shared.contracts.base import Money
from crm_shared.contracts.profiles import PurchaseRecorded
from crm_shared.database import Sessions
from crm_shared.ids import uuid7
from crm_shared.testing import FrozenClock, arrived, fresh_key, published

TERMS: dict[str, Any] = {
    "active": True,
    "points_referrer": 500,
    "points_friend": 200,
    "currency": "USD",
    "minimum_order": 2000,
    "qualify_days": 30,
    "return_days": 14,
}


async def write_terms(loyalty: httpx2.AsyncClient, **changes: Any) -> None:
    path = "/v1/programme/referral-policy"
    seen = (await loyalty.get(path)).headers["ETag"]
    answer = await loyalty.put(path, json=TERMS | changes, headers={"If-Match": seen})
    assert answer.status_code == 200, answer.text


@pytest.fixture
async def terms(loyalty: httpx2.AsyncClient, put: Callable[..., Awaitable[None]]) -> dict[str, Any]:
    """Referrals are worth something, and purchases nothing."""
    await put("base", rate={"kind": "fixed", "points": 1}, active=False)
    await write_terms(loyalty)
    return TERMS


async def known(receive: Receive, created: MakeEvent, count: int) -> list[UUID]:
    ids = [uuid7() for _ in range(count)]
    await receive(*(created(id) for id in ids))
    return ids


async def code_of(loyalty: httpx2.AsyncClient, customer: UUID) -> str:
    answer = await loyalty.put(f"/v1/accounts/{customer}/referral-code")
    assert answer.status_code == 200, answer.text
    return str(answer.json()["code"])


async def claim(loyalty: httpx2.AsyncClient, code: str, friend: UUID) -> httpx2.Response:
    body = {"code": code, "customer_id": str(friend)}
    return await patiently(lambda: loyalty.post("/v1/referrals", json=body, headers=fresh_key()))


async def due_work_runs(sessions: Sessions, clock: FrozenClock) -> None:
    while await due.run(sessions, due_work, clock):
        pass


def order(customer: UUID, cents: int, at: datetime) -> PurchaseRecorded:
    return PurchaseRecorded(
        customer_id=customer,
        version=1,
        purchase_id=uuid7(),
        source="shop",
        external_id=str(uuid7()),
        occurred_at=at,
        total=Money(amount=cents, currency="USD"),
        lines=[],
    )


async def test_both_get_points_once_when_the_friend_has_ordered(
    loyalty: httpx2.AsyncClient,
    receive: Receive,
    created: MakeEvent,
    terms: dict[str, Any],
    sessions: Sessions,
    clock: FrozenClock,
) -> None:
    ann, ben = await known(receive, created, 2)
    claimed = await claim(loyalty, (await code_of(loyalty, ann)).lower(), ben)
    assert claimed.status_code == 201, claimed.text
    assert (await loyalty.get("/v1/programme/referral-policy")).json()["points_friend"] == 200
    small, large = (order(ben, cents, clock.now()) for cents in (1999, 2000))

    await receive(arrived(small))
    await due_work_runs(sessions, clock)
    assert (await balance(loyalty, ann), await balance(loyalty, ben)) == (0, 0)
    for _ in range(2):
        await receive(arrived(large))
        await receive(arrived(order(ben, 9000, clock.now())))
        await due_work_runs(sessions, clock)

    assert (await balance(loyalty, ann), await balance(loyalty, ben)) == (500, 200)
    assert (await given(loyalty))["referrals"] == 700
    found = (await loyalty.get(f"/v1/referrals/{claimed.json()['id']}")).json()
    assert (found["state"], found["purchase_id"]) == ("qualified", str(large.purchase_id))
    told = [row for row in await published(sessions) if row.type == "loyalty.referral.qualified.v1"]
    assert [row.key for row in told] == [str(ben)]
    assert f'"referrer_id":"{ann}"' in told[0].data
    async with sessions() as session:
        assert await reconcile.differences(await session.connection()) == []


async def test_an_order_that_comes_back_as_a_whole_in_time_takes_the_points_back(
    loyalty: httpx2.AsyncClient,
    receive: Receive,
    created: MakeEvent,
    terms: dict[str, Any],
    sessions: Sessions,
    clock: FrozenClock,
) -> None:
    ann, *friends = await known(receive, created, 4)
    code = await code_of(loyalty, ann)
    orders = []
    for friend in friends:
        assert (await claim(loyalty, code, friend)).status_code == 201
        orders.append(order(friend, 3000, clock.now()))
    await receive(*map(arrived, orders))
    await due_work_runs(sessions, clock)
    assert await balance(loyalty, ann) == 1500

    in_time, late = clock.now() + timedelta(days=14), clock.now() + timedelta(days=15)
    for _ in range(2):
        await receive(refunded(orders[0], at=in_time), refunded(orders[1], at=late))
        await receive(refunded(orders[2], 2999, at=in_time))
        await due_work_runs(sessions, clock)

    assert await balance(loyalty, ann) == 1000
    assert [await balance(loyalty, friend) for friend in friends] == [0, 200, 200]
    reversed_ = (await loyalty.get(f"/v1/referrals?referrer_id={ann}&state=reversed")).json()["items"]
    assert [each["customer_id"] for each in reversed_] == [str(friends[0])]


async def test_an_order_before_the_points_were_given_can_come_back_too(
    loyalty: httpx2.AsyncClient,
    receive: Receive,
    created: MakeEvent,
    terms: dict[str, Any],
    sessions: Sessions,
    clock: FrozenClock,
) -> None:
    ann, ben = await known(receive, created, 2)
    await claim(loyalty, await code_of(loyalty, ann), ben)
    bought = order(ben, 3000, clock.now())

    await receive(arrived(bought), refunded(bought, at=clock.now()))
    await due_work_runs(sessions, clock)

    assert (await balance(loyalty, ann), await balance(loyalty, ben)) == (0, 0)


async def test_each_refusal_says_why(
    loyalty: httpx2.AsyncClient,
    receive: Receive,
    created: MakeEvent,
    merged: MakeEvent,
    erased: MakeEvent,
    terms: dict[str, Any],
    clock: FrozenClock,
) -> None:
    ann, ben, cem, old, alias, gone = await known(receive, created, 6)
    codes = {id: await code_of(loyalty, id) for id in (ann, ben, cem)}
    await receive(arrived(order(old, 100, clock.now())), merged(alias, ann, uuid7()))
    await receive(erased(gone))

    async def refusal(code: str, friend: UUID) -> tuple[int, str]:
        answer = await claim(loyalty, code, friend)
        return answer.status_code, answer.json()["code"]

    wrong = codes[ann][:-1] + ("2" if codes[ann][-1] != "2" else "3")
    assert await refusal(wrong, ben) == (422, "invalid_referral_code")
    assert await refusal(codes[ann], ann) == (409, "self_referral")
    assert await refusal(codes[ann], alias) == (409, "self_referral")
    assert await refusal(codes[ann], old) == (409, "not_a_new_customer")
    assert await refusal(codes[ann], gone) == (410, "customer_was_erased")
    assert await refusal(codes[ann], uuid7()) == (404, "account_not_found")
    assert (await claim(loyalty, codes[ann], ben)).status_code == 201
    assert await refusal(codes[cem], ben) == (409, "already_referred")
    assert (await claim(loyalty, codes[ben], cem)).status_code == 201
    assert await refusal(codes[cem], alias) == (409, "referral_circle")
    await write_terms(loyalty, active=False)
    assert await refusal(codes[cem], ann) == (409, "referrals_closed")


async def test_who_ordered_before_the_claim_was_no_new_customer(
    loyalty: httpx2.AsyncClient,
    receive: Receive,
    created: MakeEvent,
    terms: dict[str, Any],
    sessions: Sessions,
    clock: FrozenClock,
) -> None:
    ann, ben, cem = await known(receive, created, 3)
    code = await code_of(loyalty, ann)
    before = clock.now() - timedelta(days=1)
    for friend in (ben, cem):
        await claim(loyalty, code, friend)

    await receive(arrived(order(ben, 5000, clock.now())), arrived(order(ben, 5000, before)))
    await receive(arrived(order(cem, 5000, clock.now() + timedelta(days=31))))
    await due_work_runs(sessions, clock)

    assert await balance(loyalty, ann) == 0
    found = (await loyalty.get(f"/v1/referrals?referrer_id={ann}")).json()["items"]
    assert [each["state"] for each in found] == ["claimed", "void"]


async def test_a_referral_of_two_who_turn_out_to_be_one_is_void(
    loyalty: httpx2.AsyncClient,
    receive: Receive,
    created: MakeEvent,
    merged: MakeEvent,
    terms: dict[str, Any],
    sessions: Sessions,
    clock: FrozenClock,
) -> None:
    ann, ben = await known(receive, created, 2)
    claimed = await claim(loyalty, await code_of(loyalty, ann), ben)
    await receive(arrived(order(ben, 5000, clock.now())))
    await receive(merged(ben, ann, uuid7()))
    await due_work_runs(sessions, clock)

    assert (await loyalty.get(f"/v1/referrals/{claimed.json()['id']}")).json()["state"] == "void"
    assert await balance(loyalty, ann) == 0


async def test_who_turns_out_to_be_an_old_customer_was_not_brought_by_anybody(
    loyalty: httpx2.AsyncClient,
    receive: Receive,
    created: MakeEvent,
    merged: MakeEvent,
    terms: dict[str, Any],
    sessions: Sessions,
    clock: FrozenClock,
) -> None:
    ann, ben, again = await known(receive, created, 3)
    await receive(arrived(order(ben, 5000, clock.now() - timedelta(days=30))))
    claimed = await claim(loyalty, await code_of(loyalty, ann), again)
    await receive(merged(again, ben, uuid7()))
    await receive(arrived(order(ben, 5000, clock.now() + timedelta(days=1))))
    await due_work_runs(sessions, clock)

    assert (await loyalty.get(f"/v1/referrals/{claimed.json()['id']}")).json()["state"] == "void"
    assert (await balance(loyalty, ann), await balance(loyalty, ben)) == (0, 0)


@pytest.mark.parametrize("ordered_before", [False, True])
async def test_two_friends_who_turn_out_to_be_one_count_once(
    ordered_before: bool,
    loyalty: httpx2.AsyncClient,
    receive: Receive,
    created: MakeEvent,
    merged: MakeEvent,
    terms: dict[str, Any],
    sessions: Sessions,
    clock: FrozenClock,
) -> None:
    ann, ben, again = await known(receive, created, 3)
    code = await code_of(loyalty, ann)
    for friend in (ben, again):
        assert (await claim(loyalty, code, friend)).status_code == 201
    if ordered_before:
        await receive(arrived(order(ben, 5000, clock.now())))
    await receive(merged(again, ben, uuid7()))
    await receive(arrived(order(ben, 5000, clock.now() + timedelta(days=1))))
    await due_work_runs(sessions, clock)

    assert (await balance(loyalty, ann), await balance(loyalty, ben)) == (500, 200)


async def test_of_many_claims_at_once_as_many_count_as_the_limit_allows(
    committed: dict[str, Sessions],
    loyalty: httpx2.AsyncClient,
    receive: Receive,
    created: MakeEvent,
    clock: FrozenClock,
) -> None:
    await write_terms(loyalty, max_per_referrer=3)
    ann, ben, *friends = await known(receive, created, 10)
    codes = [await code_of(loyalty, id) for id in (ann, ben)]

    many = await asyncio.gather(*(claim(loyalty, codes[0], friend) for friend in friends))
    assert Counter(answer.status_code for answer in many) == {201: 3, 409: 5}
    assert {a.json()["code"] for a in many if a.status_code == 409} == {"limit_reached"}

    both = await asyncio.gather(claim(loyalty, codes[1], friends[-1]), claim(loyalty, codes[1], friends[-1]))
    refused = [a for a in both if a.status_code == 409]
    assert all(a.json()["code"] == "already_referred" for a in refused)
    assert len(refused) >= 1


async def test_a_customer_reads_only_the_own_code(
    loyalty: httpx2.AsyncClient, client: ClientFactory, receive: Receive, created: MakeEvent
) -> None:
    ann, ben = await known(receive, created, 2)
    own = client("loyalty", Role.CUSTOMER, customer_id=ann)

    assert (await own.get(f"/v1/accounts/{ann}/referral-code")).json()["code"] == "referral_code_not_found"
    code = await code_of(own, ann)
    assert (await own.get(f"/v1/accounts/{ann}/referral-code")).json()["code"] == code
    assert await code_of(own, ann) == code
    assert (await own.get(f"/v1/accounts/{ben}/referral-code")).status_code == 404


async def test_erasing_either_side_removes_the_referral(
    loyalty: httpx2.AsyncClient,
    receive: Receive,
    created: MakeEvent,
    erased: MakeEvent,
    terms: dict[str, Any],
    sessions: Sessions,
    clock: FrozenClock,
) -> None:
    ann, ben = await known(receive, created, 2)
    claimed = await claim(loyalty, await code_of(loyalty, ann), ben)
    await receive(arrived(order(ben, 5000, clock.now())))

    await receive(erased(ann))
    await due_work_runs(sessions, clock)

    assert (await loyalty.get(f"/v1/referrals/{claimed.json()['id']}")).status_code == 404
    assert await balance(loyalty, ben) == 0
