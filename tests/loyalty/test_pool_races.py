"""Pools while everybody acts at once: no more is spent than there is, and nobody loses what is their own."""

import asyncio
from collections import Counter
from datetime import timedelta

import httpx2
from tests.loyalty.accounts import balances, differences, insist
from tests.loyalty.conftest import Give, Household
from tests.loyalty.pool_spending import account, leave, post

from crm_loyalty.ledger import ledger
from crm_loyalty.postings import PlaceHold, Posting, Spend
from crm_shared.database import Sessions
from crm_shared.ids import uuid7
from crm_shared.testing import FrozenClock


async def test_a_hundred_at_once_by_all_members_spend_no_more_than_there_is(
    committed: dict[str, Sessions], loyalty: httpx2.AsyncClient, give: Give, pool: Household
) -> None:
    people = [uuid7() for _ in range(4)]
    for customer in people:
        for _ in range(5):
            await give(customer, 5)
    await pool(people)

    answers = await asyncio.gather(
        *(
            insist(loyalty, f"/v1/accounts/{people[n % 4]}/spend", f"key-{n}", {"points": 3})
            for n in range(100)
        )
    )

    assert Counter(answer.status_code for answer in answers) == {201: 33, 409: 67}
    have = await balances(committed["loyalty"])
    assert sum(balance for balance, _ in have.values()) == 1
    assert await differences(committed["loyalty"]) == []


async def test_who_joins_and_leaves_while_others_spend_loses_nothing_after_they_left(
    committed: dict[str, Sessions],
    give: Give,
    loyalty: httpx2.AsyncClient,
    pool: Household,
    clock: FrozenClock,
) -> None:
    ann, bea, cid = (uuid7() for _ in range(3))
    for customer in (ann, bea, cid):
        await give(customer, 150)
    pool_id = await pool([ann, bea, cid])
    left: list[int] = []

    async def come_and_go() -> None:
        for _ in range(6):
            await leave(loyalty, pool_id, bea)
            left.append((await account(loyalty, bea))["balance"])
            await asyncio.sleep(0.05)
            assert (await account(loyalty, bea))["balance"] == left[-1], "what they took is their own"
            asked = await post(loyalty, f"/v1/pools/{pool_id}/members", {"customer_id": str(bea)})
            await post(loyalty, f"/v1/pools/{pool_id}/members/{asked.json()['id']}/accept")

    async def ask(first: int) -> None:
        # In transactions of their own, as several processes would: not through one desk.
        at, later = clock.now(), clock.now() + timedelta(hours=1)
        for number in range(first, 40, 4):
            who, reference = (ann, cid)[number % 2], str(number)
            postings: list[Posting] = [
                Spend(customer_id=who, source="spend", reference=reference, effective_at=at, points=3),
                PlaceHold(
                    customer_id=who,
                    source="hold",
                    reference=reference,
                    effective_at=at,
                    points=3,
                    expires_at=later,
                ),
            ]
            async with committed["loyalty"].begin() as session:
                await ledger.post(session, postings, at=at)

    await asyncio.gather(come_and_go(), *(ask(first) for first in range(4)))

    have = await balances(committed["loyalty"])
    assert sum(balance for balance, _ in have.values()) == 450 - 40 * 3
    assert sum(held for _, held in have.values()) == 40 * 3
    assert await differences(committed["loyalty"]) == []
