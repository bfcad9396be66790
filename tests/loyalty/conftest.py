"""What the tests of loyalty share: customers with points, and events as they arrive."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import httpx2
import pytest
import pytest_asyncio
from asyncpg import PostgresError
from sqlalchemy import event, text
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from tests.loyalty.tiers import LADDER, NEW, Json

from crm_local.provisioning import Databases
from crm_loyalty.handlers import subscriptions
from crm_loyalty.ledger import ledger
from crm_loyalty.postings import Earn
from crm_shared.contracts.base import Event, Money
from crm_shared.contracts.profiles import (
    CustomerCreated,
    CustomerErased,
    CustomerMerged,
    CustomerUnmerged,
    PurchaseLineState,
    PurchaseRecorded,
)
from crm_shared.database import Sessions, async_url, sqlstate, unavailable
from crm_shared.ids import uuid7
from crm_shared.testing import FrozenClock, arrived, fresh_key, handle

Give = Callable[..., Awaitable[None]]
Receive = Callable[..., Awaitable[None]]
MakeEvent = Callable[..., Event]
Put = Callable[..., Awaitable[None]]
Household = Callable[..., Awaitable[str]]

_DEADLOCK = "40P01"


@pytest.fixture
def created() -> MakeEvent:
    def make(customer_id: UUID) -> Event:
        return arrived(CustomerCreated(customer_id=customer_id, version=1, name="王小明"))

    return make


@pytest.fixture
def purchased() -> MakeEvent:
    def make(
        customer_id: UUID,
        cents: int,
        *,
        currency: str = "USD",
        at: datetime = datetime(2026, 2, 1, 12, tzinfo=UTC),
    ) -> Event:
        purchase = PurchaseRecorded(
            customer_id=customer_id,
            version=1,
            purchase_id=uuid7(),
            source="shop",
            external_id=str(uuid7()),
            occurred_at=at,
            total=Money(amount=cents, currency=currency),
            lines=[],
        )
        return arrived(purchase)

    return make


@pytest.fixture
def merged() -> MakeEvent:
    def make(absorbed: UUID, survivor: UUID, merge_id: UUID, version: int = 2) -> Event:
        return arrived(
            CustomerMerged(
                customer_id=absorbed,
                version=version,
                survivor_id=survivor,
                merge_id=merge_id,
                sequence=version,
            )
        )

    return make


@pytest.fixture
def unmerged() -> MakeEvent:
    def make(absorbed: UUID, survivor: UUID, merge_id: UUID, version: int = 3) -> Event:
        return arrived(
            CustomerUnmerged(
                customer_id=absorbed,
                version=version,
                survivor_id=survivor,
                merge_id=merge_id,
                sequence=version,
            )
        )

    return make


@pytest.fixture
def erased() -> MakeEvent:
    def make(customer_id: UUID) -> Event:
        return arrived(CustomerErased(customer_id=customer_id, version=4, erasure_id=uuid7()))

    return make


@pytest.fixture
def sessions(stored: dict[str, Sessions]) -> Sessions:
    """Loyalty's."""
    return stored["loyalty"]


def receiving(sessions: Sessions, clock: FrozenClock) -> Receive:
    """Hands events to the handlers as one poll of the worker, which waits out trouble of the database."""

    async def hand_over(*events: Event) -> None:
        while True:
            try:
                async with sessions.begin() as session:
                    await handle(session, subscriptions, list(events), at=clock.now())
                return
            except (SQLAlchemyError, PostgresError) as error:
                if not unavailable(error):
                    raise

    return hand_over


@pytest.fixture
def receive(sessions: Sessions, clock: FrozenClock) -> Receive:
    return receiving(sessions, clock)


@pytest.fixture
def give(sessions: Sessions, clock: FrozenClock) -> Give:
    """Gives a customer points in one lot."""

    async def earn(customer_id: UUID, points: int, *, expires_at: datetime | None = None) -> None:
        posting = Earn(
            customer_id=customer_id,
            source="test",
            reference=str(uuid7()),
            effective_at=clock.now(),
            points=points,
            expires_at=expires_at,
        )
        async with sessions.begin() as session:
            [verdict] = await ledger.post(session, [posting], at=clock.now())
            verdict.accepted()

    return earn


