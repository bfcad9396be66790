"""A merge and its undoing, in all services: every row goes where it belongs, and no sum changes."""

from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import MetaData, Table, select
from sqlalchemy.ext.asyncio import AsyncSession
from tests.chance import examples
from tests.flows.conftest import LISTENERS, Settle

from crm_loyalty import reconcile
from crm_loyalty.models.base import Base as Loyalty
from crm_loyalty.models.ledger import Account, Entry, Hold, Lot
from crm_profiles.models.base import Base as Profiles
from crm_profiles.models.purchases import Purchase
from crm_segmentation.models import Base as Segmentation
from crm_segmentation.models import Customer as Valued
from crm_segmentation.models import Purchase as ValuedPurchase
from crm_shared.contracts.base import Event
from crm_shared.customers import CustomerAlias, owned_tables
from crm_shared.database import Sessions
from crm_shared.testing import FrozenClock, envelope_of, fresh_key, handle, published
from crm_tickets.models import Base as Tickets
from crm_tickets.models import Ticket

Customer = Callable[..., Awaitable[UUID]]
Buy = Callable[..., Awaitable[None]]
Snapshot = dict[str, list[dict[str, Any]]]

BASES: dict[str, MetaData] = {
    "profiles": Profiles.metadata,
    "segmentation": Segmentation.metadata,
    "tickets": Tickets.metadata,
    "loyalty": Loyalty.metadata,
}
# Versions tell of the way, not of what there is; the level comes back by an event, which makes an entry.
_OF_THE_WAY = {"version", "level_version", "profile_version", "updated_at", "changed_at", "recorded_at"}
_TOLD_ANEW = {"timeline_entries"}


async def rows(session: AsyncSession, table: Table) -> list[dict[str, Any]]:
    found = await session.execute(select(table))
    kept = [{k: v for k, v in row._mapping.items() if k not in _OF_THE_WAY} for row in found]
    return sorted(kept, key=repr)


async def snapshot(databases: dict[str, Sessions]) -> Snapshot:
    """Whole tables: all that are owned, and what services know of customers."""
    found: Snapshot = {}
    for service, metadata in BASES.items():
        async with databases[service]() as session:
            tables = [table for table in owned_tables(metadata) if table.name not in _TOLD_ANEW]
            tables += [table for table in metadata.sorted_tables if table.name == "customers"]
            for table in tables:
                found[f"{service}.{table.name}"] = await rows(session, table)
    return found


async def merge(profiles: httpx2.AsyncClient, survivor: UUID, absorbed: UUID) -> str:
    answer = await profiles.post(
        "/v1/merges",
        json={"survivor_id": str(survivor), "absorbed_id": str(absorbed)},
        headers=fresh_key(),
    )
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


async def undo(profiles: httpx2.AsyncClient, merge_id: str) -> None:
    answer = await profiles.post(f"/v1/merges/{merge_id}/undo", json={})
    assert answer.status_code == 200, answer.text


async def write(client: httpx2.AsyncClient, path: str, body: dict[str, Any]) -> httpx2.Response:
    answer = await client.post(path, json=body, headers=fresh_key())
    assert answer.is_success or answer.status_code == 409, answer.text
    return answer


@pytest.fixture
def open_ticket(tickets: httpx2.AsyncClient) -> Callable[[UUID], Awaitable[httpx2.Response]]:
    async def send(who: UUID) -> httpx2.Response:
        body = {"customer_id": str(who), "kind": "enquiry", "title": "Where is it?"}
        return await write(tickets, "/v1/tickets", body)

    return send


