"""What must hold when many ask at once, with real commits; and what the database itself refuses."""

import asyncio
from collections import Counter

import httpx2
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from tests.loyalty.accounts import balances, differences, insist
from tests.loyalty.conftest import Give, MakeEvent, Receive

from crm_loyalty.handlers import due_work
from crm_loyalty.ledger import ledger
from crm_loyalty.postings import Earn, Posting, Spend
from crm_shared import due
from crm_shared.database import Sessions
from crm_shared.ids import uuid7
from crm_shared.testing import FrozenClock, published


async def test_a_hundred_parallel_spends_never_go_below_zero(
    committed: dict[str, Sessions], loyalty: httpx2.AsyncClient, give: Give
) -> None:
    customer = uuid7()
    for _ in range(10):
        await give(customer, 10)

    answers = await asyncio.gather(
        *(insist(loyalty, f"/v1/accounts/{customer}/spend", f"key-{n}", {"points": 3}) for n in range(100))
    )

    assert Counter(answer.status_code for answer in answers) == {201: 33, 409: 67}
    assert {a.json()["code"] for a in answers if a.status_code == 409} == {"insufficient_points"}
    assert await balances(committed["loyalty"]) == {customer: (1, 0)}
    assert await differences(committed["loyalty"]) == []


async def test_fifty_parallel_requests_with_one_key_have_one_effect(
    committed: dict[str, Sessions], loyalty: httpx2.AsyncClient, give: Give
) -> None:
    customer = uuid7()
    await give(customer, 100)

    answers = await asyncio.gather(
        *(insist(loyalty, f"/v1/accounts/{customer}/spend", "once", {"points": 7}) for _ in range(50))
    )

    first = [a for a in answers if a.status_code == 201 and "Idempotency-Replayed" not in a.headers]
    replays = [a for a in answers if "Idempotency-Replayed" in a.headers]
    busy = [a for a in answers if a.status_code == 409]
    assert len(first) == 1
    assert all(replay.json() == first[0].json() for replay in replays)
    assert {a.json()["code"] for a in busy} <= {"idempotency_key_in_use"}
    assert len(first) + len(replays) + len(busy) == 50
    assert await balances(committed["loyalty"]) == {customer: (93, 0)}


async def test_many_workers_opening_the_same_accounts_open_each_once(
    committed: dict[str, Sessions], receive: Receive, purchased: MakeEvent
) -> None:
    people = [uuid7() for _ in range(20)]

    await asyncio.gather(*(receive(*(purchased(person, 100) for person in people)) for _ in range(5)))

    assert await balances(committed["loyalty"]) == dict.fromkeys(people, (5, 0))
    assert await differences(committed["loyalty"]) == []


async def test_a_hold_is_captured_or_runs_out_but_never_both(
    committed: dict[str, Sessions], loyalty: httpx2.AsyncClient, give: Give, clock: FrozenClock
) -> None:
    customer = uuid7()
    await give(customer, 200)
    ids = []
    for n in range(20):
        placed = await loyalty.post(
            f"/v1/accounts/{customer}/holds",
            json={"points": 10, "expires_in": 60},
            headers={"Idempotency-Key": f"hold-{n}"},
        )
        ids.append(placed.json()["id"])
    at_the_end = FrozenClock(clock.now().replace(minute=clock.now().minute + 1))

    answers = await asyncio.gather(
        *(
            loyalty.post(
                f"/v1/accounts/{customer}/holds/{hold}/capture",
                headers={"Idempotency-Key": f"capture-{hold}"},
            )
            for hold in ids
        ),
        *(due.run(committed["loyalty"], due_work, at_the_end, limit=3) for _ in range(4)),
    )

    captured = sum(1 for a in answers if isinstance(a, httpx2.Response) and a.status_code == 200)
    while await due.run(committed["loyalty"], due_work, at_the_end):
        pass
    assert await balances(committed["loyalty"]) == {customer: (200 - 10 * captured, 0)}
    assert await differences(committed["loyalty"]) == []