@pytest.fixture
def bought() -> MakeEvent:
    """A purchase of one piece of each category at so many cents."""

    def make(
        customer_id: UUID,
        *lines: tuple[str, int],
        at: datetime = datetime(2026, 2, 1, 12, tzinfo=UTC),
    ) -> Event:
        total = sum(cents for _, cents in lines)
        return arrived(
            PurchaseRecorded(
                customer_id=customer_id,
                version=1,
                purchase_id=uuid7(),
                source="shop",
                external_id=str(uuid7()),
                occurred_at=at,
                channel="web",
                total=Money(amount=total, currency="USD"),
                lines=[
                    PurchaseLineState(
                        line=number, category=category, quantity=1, total=Money(amount=cents, currency="USD")
                    )
                    for number, (category, cents) in enumerate(lines, start=1)
                ],
            )
        )

    return make


@pytest.fixture
def put(loyalty: httpx2.AsyncClient) -> Put:
    """Writes a rule, the first version or the next."""

    async def write(key: str, **terms: Any) -> None:
        path = f"/v1/earning-rules/{key}"
        etag = (await loyalty.get(path)).headers.get("ETag")
        seen = {"If-Match": etag} if etag else {"If-None-Match": "*"}
        answer = await loyalty.put(path, json={"description": key} | terms, headers=seen)
        assert answer.status_code == 200, answer.text

    return write


@pytest_asyncio.fixture
async def forget_rules(addresses: Mapping[str, Databases]) -> AsyncIterator[None]:
    """Removes rules that were really committed: the table is not emptied as others are."""
    yield
    owner = create_async_engine(async_url(addresses["loyalty"].owner_url))
    async with owner.begin() as connection:
        await connection.execute(text("DELETE FROM earning_rules WHERE created_by <> 'migration'"))
    await owner.dispose()


@pytest.fixture
def circles(engines: dict[str, AsyncEngine]) -> Iterator[list[str]]:
    """The statements that the database ended because they waited in a circle."""
    found: list[str] = []

    def note(context: ExceptionContext) -> None:
        error = context.sqlalchemy_exception
        if isinstance(error, DBAPIError) and sqlstate(error) == _DEADLOCK:
            found.append(context.statement or "commit")

    event.listen(engines["loyalty"].sync_engine, "handle_error", note)
    yield found
    event.remove(engines["loyalty"].sync_engine, "handle_error", note)


@pytest.fixture
def pool(loyalty: httpx2.AsyncClient) -> Household:
    """Makes a pool of these customers, the first of whom is the head: `await pool([ann, bea])`; its id."""

    async def make(people: Sequence[UUID], **terms: Any) -> str:
        async def send(path: str, body: Any = None) -> dict[str, Any]:
            answer = await loyalty.post(path, json=body, headers=fresh_key())
            assert answer.is_success, answer.text
            said: dict[str, Any] = answer.json()
            return said

        head, *others = people
        made: str = (await send("/v1/pools", {"head": str(head), "name": "The Lims"} | terms))["id"]
        for other in others:
            member = await send(f"/v1/pools/{made}/members", {"customer_id": str(other)})
            await send(f"/v1/pools/{made}/members/{member['id']}/accept")
        return made

    return make


@pytest_asyncio.fixture
async def ladder(loyalty: httpx2.AsyncClient) -> Json:
    made = await loyalty.put("/v1/tiers", json=LADDER, headers=NEW)
    assert made.status_code == 200, made.text
    body: Json = made.json()
    return body


@pytest.fixture
async def people(give: Give) -> list[UUID]:
    """Three with ten, twenty and thirty points."""
    found = [uuid7() for _ in range(3)]
    for points, customer in zip((10, 20, 30), found, strict=True):
        await give(customer, points)
    return found