async def test_a_merge_undone_leaves_every_table_of_every_service_as_it_was(
    customer: Customer,
    purchase: Buy,
    settle: Settle,
    open_ticket: Callable[[UUID], Awaitable[httpx2.Response]],
    databases: dict[str, Sessions],
    profiles: httpx2.AsyncClient,
    loyalty: httpx2.AsyncClient,
    segmentation: httpx2.AsyncClient,
    clock: FrozenClock,
) -> None:
    ann = await customer("Ann", contact_points=[{"kind": "email", "value": "ann@example.com"}], tags=["a"])
    bea = await customer("Bea", contact_points=[{"kind": "email", "value": "bea@example.com"}], language="fr")
    for who, cents in ((ann, 20_000), (bea, 9_000), (bea, 500)):
        await purchase(who, cents, clock.now())
    await settle()
    for who in (ann, bea):
        await open_ticket(who)
        await write(loyalty, f"/v1/accounts/{who}/holds", {"points": 10, "expires_in": 600})
    await settle()
    before = await snapshot(databases)

    merge_id = await merge(profiles, ann, bea)
    await settle()
    assert (await segmentation.get(f"/v1/rfm/{bea}")).json()["monetary"]["amount"] == 29_500
    assert (await loyalty.get(f"/v1/accounts/{bea}")).json()["balance"] == 200 + 90 + 5
    during = await snapshot(databases)
    assert {row["customer_id"] for row in during["tickets.tickets"]} == {ann}
    await undo(profiles, merge_id)
    await settle()

    after = await snapshot(databases)
    for table, expected in before.items():
        assert after[table] == expected, table


# What is done, by which of the people, to which other, and how much of what waits is delivered.
STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            ["buy", "ticket", "spend", "hold", "note", "merge", "merge", "undo", *["deliver"] * 6],
        ),
        st.integers(0, 2),
        st.integers(0, 2),
        st.integers(0, 5),
    ),
    min_size=4,
    max_size=30,
)


class World:
    """Three customers, all services, and a broker that is slow in its own way for each of them."""

    def __init__(
        self, databases: dict[str, Sessions], clock: FrozenClock, **clients: httpx2.AsyncClient
    ) -> None:
        self.databases, self.clock, self.clients = databases, clock, clients
        self.people: list[UUID] = []
        self.spent = 0
        self.seen: dict[str, int] = {}
        self.waiting: dict[tuple[str, str], list[Event]] = {}

    async def begin(self, people: list[UUID]) -> None:
        """What was published before has been delivered."""
        self.people = people
        for source in LISTENERS:
            self.seen[source] = len(await published(self.databases[source]))

    async def take(self, verb: str, who: UUID, other: UUID, number: int) -> None:
        match verb:
            case "buy":
                await self.buy(who)
            case "ticket":
                ticket = {"customer_id": str(who), "kind": "enquiry", "title": "Where is it?"}
                await write(self.clients["tickets"], "/v1/tickets", ticket)
            case "spend":
                answer = await write(self.clients["loyalty"], f"/v1/accounts/{who}/spend", {"points": 8})
                self.spent += 8 if answer.is_success else 0
            case "hold":
                hold = {"points": 5, "expires_in": 600}
                await write(self.clients["loyalty"], f"/v1/accounts/{who}/holds", hold)
            case "note":
                await write(self.clients["profiles"], f"/v1/customers/{who}/notes", {"text": "Likes jazz"})
            case "merge":
                both = {"survivor_id": str(who), "absorbed_id": str(other)}
                await write(self.clients["profiles"], "/v1/merges", both)
            case "undo":
                await self.undo(number)
            case "deliver":
                await self.deliver(number)

    async def buy(self, who: UUID) -> None:
        money = {"amount": 1_000, "currency": "USD"}
        body = {"source": "shop", "external_id": str(uuid4()), "occurred_at": self.clock.now().isoformat()}
        lines = {"currency": "USD", "lines": [{"quantity": 1, "total": money}]}
        await write(self.clients["profiles"], "/v1/purchases", body | lines | {"customer_id": str(who)})

    async def undo(self, number: int = 0) -> bool:
        """Undo a merge that is in force, the newest being 0; False: there is none."""
        items = (await self.clients["profiles"].get("/v1/merges")).json()["items"]
        in_force = [item["id"] for item in items if item["undone"] is None]
        if not in_force:
            return False
        place = number % len(in_force)
        path = f"/v1/merges/{in_force[place]}/undo"
        answer = await self.clients["profiles"].post(path, json={})
        if answer.status_code != 200:  # one of a chain, whose later links come first
            assert place > 0, "the newest can always be undone"
            assert (answer.status_code, answer.json()["code"]) == (409, "later_merge_first"), answer.text
        return True

    async def deliver(self, number: int) -> bool:
        """Somebody gets the next few events of one customer; False: nothing is under way."""
        for source in LISTENERS:
            rows = (await published(self.databases[source]))[self.seen[source] :]
            self.seen[source] += len(rows)
            for row in rows:
                for target in LISTENERS.keys() - {source}:
                    if subscription := LISTENERS[target].find(row.type):
                        event = subscription.event_class.received(row.data, envelope_of(row))
                        self.waiting.setdefault((target, row.key), []).append(event)
        if not self.waiting:
            return False
        target, key = sorted(self.waiting)[number % len(self.waiting)]
        events = self.waiting.pop((target, key))
        portion = 1 + number % len(events)
        if events[portion:]:
            self.waiting[target, key] = events[portion:]
        async with self.databases[target].begin() as session:
            subscriptions = LISTENERS[target]
            await handle(session, subscriptions, events[:portion], consumer=target, at=self.clock.now())
        return True


