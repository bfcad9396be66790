"""Refunds: what returned lines earned is taken back, what was paid on them comes back, and never more."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx2
from sqlalchemy import text
from tests.conftest import ClientFactory
from tests.loyalty.accounts import differences
from tests.loyalty.conftest import Give, MakeEvent, Receive

from crm_shared.callers import Role
from crm_shared.contracts.base import Event, Money
from crm_shared.contracts.profiles import (
    PurchaseLineState,
    PurchaseRecorded,
    PurchaseRefunded,
    RefundLineState,
)
from crm_shared.database import Sessions
from crm_shared.ids import uuid7
from crm_shared.testing import FrozenClock, arrived, fresh_key, published

BOUGHT_AT = datetime(2026, 2, 1, 12, tzinfo=UTC)


def usd(cents: int) -> Money:
    return Money(amount=cents, currency="USD")


class Order:
    """An order of one piece per line, and what was given back of it so far."""

    def __init__(self, customer_id: UUID, *cents: int) -> None:
        self.customer_id, self.cents = customer_id, cents
        self.id, self.name, self.refunded, self.version = uuid7(), f"o-{uuid7()}", 0, 1

    def bought(self) -> Event:
        lines = [
            PurchaseLineState(line=number, quantity=1, total=usd(cents))
            for number, cents in enumerate(self.cents, 1)
        ]
        return arrived(
            PurchaseRecorded(
                customer_id=self.customer_id,
                version=1,
                purchase_id=self.id,
                source="shop",
                external_id=self.name,
                occurred_at=BOUGHT_AT,
                total=usd(sum(self.cents)),
                lines=lines,
            )
        )

    def returned(self, *lines: tuple[int, int]) -> Event:
        """So many cents of these lines, by number."""
        self.refunded += sum(cents for _, cents in lines)
        self.version += 1
        return arrived(
            PurchaseRefunded(
                customer_id=self.customer_id,
                version=self.version,
                purchase_id=self.id,
                refund_id=uuid7(),
                source="shop",
                external_id=f"r-{uuid7()}",
                occurred_at=BOUGHT_AT + timedelta(days=1),
                total=usd(sum(cents for _, cents in lines)),
                lines=[RefundLineState(line=line, quantity=0, amount=usd(cents)) for line, cents in lines],
                order_source="shop",
                order_external_id=self.name,
                purchased_at=BOUGHT_AT,
                purchase_total=usd(sum(self.cents)),
                refunded_total=usd(self.refunded),
                status="refunded" if self.refunded == sum(self.cents) else "partly_refunded",
            )
        )


async def account(loyalty: httpx2.AsyncClient, customer: UUID) -> tuple[int, int, int]:
    found = (await loyalty.get(f"/v1/accounts/{customer}")).json()
    return found["balance"], found["available"], found["owed"]


async def spend(loyalty: httpx2.AsyncClient, customer: UUID, points: int, order: Order | None = None) -> Any:
    body: dict[str, Any] = {"points": points}
    if order is not None:
        body["order"] = {"source": "shop", "external_id": order.name}
    answer = await loyalty.post(f"/v1/accounts/{customer}/spend", json=body, headers=fresh_key())
    assert answer.status_code == 201, answer.text
    return answer.json()


async def test_a_refund_takes_back_exactly_what_the_returned_lines_earned(
    loyalty: httpx2.AsyncClient, receive: Receive, sessions: Sessions
) -> None:
    customer = uuid7()
    order = Order(customer, 3000, 7000)
    await receive(order.bought())
    assert (await account(loyalty, customer))[0] == 100

    first = order.returned((1, 3000))
    await receive(first)
    assert (await account(loyalty, customer))[0] == 70
    await receive(order.returned((2, 3500)))
    assert (await account(loyalty, customer))[0] == 35
    await receive(order.returned((2, 3500)))

    assert (await account(loyalty, customer))[0] == 0
    rows = [row for row in await published(sessions) if row.type == "loyalty.points.reversed.v1"]
    assert rows[0].causation_id == str(first.id)
    assert len(rows) == 3
    assert await differences(sessions) == []


async def test_a_refund_counts_once_even_if_the_inbox_has_forgotten_it(
    loyalty: httpx2.AsyncClient, receive: Receive, sessions: Sessions
) -> None:
    customer = uuid7()
    order = Order(customer, 10_000)
    refund = order.returned((1, 4000))
    await receive(order.bought(), refund)
    async with sessions.begin() as session:
        await session.execute(text("DELETE FROM inbox"))

    await receive(refund)

    assert (await account(loyalty, customer))[0] == 60


async def test_what_was_spent_already_is_owed_and_the_next_points_pay_it(
    loyalty: httpx2.AsyncClient, receive: Receive, sessions: Sessions
) -> None:
    customer = uuid7()
    order = Order(customer, 10_000)
    await receive(order.bought())
    await spend(loyalty, customer, 80)

    await receive(order.returned((1, 10_000)))
    assert await account(loyalty, customer) == (-80, 0, 80)
    refused = await loyalty.post(f"/v1/accounts/{customer}/spend", json={"points": 1}, headers=fresh_key())
    assert (refused.status_code, refused.json()["available"]) == (409, 0)
    await receive(Order(customer, 9_000).bought())

    assert await account(loyalty, customer) == (10, 10, 0)
    assert await differences(sessions) == []


async def test_a_programme_may_forgive_what_was_spent(
    loyalty: httpx2.AsyncClient, receive: Receive, sessions: Sessions
) -> None:
    customer = uuid7()
    policy = {"time_zone": "UTC", "expiry": "never", "debt": "forgive"}
    await loyalty.put("/v1/programme/points-policy", json=policy, headers={"If-Match": '"1"'})
    order = Order(customer, 10_000)
    await receive(order.bought())
    await spend(loyalty, customer, 80)

    await receive(order.returned((1, 10_000)))

    assert await account(loyalty, customer) == (0, 0, 0)
    figures = (await loyalty.get("/v1/programme")).json()
    assert (figures["reversed"]["value"], figures["forgiven"]["value"]) == (100, 80)
    assert await differences(sessions) == []


async def test_a_hold_is_honoured_even_when_its_points_are_taken_back(
    loyalty: httpx2.AsyncClient, receive: Receive, sessions: Sessions
) -> None:
    customer = uuid7()
    order = Order(customer, 10_000)
    await receive(order.bought())
    hold = await loyalty.post(
        f"/v1/accounts/{customer}/holds", json={"points": 60, "expires_in": 60}, headers=fresh_key()
    )

    await receive(order.returned((1, 10_000)))
    assert await account(loyalty, customer) == (0, 0, 60)
    captured = await loyalty.post(
        f"/v1/accounts/{customer}/holds/{hold.json()['id']}/capture", headers=fresh_key()
    )

    assert captured.status_code == 200
    assert await account(loyalty, customer) == (-60, 0, 60)
    assert await differences(sessions) == []


async def test_points_paid_on_an_order_come_back_to_their_lots_with_the_expiry_they_had(
    loyalty: httpx2.AsyncClient, receive: Receive, sessions: Sessions, give: Give, clock: FrozenClock
) -> None:
    customer = uuid7()
    soon, late = clock.now() + timedelta(days=1), clock.now() + timedelta(days=9)
    await give(customer, 30, expires_at=soon)
    await give(customer, 30, expires_at=late)
    order = Order(customer, 50, 50)
    await spend(loyalty, customer, 40, order)
    await receive(order.bought())

    await receive(order.returned((1, 50)))
    lots = (await loyalty.get(f"/v1/accounts/{customer}/lots")).json()["items"]
    assert {lot["expires_at"][:10]: lot["remaining"] for lot in lots if lot["expires_at"]} == {
        f"{late:%Y-%m-%d}": 30,
        f"{soon:%Y-%m-%d}": 10,
    }
    clock.advance(timedelta(days=2))
    await receive(order.returned((2, 50)))

    # What comes back to a lot whose time is over has had its time.
    assert (await account(loyalty, customer))[0] == 30
    assert await differences(sessions) == []


async def test_points_of_a_captured_hold_come_back_too(
    loyalty: httpx2.AsyncClient, receive: Receive, sessions: Sessions, give: Give
) -> None:
    customer = uuid7()
    await give(customer, 30)
    order = Order(customer, 50)
    body = {"points": 20, "expires_in": 60, "order": {"source": "shop", "external_id": order.name}}
    hold = await loyalty.post(f"/v1/accounts/{customer}/holds", json=body, headers=fresh_key())
    await loyalty.post(f"/v1/accounts/{customer}/holds/{hold.json()['id']}/capture", headers=fresh_key())
    await receive(order.bought(), order.returned((1, 50)))

    assert await account(loyalty, customer) == (30, 30, 0)
    assert await differences(sessions) == []


async def test_customers_cannot_say_which_order_their_points_pay(
    client: ClientFactory, loyalty: httpx2.AsyncClient, give: Give
) -> None:
    customer = uuid7()
    await give(customer, 30)
    own = client("loyalty", Role.CUSTOMER, customer_id=customer)
    body = {"points": 1, "order": {"source": "shop", "external_id": "o-1"}}

    answer = await own.post(f"/v1/accounts/{customer}/spend", json=body, headers=fresh_key())

    assert (answer.status_code, answer.json()["code"]) == (403, "order_not_yours")


async def test_what_has_expired_is_not_owed_when_its_purchase_is_given_back(
    loyalty: httpx2.AsyncClient, receive: Receive, sessions: Sessions, clock: FrozenClock
) -> None:
    customer = uuid7()
    policy = {"time_zone": "UTC", "expiry": "days", "expires_after": 60}
    await loyalty.put("/v1/programme/points-policy", json=policy, headers={"If-Match": '"1"'})
    order = Order(customer, 10_000)
    await receive(order.bought())
    await spend(loyalty, customer, 30)
    clock.advance(timedelta(days=60))

    await receive(order.returned((1, 10_000)))

    assert await account(loyalty, customer) == (-30, 0, 30)
    assert await differences(sessions) == []


async def test_a_purchase_of_somebody_who_was_merged_is_given_back_by_who_they_are_now(
    loyalty: httpx2.AsyncClient,
    receive: Receive,
    sessions: Sessions,
    merged: MakeEvent,
    unmerged: MakeEvent,
) -> None:
    survivor, absorbed, merge_id = uuid7(), uuid7(), uuid7()
    order = Order(absorbed, 10_000)
    await receive(order.bought(), Order(survivor, 5_000).bought())
    await receive(merged(absorbed, survivor, merge_id))
    await spend(loyalty, survivor, 120)

    await receive(order.returned((1, 10_000)))
    assert await account(loyalty, survivor) == (-70, 0, 70)
    await receive(unmerged(absorbed, survivor, merge_id))

    parts = [(await account(loyalty, who))[0] for who in (survivor, absorbed)]
    assert sum(parts) == -70
    assert await differences(sessions) == []


async def test_a_purchase_of_somebody_who_was_erased_leaves_the_books_alone(
    receive: Receive, sessions: Sessions, erased: MakeEvent
) -> None:
    customer = uuid7()
    order = Order(customer, 10_000)
    await receive(order.bought(), erased(customer))

    await receive(order.returned((1, 10_000)))

    assert await differences(sessions) == []
    assert not [row for row in await published(sessions) if "reversed" in row.type]


async def test_a_mistaken_movement_is_reversed_by_its_reference_once(
    loyalty: httpx2.AsyncClient, client: ClientFactory, give: Give, sessions: Sessions
) -> None:
    customer = uuid7()
    await give(customer, 50)
    spent = await spend(loyalty, customer, 20)
    path = f"/v1/transactions/{spent['transaction_id']}/reversal"
    once = fresh_key()

    answers = [await loyalty.post(path, json={"reason": "wrong shop"}, headers=once) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [201, 201]
    assert answers[0].json() == answers[1].json()
    assert (answers[0].json()["kind"], answers[0].json()["points"]) == ("reverse", 20)
    again = await loyalty.post(path, json={"reason": "wrong shop"}, headers=fresh_key())
    assert (again.status_code, again.json()["code"]) == (409, "nothing_to_reverse")
    nobody = await loyalty.post(
        f"/v1/transactions/{uuid7()}/reversal", json={"reason": "wrong"}, headers=fresh_key()
    )
    assert (nobody.status_code, nobody.json()["code"]) == (404, "transaction_not_found")
    agent = await client("loyalty", Role.AGENT).post(path, json={"reason": "x"}, headers=fresh_key())
    assert agent.status_code == 403

    [entry] = (await loyalty.get(f"/v1/accounts/{customer}/entries?limit=1")).json()["items"]
    assert (entry["amount"], entry["reverses"], entry["reason"]) == (
        20,
        spent["transaction_id"],
        "wrong shop",
    )
    assert await account(loyalty, customer) == (50, 50, 0)
    assert await differences(sessions) == []


async def test_what_was_recorded_and_what_applied_are_two_questions(
    loyalty: httpx2.AsyncClient, receive: Receive, clock: FrozenClock
) -> None:
    customer = uuid7()
    order = Order(customer, 10_000)
    await receive(order.bought())
    before = clock.now()
    clock.advance(timedelta(days=1))
    await receive(order.returned((1, 4_000)))
    returned_at = BOUGHT_AT + timedelta(days=1)
    path = f"/v1/accounts/{customer}"

    async def figures(**parameters: datetime) -> tuple[int, int, list[int]]:
        asked = {name: value.isoformat() for name, value in parameters.items()}
        standing = (await loyalty.get(path, params=asked)).json()
        entries = (await loyalty.get(f"{path}/entries", params=asked)).json()["items"]
        lots = (await loyalty.get(f"{path}/lots", params=asked)).json()["items"]
        return standing["balance"], sum(e["amount"] for e in entries), [lot["remaining"] for lot in lots]

    assert await figures(as_of=before) == (100, 100, [100])
    assert await figures(as_of=clock.now()) == (60, 60, [60])
    assert await figures(effective_at=returned_at - timedelta(seconds=1)) == (100, 100, [100])
    assert await figures(effective_at=returned_at) == (60, 60, [60])
    assert await figures(effective_at=returned_at, as_of=before) == (100, 100, [100])
    assert await figures(as_of=BOUGHT_AT) == (0, 0, [])
    assert await figures() == (60, 60, [60])
