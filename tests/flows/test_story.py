"""The story through all rooms: purchases become points, levels and a timeline; a VIP comes first."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from uuid import UUID

import httpx2
import pytest
from sqlalchemy import select
from tests.flows.conftest import Settle

from crm_loyalty.handlers import due_work
from crm_shared import due
from crm_shared.database import Sessions
from crm_shared.outbox import Outbox
from crm_shared.testing import FrozenClock, fresh_key

Customer = Callable[..., Awaitable[UUID]]
Purchase = Callable[..., Awaitable[None]]
DAY = timedelta(days=1)


async def test_each_purchase_gives_a_point_for_each_of_its_whole_dollars(
    customer: Customer, purchase: Purchase, settle: Settle, loyalty: httpx2.AsyncClient, clock: FrozenClock
) -> None:
    who = await customer()
    for cents in (2933, 99, 2973):
        await purchase(who, cents, clock.now())
    await settle()
    account = (await loyalty.get(f"/v1/accounts/{who}")).json()
    assert account["balance"] == 29 + 0 + 29
    lots = (await loyalty.get(f"/v1/accounts/{who}/lots")).json()["items"]
    assert [lot["expires_at"] for lot in lots] == [None, None]


async def test_events_that_come_twice_have_their_effect_once(
    customer: Customer,
    purchase: Purchase,
    settle: Settle,
    databases: dict[str, Sessions],
    loyalty: httpx2.AsyncClient,
    clock: FrozenClock,
) -> None:
    who = await customer()
    await purchase(who, 5000, clock.now())
    await settle()
    before = len(await outbox(databases["loyalty"]))
    await settle()
    await settle()
    assert len(await outbox(databases["loyalty"])) == before
    assert (await loyalty.get(f"/v1/accounts/{who}")).json()["balance"] == 50


@pytest.mark.parametrize(
    ("purchases", "level"),
    [
        ([(30_000, 10)], "vip"),
        ([(30_000, 200)], "important"),
        ([(4_000, 10)], "ordinary"),
        ([(1_000, 700), (1_000, 800)], "ordinary"),
        ([(1_000, 800)], "potential"),
        ([], "potential"),
    ],
)
async def test_purchases_give_each_customer_exactly_one_level(
    customer: Customer,
    purchase: Purchase,
    settle: Settle,
    segmentation: httpx2.AsyncClient,
    clock: FrozenClock,
    purchases: list[tuple[int, int]],
    level: str,
) -> None:
    who = await customer()
    for cents, days_ago in purchases:
        await purchase(who, cents, clock.now() - days_ago * DAY)
    await settle()
    assert (await segmentation.get(f"/v1/rfm/{who}")).json()["level"] == level
    counts = (await segmentation.get("/v1/levels")).json()
    assert sum(item["customers"] for item in counts["items"]) == counts["customers"] == 1


async def test_the_timeline_shows_what_all_services_did(
    customer: Customer,
    purchase: Purchase,
    settle: Settle,
    profiles: httpx2.AsyncClient,
    tickets: httpx2.AsyncClient,
    clock: FrozenClock,
) -> None:
    who = await customer()
    await purchase(who, 30_000, clock.now())
    await settle()
    ticket = await open_complaint(tickets, who)
    clock.advance(timedelta(hours=1))
    await step(tickets, ticket, "respond", message="We are sorry.")
    await step(tickets, ticket, "resolve", resolution="A new disc was sent.")
    await step(tickets, ticket, "close")
    await settle()

    entries = (await profiles.get(f"/v1/customers/{who}/timeline")).json()["items"]
    types = [entry["type"] for entry in entries]
    assert sorted(types) == [
        "level.changed",
        "level.changed",
        "points.earned",
        "purchase.recorded",
        "ticket.closed",
        "ticket.opened",
        "ticket.resolved",
        "ticket.responded",
    ]
    assert len({entry["id"] for entry in entries}) == len(entries)
    instants = [entry["occurred_at"] for entry in entries]
    assert instants == sorted(instants, reverse=True)


@pytest.mark.capability("T8")
async def test_the_vips_complaint_comes_first_and_a_change_of_level_moves_it(
    customer: Customer,
    purchase: Purchase,
    settle: Settle,
    tickets: httpx2.AsyncClient,
    clock: FrozenClock,
) -> None:
    vip, ordinary = await customer("Важная Персона"), await customer("Jane Ordinary")
    await purchase(vip, 30_000, clock.now())
    await purchase(ordinary, 4_000, clock.now())
    await settle()
    first = await open_complaint(tickets, ordinary, severity="critical")
    clock.advance(timedelta(minutes=5))
    second = await open_complaint(tickets, vip)
    assert await queue(tickets) == [second, first]

    await purchase(ordinary, 90_000, clock.now())
    await settle()
    assert await queue(tickets) == [first, second]


async def test_a_hold_that_nobody_captures_runs_out_at_its_instant(
    customer: Customer,
    purchase: Purchase,
    settle: Settle,
    loyalty: httpx2.AsyncClient,
    databases: dict[str, Sessions],
    clock: FrozenClock,
) -> None:
    who = await customer()
    await purchase(who, 10_000, clock.now())
    await settle()
    account = f"/v1/accounts/{who}"
    await loyalty.post(f"{account}/holds", json={"points": 60, "expires_in": 600}, headers=fresh_key())
    assert await available(loyalty, who) == 40

    clock.advance(timedelta(seconds=599))
    await due.run(databases["loyalty"], due_work, clock)
    assert await available(loyalty, who) == 40
    clock.advance(timedelta(seconds=1))
    await due.run(databases["loyalty"], due_work, clock)
    assert await available(loyalty, who) == 100


async def test_spending_twice_with_one_key_is_one_effect_and_a_marked_replay(
    customer: Customer, purchase: Purchase, settle: Settle, loyalty: httpx2.AsyncClient, clock: FrozenClock
) -> None:
    who = await customer()
    await purchase(who, 10_000, clock.now())
    await settle()
    headers = fresh_key()
    first = await loyalty.post(f"/v1/accounts/{who}/spend", json={"points": 30}, headers=headers)
    second = await loyalty.post(f"/v1/accounts/{who}/spend", json={"points": 30}, headers=headers)
    assert first.status_code == second.status_code == 201
    assert first.content == second.content
    assert "Idempotency-Replayed" not in first.headers
    assert second.headers["Idempotency-Replayed"] == "true"
    assert await available(loyalty, who) == 70


async def test_spending_more_than_there_is_says_how_much_there_is(
    customer: Customer, purchase: Purchase, settle: Settle, loyalty: httpx2.AsyncClient, clock: FrozenClock
) -> None:
    who = await customer()
    await purchase(who, 1_999, clock.now())
    await settle()
    refused = await loyalty.post(f"/v1/accounts/{who}/spend", json={"points": 20}, headers=fresh_key())
    assert refused.status_code == 409
    assert refused.headers["content-type"] == "application/problem+json"
    problem = refused.json()
    assert (problem["code"], problem["available"], problem["requested"]) == ("insufficient_points", 19, 20)
    assert await available(loyalty, who) == 19


async def test_an_event_names_its_cause_and_its_trace(
    customer: Customer,
    purchase: Purchase,
    settle: Settle,
    databases: dict[str, Sessions],
    profiles: httpx2.AsyncClient,
    clock: FrozenClock,
) -> None:
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    profiles.headers["traceparent"] = trace
    who = await customer()
    await purchase(who, 10_000, clock.now())
    await settle()
    (recorded,) = [e for e in await outbox(databases["profiles"]) if e.type.startswith("profiles.purchase")]
    (earned,) = [e for e in await outbox(databases["loyalty"]) if e.type.startswith("loyalty.points")]
    assert earned.causation_id == str(recorded.id)
    assert recorded.traceparent is not None
    assert recorded.traceparent.split("-")[1] == trace.split("-")[1]
    assert earned.traceparent is not None
    assert earned.traceparent.split("-")[1] == trace.split("-")[1]
    assert recorded.actor == "tester"


async def open_complaint(tickets: httpx2.AsyncClient, who: UUID, severity: str = "normal") -> str:
    response = await tickets.post(
        "/v1/tickets",
        json={
            "customer_id": str(who),
            "kind": "complaint",
            "severity": severity,
            "title": "A disc is broken",
        },
    )
    assert response.status_code == 201, response.text
    return str(response.json()["id"])


async def step(tickets: httpx2.AsyncClient, ticket: str, verb: str, **artefact: str) -> None:
    response = await tickets.post(f"/v1/tickets/{ticket}/{verb}", json=artefact or None)
    assert response.status_code == 200, response.text


async def queue(tickets: httpx2.AsyncClient) -> list[str]:
    return [item["id"] for item in (await tickets.get("/v1/queue")).json()["items"]]


async def available(loyalty: httpx2.AsyncClient, who: UUID) -> int:
    balance: int = (await loyalty.get(f"/v1/accounts/{who}")).json()["available"]
    return balance


async def outbox(sessions: Sessions) -> list[Outbox]:
    async with sessions() as session:
        return list(await session.scalars(select(Outbox).order_by(Outbox.seq)))
