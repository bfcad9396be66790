"""What becomes of a poll: effects once, poison parked with its key, the rest undisturbed."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import ClassVar
from uuid import UUID

import pytest
from asyncpg import InternalClientError
from sqlalchemy import func, select, text
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.ext.asyncio import AsyncSession

from crm_shared import dead_letters
from crm_shared.clock import SystemClock
from crm_shared.contracts.base import Event
from crm_shared.customers import ErasedCustomer
from crm_shared.database import Sessions, unavailable
from crm_shared.dead_letters import DeadLetter, State
from crm_shared.ids import derived, uuid7
from crm_shared.inbox import Inbox
from crm_shared.messaging.envelope import Header, Stored, encode
from crm_shared.messaging.handling import ATTEMPTS, Handling
from crm_shared.metrics import Metrics
from crm_shared.settings import ServiceSettings
from crm_shared.subscriptions import Subscriptions
from crm_shared.testing import Signer
from crm_shared.tracing import Tracer

AMY, BEN = derived("amy"), derived("ben")
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


class Bought(Event):
    """Something was bought."""

    type: ClassVar[str] = "shop.order.placed.v1"
    subject_field: ClassVar[str] = "customer_id"

    number: int


class Left(Event):
    """The customer is to be forgotten."""

    type: ClassVar[str] = "shop.customer.left.v1"
    subject_field: ClassVar[str] = "customer_id"
    survives_erasure: ClassVar[bool] = True


class NotToday(Exception):
    """What the handler raises for what it cannot take."""


@dataclass
class Arrived:
    """A record as the broker gives it."""

    key: bytes | None
    value: bytes | None
    headers: Sequence[Header]
    offset: int = 0
    topic: str = "shop.events"
    partition: int = 3
    timestamp: int = 0


def arrived(event: Event, offset: int = 0, *, id: UUID | None = None, type: str | None = None) -> Arrived:
    trace = f"00-{TRACE}-00f067aa0ba902b7-01"
    row = Stored(
        *(offset, id or uuid7(), type or event.type, event.key, event.subject, event.version),
        *(event.model_dump_json(), datetime.now(UTC), trace, None, None),
    )
    message = encode(row, "shop.events")
    return Arrived(message.key, message.value, message.headers, offset)


def bought(customer: UUID, number: int, *, id: UUID | None = None) -> Arrived:
    return arrived(Bought(customer_id=customer, version=number, number=number), number, id=id)


@dataclass
class Shop:
    """A consumer whose handler remembers in the database what it was given, and fails where it is told to."""

    sessions: Sessions
    settings: ServiceSettings
    fails: Callable[[Bought], Exception | None] = lambda event: None
    calls: list[list[int]] = field(default_factory=list)
    metrics: Metrics = field(default_factory=lambda: Metrics("reader", "test"))

    @property
    def handling(self) -> Handling:
        subscriptions = Subscriptions()

        @subscriptions.on(Bought)
        async def keep(session: AsyncSession, events: Sequence[Bought], *, at: datetime) -> None:
            for event in events:
                # An effect that goes with the transaction: one more row of a table that is there anyway.
                session.add(Inbox(consumer="effect", source=event.key, event_id=event.id, received_at=at))
            await session.flush()
            for event in events:
                if error := self.fails(event):
                    raise error
            self.calls.append([event.number for event in events])

        @subscriptions.on(Left)
        async def forget(session: AsyncSession, events: Sequence[Left], *, at: datetime) -> None:
            self.calls.append([0])

        tracer = Tracer(self.settings)
        return Handling("reader", subscriptions, self.sessions, SystemClock(), self.metrics, tracer)

    async def effects(self) -> int:
        async with self.sessions() as session:
            count = select(func.count()).select_from(Inbox).where(Inbox.consumer == "effect")
            return await session.scalar(count) or 0

    async def letters(self) -> list[DeadLetter]:
        async with self.sessions() as session:
            return list(await session.scalars(select(DeadLetter).order_by(DeadLetter.seq)))

    def counted(self, type: str, result: str) -> float:
        return (
            self.metrics.registry.get_sample_value("events_consumed_total", {"type": type, "result": result})
            or 0
        )


@pytest.fixture
def shop(committed_sessions: Sessions) -> Shop:
    settings = ServiceSettings(
        service="reader",
        database_url="postgresql://nobody@nowhere/nothing",
        kafka_bootstrap_servers="nowhere:1",
        internal_public_key=Signer().public_key,
        cursor_secret="cursors of the tests, thirty-two bytes and more",
    )
    return Shop(committed_sessions, settings)


def failing_for(*numbers: int) -> Callable[[Bought], Exception | None]:
    return lambda event: NotToday(f"not {event.number}") if event.number in numbers else None


async def test_a_poll_of_one_type_is_one_call_in_one_transaction(shop: Shop) -> None:
    await shop.handling.handle([bought(AMY, 1), bought(BEN, 2), bought(AMY, 3)])
    assert shop.calls == [[1, 2, 3]]
    assert await shop.effects() == 3
    assert shop.counted(Bought.type, "ok") == 3


async def test_what_comes_twice_has_its_effect_once(shop: Shop) -> None:
    same = uuid7()
    await shop.handling.handle([bought(AMY, 1, id=same), bought(AMY, 1, id=same)])
    await shop.handling.handle([bought(AMY, 1, id=same), bought(AMY, 2)])
    assert shop.calls == [[1], [2]]
    assert shop.counted(Bought.type, "duplicate") == 2


async def test_one_poison_among_many_is_parked_and_holds_back_only_its_key(shop: Shop) -> None:
    shop.fails = failing_for(500)
    poll = [bought(AMY if n in (500, 501) else BEN, n) for n in range(1, 1001)]
    await shop.handling.handle(poll)
    assert await shop.effects() == 998
    letters = await shop.letters()
    assert [(letter.reason, letter.offset, letter.key) for letter in letters] == [
        ("failed", 500, str(AMY)),
        ("key-parked", 501, str(AMY)),
    ]
    assert letters[0].attempts == ATTEMPTS
    assert letters[0].detail == "NotToday: not 500"
    assert (letters[0].topic, letters[0].partition) == ("shop.events", 3)
    await shop.handling.handle([bought(AMY, 502), bought(BEN, 1001)])
    assert await shop.effects() == 999
    assert [letter.offset for letter in await shop.letters()] == [500, 501, 502]


async def test_to_be_forgotten_waits_for_no_parked_event(shop: Shop) -> None:
    shop.fails = failing_for(1)
    await shop.handling.handle([bought(AMY, 1)])
    await shop.handling.handle([bought(AMY, 2), arrived(Left(customer_id=AMY, version=3), 3)])
    assert shop.calls == [[0]]
    assert [letter.offset for letter in await shop.letters()] == [1, 2]


async def test_a_statement_that_is_always_too_slow_is_poison_and_does_not_hold_up_the_rest(
    shop: Shop, committed_sessions: Sessions
) -> None:
    async with committed_sessions() as session:
        await session.execute(text("SET LOCAL statement_timeout = '10ms'"))
        with pytest.raises(DBAPIError) as slow:
            await session.execute(text("SELECT pg_sleep(1)"))
    shop.fails = lambda event: slow.value if event.number == 1 else None
    await shop.handling.handle([bought(AMY, 1), bought(BEN, 2)])
    assert shop.calls == [[2]]
    (letter,) = await shop.letters()
    assert (letter.key, letter.detail) == (str(AMY), "DBAPIError 57014")


async def test_waiting_for_somebody_elses_lock_is_trouble_of_the_database(
    shop: Shop, committed_sessions: Sessions
) -> None:
    async with committed_sessions() as holder, committed_sessions() as session:
        await holder.execute(text("LOCK TABLE jobs"))
        await session.execute(text("SET LOCAL lock_timeout = '10ms'"))
        with pytest.raises(DBAPIError) as waited:
            await session.execute(text("SELECT FROM jobs"))
    assert unavailable(waited.value)


async def test_a_fault_that_passes_parks_nothing(shop: Shop) -> None:
    failures = iter([NotToday(), NotToday()])
    shop.fails = lambda event: next(failures, None)
    await shop.handling.handle([bought(AMY, 1)])
    assert shop.calls == [[1]]
    assert await shop.letters() == []


async def test_parking_is_done_once_however_often_the_poison_comes(shop: Shop) -> None:
    shop.fails = failing_for(1)
    poison = bought(AMY, 1)
    await shop.handling.handle([poison])
    await shop.handling.handle([poison])
    assert len(await shop.letters()) == 1


@pytest.mark.parametrize(
    "error",
    [
        ConnectionResetError(),
        TimeoutError(),
        InterfaceError("SELECT 1", {}, Exception("connection is closed")),
        OperationalError("SELECT 1", {}, Exception(), connection_invalidated=True),
        InternalClientError("cannot switch to state 12; another operation (2) is in progress"),
    ],
)
async def test_trouble_of_the_database_is_raised_and_parks_nothing(shop: Shop, error: Exception) -> None:
    shop.fails = lambda event: error
    with pytest.raises(type(error)) as raised:
        await shop.handling.handle([bought(AMY, 1)])
    assert unavailable(raised.value)
    assert await shop.letters() == []
    shop.fails = lambda event: None
    await shop.handling.handle([bought(AMY, 1)])
    assert await shop.effects() == 1


async def test_a_connection_killed_in_the_midst_is_trouble_of_the_database(shop: Shop) -> None:
    handling = shop.handling

    async def kill(session: AsyncSession) -> None:
        await session.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))

    subscriptions = Subscriptions()

    @subscriptions.on(Bought)
    async def die(session: AsyncSession, events: Sequence[Bought], *, at: datetime) -> None:
        await kill(session)

    handling._subscriptions = subscriptions
    with pytest.raises(Exception, match=r"terminat|clos") as raised:
        await handling.handle([bought(AMY, 1)])
    assert unavailable(raised.value)
    assert await shop.letters() == []


async def test_a_type_nobody_listens_to_is_skipped_and_counted(shop: Shop) -> None:
    event = Bought(customer_id=AMY, version=1, number=1)
    await shop.handling.handle([arrived(event, type="shop.order.painted.v1"), bought(AMY, 2)])
    assert shop.calls == [[2]]
    assert shop.counted("other", "skipped") == 1
    assert await shop.letters() == []


def foreign(record: Arrived) -> Arrived:
    return Arrived(record.key, record.value, [*record.headers, ("ce_source", b"/crm/elsewhere")])


def of_another_service(record: Arrived) -> Arrived:
    return Arrived(record.key, record.value, [*record.headers, ("ce_type", b"bank.order.placed.v1")])


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (Arrived(b"k", b"\x00\xff garbage", [("ce_id", b"\x00\xff")]), "not-a-cloudevent"),
        (Arrived(None, None, []), "not-a-cloudevent"),
        (Arrived(b"k", b"<x/>", [("content-type", b"application/cloudevents+xml")]), "unknown-format"),
        (foreign(bought(AMY, 1)), "wrong-source"),
        (of_another_service(bought(AMY, 1)), "wrong-source"),
        (Arrived(b"k", b'{"secret": "4711"}', bought(AMY, 1).headers), "invalid"),
        (Arrived(b"k", b"{", bought(AMY, 1).headers), "invalid"),
    ],
)
async def test_what_cannot_be_understood_is_parked_alone(shop: Shop, record: Arrived, reason: str) -> None:
    await shop.handling.handle([bought(AMY, 1), record, bought(AMY, 2)])
    assert shop.calls == [[1, 2]]
    (letter,) = await shop.letters()
    assert (letter.reason, letter.key, letter.value) == (reason, None, record.value)
    assert "4711" not in letter.detail
    await shop.handling.handle([record, bought(AMY, 3)])
    assert len(await shop.letters()) == 1, "the same record is known again"
    assert shop.calls == [[1, 2], [3]]


async def test_events_of_who_was_erased_bring_nothing_back(shop: Shop) -> None:
    async with shop.sessions.begin() as session:
        session.add(ErasedCustomer(customer_id=AMY, erasure_id=uuid7(), erased_at=datetime.now(UTC)))
    await shop.handling.handle([bought(AMY, 1), bought(BEN, 2), arrived(Left(customer_id=AMY, version=2))])
    assert shop.calls == [[2], [0]]
    assert shop.counted(Bought.type, "erased") == 1


async def test_what_cannot_be_understood_of_who_was_erased_is_parked_without_what_it_says(shop: Shop) -> None:
    async with shop.sessions.begin() as session:
        session.add(ErasedCustomer(customer_id=AMY, erasure_id=uuid7(), erased_at=datetime.now(UTC)))
    for customer in (AMY, BEN):
        spoilt = bought(customer, 1)
        await shop.handling.handle([Arrived(spoilt.key, b'{"name": "canary"}', spoilt.headers)])
    amys, bens = await shop.letters()
    assert (amys.key, amys.record_key, amys.value, amys.headers) == (None, str(AMY), None, {})
    assert (bens.key, bens.record_key, bens.value) == (None, str(BEN), b'{"name": "canary"}')


async def redrive_all(handling: Handling) -> None:
    while await handling.redrive():
        pass


async def asked_to_redrive(shop: Shop, which: int = 0) -> None:
    letters = await shop.letters()
    async with shop.sessions.begin() as session:
        await dead_letters.redrive(session, letters[which].id)


async def test_after_the_repair_parked_events_are_handled_in_their_order(shop: Shop) -> None:
    shop.fails = failing_for(1)
    await shop.handling.handle([bought(AMY, 1), bought(AMY, 2)])
    assert await shop.effects() == 0
    shop.fails = lambda event: None
    await asked_to_redrive(shop, 1)
    await redrive_all(shop.handling)
    assert shop.calls == [[1], [2]]
    assert [letter.state for letter in await shop.letters()] == [State.HANDLED, State.HANDLED]
    await shop.handling.handle([bought(AMY, 3)])
    assert shop.calls == [[1], [2], [3]]


async def test_a_redrive_that_fails_again_parks_the_key_again(shop: Shop) -> None:
    shop.fails = failing_for(1)
    await shop.handling.handle([bought(AMY, 1), bought(AMY, 2)])
    await asked_to_redrive(shop)
    await redrive_all(shop.handling)
    assert shop.calls == []
    letters = await shop.letters()
    assert [letter.state for letter in letters] == [State.PARKED, State.PARKED]
    assert [letter.record_key for letter in letters] == [str(AMY), str(AMY)]
    assert letters[0].attempts == ATTEMPTS + 1


async def test_redriving_what_still_cannot_be_understood_parks_it_again(shop: Shop) -> None:
    await shop.handling.handle([foreign(bought(AMY, 1))])
    await asked_to_redrive(shop)
    await redrive_all(shop.handling)
    (letter,) = await shop.letters()
    assert letter.state is State.PARKED
    assert "wrong-source" in letter.detail


async def test_every_trace_can_be_followed_to_a_line_of_the_log(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "crm_shared.messaging.handling"):
        await shop.handling.handle([bought(AMY, 1), bought(BEN, 2)])
    (line,) = [record for record in caplog.records if record.message == "events handled"]
    assert vars(line)["traces"] == [TRACE]
