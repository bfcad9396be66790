"""Holds: reserved, then captured or released, or given back by themselves at their instant."""

from datetime import timedelta
from uuid import UUID

import httpx2
import pytest
from tests.loyalty.conftest import Give

from crm_loyalty.handlers import due_work
from crm_shared import due
from crm_shared.database import Sessions
from crm_shared.ids import uuid7
from crm_shared.testing import FrozenClock, fresh_key, published


async def place(loyalty: httpx2.AsyncClient, customer: UUID, points: int, *, seconds: int = 60) -> str:
    answer = await loyalty.post(
        f"/v1/accounts/{customer}/holds",
        json={"points": points, "expires_in": seconds, "reference": "order 1017"},
        headers=fresh_key(),
    )
    assert answer.status_code == 201, answer.text
    assert answer.json()["state"] == "open"
    return str(answer.json()["id"])


async def resolve(
    loyalty: httpx2.AsyncClient, customer: UUID, hold: str, how: str, headers: dict[str, str] | None = None
) -> httpx2.Response:
    return await loyalty.post(f"/v1/accounts/{customer}/holds/{hold}/{how}", headers=headers or fresh_key())


async def standing(loyalty: httpx2.AsyncClient, customer: UUID) -> tuple[int, int]:
    found = (await loyalty.get(f"/v1/accounts/{customer}")).json()
    assert found["available"] == found["balance"] - found["held"]
    return found["balance"], found["held"]


async def test_held_points_cannot_be_spent_otherwise(loyalty: httpx2.AsyncClient, give: Give) -> None:
    customer = uuid7()
    await give(customer, 100)
    await place(loyalty, customer, 80)

    refused = await loyalty.post(f"/v1/accounts/{customer}/spend", json={"points": 21}, headers=fresh_key())
    second = await loyalty.post(
        f"/v1/accounts/{customer}/holds", json={"points": 21, "expires_in": 60}, headers=fresh_key()
    )

    assert refused.status_code == second.status_code == 409
    assert refused.json()["available"] == second.json()["available"] == 20


async def test_a_captured_hold_is_spent_once(
    loyalty: httpx2.AsyncClient, give: Give, sessions: Sessions
) -> None:
    customer = uuid7()
    await give(customer, 100)
    hold = await place(loyalty, customer, 80)
    once = fresh_key()

    captured = await resolve(loyalty, customer, hold, "capture", once)
    replayed = await resolve(loyalty, customer, hold, "capture", once)
    again = await resolve(loyalty, customer, hold, "capture")
    released = await resolve(loyalty, customer, hold, "release")

    assert captured.json() == replayed.json()
    assert (captured.json()["state"], captured.json()["reference"]) == ("captured", "order 1017")
    assert replayed.headers["Idempotency-Replayed"] == "true"
    assert [(r.status_code, r.json()["code"], r.json()["state"]) for r in (again, released)] == [
        (409, "hold_resolved", "captured")
    ] * 2
    assert await standing(loyalty, customer) == (20, 0)
    assert [row.type.split(".", 2)[2] for row in await published(sessions)] == [
        "earned.v1",
        "held.v1",
        "spent.v1",
    ]


async def test_released_points_are_free_again(loyalty: httpx2.AsyncClient, give: Give) -> None:
    customer = uuid7()
    await give(customer, 100)
    hold = await place(loyalty, customer, 80)

    released = await resolve(loyalty, customer, hold, "release")

    assert released.json()["state"] == "released"
    assert await standing(loyalty, customer) == (100, 0)


async def test_a_hold_runs_out_by_itself_at_its_instant(
    loyalty: httpx2.AsyncClient, give: Give, sessions: Sessions, clock: FrozenClock
) -> None:
    customer = uuid7()
    await give(customer, 100)
    await place(loyalty, customer, 80, seconds=60)

    clock.advance(timedelta(seconds=60, microseconds=-1))
    assert await due.run(sessions, due_work, clock) == 0
    assert await standing(loyalty, customer) == (100, 80)

    clock.advance(timedelta(microseconds=1))
    assert await due.run(sessions, due_work, clock) == 1
    assert await standing(loyalty, customer) == (100, 0)
    assert await due.run(sessions, due_work, clock) == 0
    holds = (await loyalty.get(f"/v1/accounts/{customer}/holds", params={"state": "ran_out"})).json()
    assert [hold["points"] for hold in holds["items"]] == [80]
    assert (await published(sessions))[-1].type == "loyalty.points.released.v1"


@pytest.mark.parametrize("how", ["capture", "release"])
async def test_a_hold_whose_time_is_over_is_not_resolved_even_if_nobody_has_noticed_yet(
    loyalty: httpx2.AsyncClient, give: Give, sessions: Sessions, clock: FrozenClock, how: str
) -> None:
    customer = uuid7()
    await give(customer, 100)
    hold = await place(loyalty, customer, 80, seconds=60)
    clock.advance(timedelta(seconds=60))

    early = await resolve(loyalty, customer, hold, how)
    await due.run(sessions, due_work, clock)
    late = await resolve(loyalty, customer, hold, how)

    assert [(r.status_code, r.json()["code"]) for r in (early, late)] == [(409, "hold_ran_out")] * 2
    assert await standing(loyalty, customer) == (100, 0)


async def test_a_resolved_hold_does_not_run_out(
    loyalty: httpx2.AsyncClient, give: Give, sessions: Sessions, clock: FrozenClock
) -> None:
    customer = uuid7()
    await give(customer, 100)
    await resolve(loyalty, customer, await place(loyalty, customer, 30), "capture")
    await resolve(loyalty, customer, await place(loyalty, customer, 20), "release")
    clock.advance(timedelta(minutes=2))

    await due.run(sessions, due_work, clock)

    assert await standing(loyalty, customer) == (70, 0)
    states = (await loyalty.get(f"/v1/accounts/{customer}/holds")).json()["items"]
    assert [hold["state"] for hold in states] == ["released", "captured"]


async def test_another_customers_hold_looks_like_none(loyalty: httpx2.AsyncClient, give: Give) -> None:
    customer, other = uuid7(), uuid7()
    await give(customer, 100)
    await give(other, 100)
    hold = await place(loyalty, customer, 80)

    foreign = await resolve(loyalty, other, hold, "capture")
    missing = await resolve(loyalty, customer, str(uuid7()), "capture")

    assert [(r.status_code, r.json()["code"]) for r in (foreign, missing)] == [(404, "hold_not_found")] * 2
    assert await standing(loyalty, customer) == (100, 80)


async def test_open_holds_are_in_the_summary(loyalty: httpx2.AsyncClient, give: Give) -> None:
    customer = uuid7()
    await give(customer, 100)
    hold = await place(loyalty, customer, 80)

    summary = (await loyalty.get(f"/v1/customers/{customer}/summary/loyalty")).json()

    assert [(h["id"], h["points"], h["reference"]) for h in summary["open_holds"]] == [
        (hold, 80, "order 1017")
    ]
    assert (summary["balance"], summary["held"], summary["available"]) == (100, 80, 20)


async def test_a_hold_for_no_time_is_refused(loyalty: httpx2.AsyncClient, give: Give) -> None:
    customer = uuid7()
    await give(customer, 100)

    answer = await loyalty.post(
        f"/v1/accounts/{customer}/holds", json={"points": 1, "expires_in": 0}, headers=fresh_key()
    )

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == "/expires_in"