@settings(max_examples=examples(6), suppress_health_check=list(HealthCheck))
@given(steps=STEPS)
async def test_whatever_happens_between_merges_each_row_ends_under_its_own_id_and_sums_stay(
    steps: list[tuple[str, int, int, int]],
    customer: Customer,
    purchase: Buy,
    settle: Settle,
    databases: dict[str, Sessions],
    profiles: httpx2.AsyncClient,
    tickets: httpx2.AsyncClient,
    loyalty: httpx2.AsyncClient,
    clock: FrozenClock,
) -> None:
    world = World(databases, clock, profiles=profiles, tickets=tickets, loyalty=loyalty)
    people = [await customer(name) for name in ("Ann", "Bea", "Cat")]
    for who in people:
        await purchase(who, 5_000, clock.now())
    await settle()
    await world.begin(people)
    for verb, first, second, number in steps:
        await world.take(verb, people[first], people[second], number)
    while await world.undo():
        pass
    while await world.deliver(len(steps)):
        pass

    for service, metadata in BASES.items():
        async with databases[service]() as session:
            assert list(await session.scalars(select(CustomerAlias.absorbed))) == []
            for table in owned_tables(metadata):
                found = await session.execute(select(table.c.customer_id, table.c.origin_customer_id))
                strays = [row for row in found if row.customer_id != row.origin_customer_id]
                assert strays == [], f"{service}.{table.name}"
    await check_sums(databases, people, world.spent)


async def check_sums(databases: dict[str, Sessions], people: list[UUID], spent: int) -> None:
    async with databases["profiles"]() as session:
        bought = {
            who: sorted(
                await session.scalars(select(Purchase.amount).where(Purchase.origin_customer_id == who))
            )
            for who in people
        }
    async with databases["segmentation"]() as session:
        for who in people:
            amounts = select(ValuedPurchase.amount).where(ValuedPurchase.customer_id == who)
            assert sorted(await session.scalars(amounts)) == bought[who]
            value = (await session.scalars(select(Valued).where(Valued.customer_id == who))).one()
            assert (value.frequency, value.monetary) == (len(bought[who]), sum(bought[who]))
            assert value.level is not None
    async with databases["tickets"]() as session:
        owners = await session.execute(select(Ticket.customer_id, Ticket.origin_customer_id))
        assert all(row.customer_id == row.origin_customer_id for row in owners)
    async with databases["loyalty"]() as session:
        assert await reconcile.differences(await session.connection()) == []
        accounts = list(await session.scalars(select(Account).where(Account.customer_id.in_(people))))
        earned = sum(amount // 100 for amounts in bought.values() for amount in amounts)
        assert sum(account.balance for account in accounts) == earned - spent
        for account in accounts:
            lots = await session.scalars(select(Lot.remaining).where(Lot.account_id == account.id))
            entries = await session.scalars(select(Entry.amount).where(Entry.account_id == account.id))
            assert sum(lots) == sum(entries) == account.balance
        held = await session.scalars(select(Hold.points).where(Hold.customer_id.in_(people)))
        assert sum(held) == sum(account.held for account in accounts)