async def test_spends_during_merges_and_unmerges_lose_nothing(
    committed: dict[str, Sessions],
    loyalty: httpx2.AsyncClient,
    give: Give,
    receive: Receive,
    merged: MakeEvent,
    unmerged: MakeEvent,
    purchased: MakeEvent,
) -> None:
    survivor, absorbed = uuid7(), uuid7()
    await give(survivor, 50)
    await give(absorbed, 50)

    async def merge_and_part() -> None:
        for n in range(5):
            merge_id = uuid7()
            await receive(merged(absorbed, survivor, merge_id, version=2 + 2 * n))
            await receive(unmerged(absorbed, survivor, merge_id, version=3 + 2 * n))

    async def spend(n: int) -> int:
        who = absorbed if n % 2 else survivor
        answer = await insist(loyalty, f"/v1/accounts/{who}/spend", f"spend-{n}", {"points": 1})
        assert answer.status_code in (201, 409), answer.text
        return 1 if answer.status_code == 201 else 0

    results = await asyncio.gather(
        merge_and_part(),
        *(spend(n) for n in range(60)),
        *(receive(purchased(absorbed, 100)) for _ in range(10)),
    )

    spent = sum(result for result in results if isinstance(result, int))
    assert sum(balance for balance, _ in (await balances(committed["loyalty"])).values()) == 110 - spent
    assert await differences(committed["loyalty"]) == []


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE entries SET amount = amount + 1",
        "DELETE FROM entries",
        "UPDATE transactions SET points = 0",
        "DELETE FROM transactions",
        "DELETE FROM allocations",
        "UPDATE hold_parts SET points = 1",
        "UPDATE earning_rules SET version = 100",
        "DROP TABLE entries",
        "TRUNCATE entries",
    ],
)
async def test_the_serving_role_cannot_change_the_books(sessions: Sessions, statement: str) -> None:
    async with sessions() as session:
        with pytest.raises(DBAPIError, match=r"permission denied|must be owner"):
            await session.execute(text(statement))
        await session.rollback()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE accounts SET balance = -1",
        "UPDATE accounts SET held = balance + 1",
        "UPDATE accounts SET held = -1",
        "UPDATE lots SET remaining = -1",
        "UPDATE lots SET remaining = amount + 1",
    ],
)
async def test_the_database_refuses_what_cannot_be(sessions: Sessions, give: Give, statement: str) -> None:
    await give(uuid7(), 10)
    async with sessions() as session:
        with pytest.raises(DBAPIError, match="violates check constraint"):
            await session.execute(text(statement))
        await session.rollback()


async def test_a_refused_posting_does_not_disturb_its_neighbours(
    sessions: Sessions, clock: FrozenClock
) -> None:
    rich, poor, unknown = uuid7(), uuid7(), uuid7()
    earn = Earn(customer_id=rich, source="t", reference="1", effective_at=clock.now(), points=10)
    postings: list[Posting] = [
        earn,
        Spend(customer_id=unknown, source="t", reference="2", effective_at=clock.now(), points=1),
        Earn(customer_id=poor, source="t", reference="3", effective_at=clock.now(), points=1),
        Spend(customer_id=poor, source="t", reference="4", effective_at=clock.now(), points=2),
        Spend(customer_id=rich, source="t", reference="5", effective_at=clock.now(), points=4),
        earn,
        Spend(customer_id=rich, source="t", reference="6", effective_at=clock.now(), points=7),
        Spend(customer_id=rich, source="t", reference="7", effective_at=clock.now(), points=6),
    ]

    async with sessions.begin() as session:
        verdicts = await ledger.post(session, postings, at=clock.now())

    refusals = [verdict.refusal.code() if verdict.refusal else None for verdict in verdicts]
    assert refusals == [
        None,
        "account_not_found",
        None,
        "insufficient_points",
        None,
        None,
        "insufficient_points",
        None,
    ]
    assert [verdict.repeated for verdict in verdicts] == [n == 5 for n in range(8)]
    assert verdicts[5].movement == verdicts[0].movement
    assert {customer: have for customer, (have, _) in (await balances(sessions)).items()} == {
        rich: 0,
        poor: 1,
    }
    assert len(await published(sessions)) == 4
    assert await differences(sessions) == []


async def test_reconcile_names_what_differs(sessions: Sessions, give: Give) -> None:
    await give(uuid7(), 10)
    async with sessions.begin() as session:
        await session.execute(text("UPDATE lots SET remaining = 9"))

    found = await differences(sessions)

    assert [line.split(":")[0] for line in found] == [
        "a balance is what the account's lots have left",
        "a lot has left what was not taken from it",
    ]
    assert found[0].endswith("has 10, not 9")
