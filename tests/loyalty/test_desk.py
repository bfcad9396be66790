"""Postings that come at the same time over HTTP: one transaction, and to each an answer of its own."""

import asyncio
from uuid import UUID

import httpx2
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine
from tests.loyalty.accounts import balances, differences, insist
from tests.loyalty.conftest import Give, MakeEvent, Receive
from tests.loyalty.crashing import dying

from crm_shared.database import Sessions
from crm_shared.ids import uuid7


async def transactions(sessions: Sessions, kind: str) -> int:
    async with sessions() as session:
        statement = text("SELECT count(*) FROM transactions WHERE kind = :kind")
        return int(await session.scalar(statement, {"kind": kind}) or 0)


async def test_at_whatever_step_the_connection_dies_each_posting_happens_once(
    committed: dict[str, Sessions], engines: dict[str, AsyncEngine], loyalty: httpx2.AsyncClient, give: Give
) -> None:
    people = [uuid7() for _ in range(3)]
    for person in people:
        await give(person, 1000)
    steps, came = 0, True
    while came:

        async def spend(person: UUID, run: int = steps) -> httpx2.Response:
            return await loyalty.post(
                f"/v1/accounts/{person}/spend",
                json={"points": 2},
                headers={"Idempotency-Key": f"{run} {person}"},
            )

        with dying(engines["loyalty"], steps) as fate:
            first = await asyncio.gather(*map(spend, people))
        came, steps = fate.came, steps + 1
        again = await asyncio.gather(*map(spend, people))

        assert {answer.status_code for answer in first} <= {201, 503}
        assert {answer.status_code for answer in again} == {201}
        for answer, repeated in zip(first, again, strict=True):
            if answer.status_code == 201:
                assert "Idempotency-Replayed" in repeated.headers
                assert repeated.json() == answer.json()

    assert steps > 8, "one transaction takes more steps than that"
    assert await balances(committed["loyalty"]) == dict.fromkeys(people, (1000 - 2 * steps, 0))
    assert await transactions(committed["loyalty"], "spend") == steps * len(people)
    assert await differences(committed["loyalty"]) == []


async def test_each_of_those_who_share_a_transaction_is_answered_for_themselves(
    committed: dict[str, Sessions], loyalty: httpx2.AsyncClient, give: Give
) -> None:
    rich, poor, nobody = uuid7(), uuid7(), uuid7()
    await give(rich, 100)
    await give(poor, 1)

    first, *others = await asyncio.gather(
        *(
            loyalty.post(
                f"/v1/accounts/{person}/{path}", json=body, headers={"Idempotency-Key": f"{path} {person}"}
            )
            for person, path, body in (
                (rich, "spend", {"points": 1}),
                (rich, "holds", {"points": 50, "expires_in": 60, "reference": "table 4"}),
                (poor, "spend", {"points": 2}),
                (nobody, "spend", {"points": 1}),
                (poor, "holds", {"points": 1, "expires_in": 60}),
            )
        )
    )

    assert first.status_code == 201
    assert [answer.status_code for answer in others] == [201, 409, 404, 201]
    assert (others[0].json()["customer_id"], others[0].json()["reference"]) == (str(rich), "table 4")
    assert others[1].json()["available"] == 1
    assert others[2].json()["code"] == "account_not_found"
    assert (others[3].json()["customer_id"], others[3].json()["points"]) == (str(poor), 1)
    assert await balances(committed["loyalty"]) == {rich: (99, 50), poor: (1, 1)}
    assert await differences(committed["loyalty"]) == []


async def test_events_name_who_asked_for_the_posting(
    committed: dict[str, Sessions], loyalty: httpx2.AsyncClient, give: Give
) -> None:
    customer = uuid7()
    await give(customer, 10)
    keys = [str(number) for number in range(5)]
    await asyncio.gather(
        *(insist(loyalty, f"/v1/accounts/{customer}/spend", key, {"points": 1}) for key in keys)
    )

    async with committed["loyalty"]() as session:
        actors = await session.scalars(text("SELECT actor FROM outbox WHERE type LIKE '%.points.spent.%'"))
        principals = await session.scalars(text("SELECT principal FROM idempotency_keys"))
        assert actors.all() == principals.all() != []


async def test_a_hold_is_resolved_once_by_whoever_comes_first(
    committed: dict[str, Sessions], loyalty: httpx2.AsyncClient, give: Give
) -> None:
    customer = uuid7()
    await give(customer, 10)
    path = f"/v1/accounts/{customer}/holds"
    hold = (await insist(loyalty, path, "hold", {"points": 10, "expires_in": 60})).json()["id"]

    answers = await asyncio.gather(
        *(
            insist(loyalty, f"{path}/{hold}/{verb}", f"{verb} {number}")
            for number in range(5)
            for verb in ("capture", "release")
        )
    )

    assert sorted(answer.status_code for answer in answers) == [200] + [409] * 9
    [done] = [answer.json()["state"] for answer in answers if answer.is_success]
    assert await balances(committed["loyalty"]) == {customer: (0 if done == "captured" else 10, 0)}
    assert await differences(committed["loyalty"]) == []


async def test_the_desk_and_the_worker_do_not_wait_for_each_other_in_a_circle(
    committed: dict[str, Sessions],
    loyalty: httpx2.AsyncClient,
    give: Give,
    receive: Receive,
    purchased: MakeEvent,
) -> None:
    people = [uuid7() for _ in range(10)]
    for person in people:
        await give(person, 100)

    async def spend(number: int) -> int:
        person = people[-1 - number % len(people)]
        answer = await insist(loyalty, f"/v1/accounts/{person}/spend", f"spend {number}", {"points": 1})
        return answer.status_code

    results = await asyncio.gather(
        *map(spend, range(100)),
        *(receive(*(purchased(person, 200) for person in people)) for _ in range(10)),
    )

    assert set(results) == {201, None}
    # Each spent ten points, and earned two ten times.
    assert await balances(committed["loyalty"]) == dict.fromkeys(people, (110, 0))
    assert await differences(committed["loyalty"]) == []
