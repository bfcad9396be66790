"""Points over HTTP: earning, spending, putting right, reading."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import httpx2
import pytest
from sqlalchemy import text
from tests.conftest import ClientFactory
from tests.loyalty.conftest import Give, MakeEvent, Receive

from crm_shared.callers import Role
from crm_shared.database import Sessions
from crm_shared.ids import uuid7
from crm_shared.testing import FrozenClock, fresh_key, published


async def account(loyalty: httpx2.AsyncClient, customer_id: UUID) -> dict[str, int]:
    answer = await loyalty.get(f"/v1/accounts/{customer_id}")
    assert answer.status_code == 200, answer.text
    found = answer.json()
    return {name: found[name] for name in ("balance", "held", "available")}


async def test_a_purchase_earns_a_point_per_whole_dollar(
    loyalty: httpx2.AsyncClient, sessions: Sessions, receive: Receive, purchased: MakeEvent
) -> None:
    customer = uuid7()
    event = purchased(customer, 2933)

    await receive(event, purchased(customer, 199), purchased(customer, 99))

    assert await account(loyalty, customer) == {"balance": 30, "held": 0, "available": 30}
    rows = await published(sessions)
    assert [row.type for row in rows] == ["loyalty.points.earned.v1"] * 2
    assert rows[0].causation_id == str(event.id)
    assert [row.version for row in rows] == [2, 3]


async def test_a_redelivered_purchase_earns_nothing_more_even_if_the_inbox_has_forgotten_it(
    loyalty: httpx2.AsyncClient, receive: Receive, purchased: MakeEvent, sessions: Sessions
) -> None:
    customer = uuid7()
    event = purchased(customer, 1000)
    await receive(event)
    async with sessions.begin() as session:
        await session.execute(text("DELETE FROM inbox"))

    await receive(event)

    assert (await account(loyalty, customer))["balance"] == 10
    assert len(await published(sessions)) == 1


async def test_a_purchase_may_arrive_before_its_customer(
    loyalty: httpx2.AsyncClient, receive: Receive, created: MakeEvent, purchased: MakeEvent
) -> None:
    early, late = uuid7(), uuid7()

    await receive(purchased(early, 500), created(early), created(late), purchased(late, 700))

    assert (await account(loyalty, early))["balance"] == 5
    assert (await account(loyalty, late))["balance"] == 7


async def test_a_purchase_in_a_currency_without_a_rule_earns_nothing(
    loyalty: httpx2.AsyncClient, receive: Receive, purchased: MakeEvent, created: MakeEvent
) -> None:
    customer = uuid7()

    await receive(created(customer), purchased(customer, 5000, currency="EUR"))

    assert (await account(loyalty, customer))["balance"] == 0


async def test_spending_twice_with_one_key_is_one_effect_and_the_replay_is_marked(
    loyalty: httpx2.AsyncClient, give: Give
) -> None:
    customer = uuid7()
    await give(customer, 100)
    once = fresh_key()

    first = await loyalty.post(f"/v1/accounts/{customer}/spend", json={"points": 30}, headers=once)
    again = await loyalty.post(f"/v1/accounts/{customer}/spend", json={"points": 30}, headers=once)

    assert first.status_code == again.status_code == 201
    assert first.json() == again.json()
    assert first.json()["available"] == 70
    assert "Idempotency-Replayed" not in first.headers
    assert again.headers["Idempotency-Replayed"] == "true"
    assert (await account(loyalty, customer))["balance"] == 70


async def test_spending_more_than_there_is_says_how_much_there_is(
    loyalty: httpx2.AsyncClient, give: Give
) -> None:
    customer = uuid7()
    await give(customer, 20)

    answer = await loyalty.post(f"/v1/accounts/{customer}/spend", json={"points": 21}, headers=fresh_key())

    assert answer.status_code == 409
    problem = answer.json()
    assert problem["code"] == "insufficient_points"
    assert (problem["available"], problem["requested"]) == (20, 21)
    assert (await account(loyalty, customer))["balance"] == 20


async def test_a_refused_request_may_succeed_later_with_the_same_key(
    loyalty: httpx2.AsyncClient, give: Give
) -> None:
    customer = uuid7()
    await give(customer, 20)
    once = fresh_key()
    refused = await loyalty.post(f"/v1/accounts/{customer}/spend", json={"points": 30}, headers=once)
    await give(customer, 20)

    accepted = await loyalty.post(f"/v1/accounts/{customer}/spend", json={"points": 30}, headers=once)

    assert (refused.status_code, accepted.status_code) == (409, 201)
    assert accepted.json()["balance"] == 10


@pytest.mark.parametrize("operation", ["spend", "adjust", "holds"])
async def test_points_do_not_move_without_an_idempotency_key(
    loyalty: httpx2.AsyncClient, give: Give, operation: str
) -> None:
    customer = uuid7()
    await give(customer, 20)
    body = {"points": 1, "reason": "why"} if operation != "holds" else {"points": 1, "expires_in": 60}

    answer = await loyalty.post(f"/v1/accounts/{customer}/{operation}", json=body)

    assert answer.status_code == 400
    assert answer.json()["code"] == "idempotency_key_missing"


async def test_one_key_may_serve_two_operations(loyalty: httpx2.AsyncClient, give: Give) -> None:
    customer = uuid7()
    await give(customer, 20)
    once = fresh_key()

    spent = await loyalty.post(f"/v1/accounts/{customer}/spend", json={"points": 5}, headers=once)
    held = await loyalty.post(
        f"/v1/accounts/{customer}/holds", json={"points": 5, "expires_in": 60}, headers=once
    )

    assert (spent.status_code, held.status_code) == (201, 201)
    assert await account(loyalty, customer) == {"balance": 15, "held": 5, "available": 10}


async def test_the_ledger_knows_a_reference_when_the_idempotency_key_is_forgotten(
    loyalty: httpx2.AsyncClient, give: Give, sessions: Sessions
) -> None:
    customer = uuid7()
    await give(customer, 100)
    once = fresh_key()
    first = await loyalty.post(f"/v1/accounts/{customer}/spend", json={"points": 30}, headers=once)
    async with sessions.begin() as session:
        await session.execute(text("DELETE FROM idempotency_keys"))

    again = await loyalty.post(f"/v1/accounts/{customer}/spend", json={"points": 30}, headers=once)
    async with sessions.begin() as session:
        await session.execute(text("DELETE FROM idempotency_keys"))
    other = await loyalty.post(f"/v1/accounts/{customer}/spend", json={"points": 31}, headers=once)

    assert again.json() == first.json()
    assert (other.status_code, other.json()["code"]) == (422, "reference_reused")
    assert (await account(loyalty, customer))["balance"] == 70


async def test_a_manager_puts_points_right_in_both_directions_but_never_below_zero(
    loyalty: httpx2.AsyncClient, give: Give, client: ClientFactory
) -> None:
    customer = uuid7()
    await give(customer, 10)
    path = f"/v1/accounts/{customer}/adjust"

    given = await loyalty.post(path, json={"points": 5, "reason": "late parcel"}, headers=fresh_key())
    taken = await loyalty.post(path, json={"points": -12, "reason": "typed twice"}, headers=fresh_key())
    refused = await loyalty.post(path, json={"points": -4, "reason": "too much"}, headers=fresh_key())
    agent = await client("loyalty", Role.AGENT).post(
        path, json={"points": 1, "reason": "no"}, headers=fresh_key()
    )

    assert [answer.status_code for answer in (given, taken, refused, agent)] == [201, 201, 409, 403]
    assert (await account(loyalty, customer))["balance"] == 3
    entries = (await loyalty.get(f"/v1/accounts/{customer}/entries")).json()["items"]
    assert [(entry["amount"], entry["reason"]) for entry in entries] == [
        (-12, "typed twice"),
        (5, "late parcel"),
        (10, None),
    ]


async def test_nobody_spends_for_an_id_that_is_not_known(loyalty: httpx2.AsyncClient) -> None:
    unknown = uuid7()

    spent = await loyalty.post(f"/v1/accounts/{unknown}/spend", json={"points": 1}, headers=fresh_key())
    read = await loyalty.get(f"/v1/accounts/{unknown}")
    summary = await loyalty.get(f"/v1/customers/{unknown}/summary/loyalty")

    assert (spent.status_code, spent.json()["code"]) == (404, "account_not_found")
    assert read.status_code == 404
    assert summary.json() == {
        "customer_id": str(unknown),
        "balance": 0,
        "held": 0,
        "available": 0,
        "expiring": [],
        "open_holds": [],
    }


async def test_a_customer_sees_and_spends_only_the_own_points(give: Give, client: ClientFactory) -> None:
    mine, other = uuid7(), uuid7()
    await give(mine, 10)
    await give(other, 10)
    me = client("loyalty", Role.CUSTOMER, customer_id=mine)

    own = await me.post(f"/v1/accounts/{mine}/spend", json={"points": 1}, headers=fresh_key())
    foreign = await me.post(f"/v1/accounts/{other}/spend", json={"points": 1}, headers=fresh_key())
    looked = await me.get(f"/v1/accounts/{other}")

    assert [answer.status_code for answer in (own, foreign, looked)] == [201, 404, 404]


async def test_another_role_lets_a_customer_do_no_more_than_that_role_may(
    give: Give, client: ClientFactory
) -> None:
    mine, other = uuid7(), uuid7()
    await give(other, 10)
    both = client("loyalty", Role.CUSTOMER, Role.PARTNER, customer_id=mine)

    spent = await both.post(f"/v1/accounts/{other}/spend", json={"points": 1}, headers=fresh_key())
    looked = await both.get(f"/v1/accounts/{other}")

    assert [answer.status_code for answer in (spent, looked)] == [404, 200]


async def test_what_expires_first_is_spent_first_then_what_is_older(
    loyalty: httpx2.AsyncClient, give: Give, clock: FrozenClock
) -> None:
    customer = uuid7()
    soon, later = clock.now() + timedelta(days=1), clock.now() + timedelta(days=9)
    await give(customer, 10)
    clock.advance(timedelta(seconds=1))
    await give(customer, 10, expires_at=later)
    await give(customer, 10, expires_at=soon)
    await give(customer, 10)

    await loyalty.post(f"/v1/accounts/{customer}/spend", json={"points": 24}, headers=fresh_key())

    lots = (await loyalty.get(f"/v1/accounts/{customer}/lots")).json()["items"]
    assert [(lot["remaining"], lot["expires_at"]) for lot in lots] == [(10, None), (6, None)]
    summary = (await loyalty.get(f"/v1/customers/{customer}/summary/loyalty")).json()
    assert (summary["balance"], summary["expiring"]) == (16, [])


async def test_a_spend_reaches_through_more_lots_than_are_read_at_once(
    loyalty: httpx2.AsyncClient, receive: Receive, purchased: MakeEvent
) -> None:
    customer = uuid7()
    await receive(*(purchased(customer, 100) for _ in range(150)))

    spent = await loyalty.post(f"/v1/accounts/{customer}/spend", json={"points": 149}, headers=fresh_key())

    assert spent.json()["balance"] == 1
    lots = (await loyalty.get(f"/v1/accounts/{customer}/lots")).json()["items"]
    assert [lot["remaining"] for lot in lots] == [1]


async def test_entries_explain_themselves_and_are_walked_by_cursor(
    loyalty: httpx2.AsyncClient, receive: Receive, purchased: MakeEvent
) -> None:
    customer = uuid7()
    await receive(*(purchased(customer, 100 * n) for n in range(1, 6)))

    first = (await loyalty.get(f"/v1/accounts/{customer}/entries?limit=3")).json()
    rest = (
        await loyalty.get(
            f"/v1/accounts/{customer}/entries", params={"limit": 3, "cursor": first["next_cursor"]}
        )
    ).json()

    assert [entry["amount"] for entry in first["items"] + rest["items"]] == [5, 4, 3, 2, 1]
    assert rest["has_more"] is False
    assert first["items"][0]["explanation"] == [
        {
            "rule": "base",
            "version": 1,
            "points": 5,
            "text": "1 per whole 100 of 500 USD (minor units): 5 × 1",
            "line": None,
        }
    ]
    assert first["items"][0]["effective_at"] == "2026-02-01T12:00:00Z"


async def test_the_account_can_be_read_as_of_an_instant(
    loyalty: httpx2.AsyncClient, give: Give, clock: FrozenClock
) -> None:
    customer = uuid7()
    start = clock.now()
    await give(customer, 10)
    clock.advance(timedelta(hours=1))
    await loyalty.post(
        f"/v1/accounts/{customer}/holds", json={"points": 4, "expires_in": 3600}, headers=fresh_key()
    )
    clock.advance(timedelta(minutes=30))
    await loyalty.post(f"/v1/accounts/{customer}/spend", json={"points": 3}, headers=fresh_key())

    async def as_of(instant: datetime) -> tuple[int, int]:
        answer = await loyalty.get(
            f"/v1/accounts/{customer}", params={"as_of": instant.astimezone(UTC).isoformat()}
        )
        return answer.json()["balance"], answer.json()["held"]

    assert await as_of(start - timedelta(seconds=1)) == (0, 0)
    assert await as_of(start) == (10, 0)
    assert await as_of(start + timedelta(hours=1)) == (10, 4)
    assert await as_of(clock.now()) == (7, 4)


async def test_the_programme_adds_up(
    loyalty: httpx2.AsyncClient, receive: Receive, purchased: MakeEvent
) -> None:
    customer, other = uuid7(), uuid7()
    await receive(purchased(customer, 5000), purchased(other, 3000))
    await loyalty.post(f"/v1/accounts/{customer}/spend", json={"points": 8}, headers=fresh_key())
    await loyalty.post(
        f"/v1/accounts/{other}/adjust", json={"points": -5, "reason": "test"}, headers=fresh_key()
    )
    await loyalty.post(
        f"/v1/accounts/{other}/holds", json={"points": 6, "expires_in": 60}, headers=fresh_key()
    )

    figures = (await loyalty.get("/v1/programme")).json()

    assert {name: figure["value"] for name, figure in figures.items()} == {
        "accounts": 2,
        "issued": 80,
        "redeemed": 8,
        "adjusted": -5,
        "expired": 0,
        "reversed": 0,
        "forgiven": 0,
        "owed": 0,
        "outstanding": 67,
        "held": 6,
    }
    assert all(figure["definition"] for figure in figures.values())


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"points": 0},
        {"points": -1},
        {"points": 1.5},
        {"points": "1"},
        {"points": True},
        {"points": 10**12},
        {"points": 1, "extra": 1},
        {"points": 1, "reason": ""},
        {"points": 1, "reason": "x" * 501},
        [],
    ],
)
async def test_a_spend_that_makes_no_sense_is_refused_with_a_pointer(
    loyalty: httpx2.AsyncClient, give: Give, body: object
) -> None:
    customer = uuid7()
    await give(customer, 20)

    answer = await loyalty.post(f"/v1/accounts/{customer}/spend", json=body, headers=fresh_key())

    assert answer.status_code == 422
    assert answer.json()["errors"]
    assert (await account(loyalty, customer))["balance"] == 20
