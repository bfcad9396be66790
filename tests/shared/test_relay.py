"""Outbox, relay and inbox give every effect once and in the promised order, whatever crashes in between."""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import ClassVar, NamedTuple
from uuid import UUID

import asyncpg
import pytest
from aiokafka import ConsumerRecord
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import BigInteger, Column, Identity, MetaData, Table, Uuid, insert, select, text
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine
from tests.chance import examples

from crm_shared.clock import SystemClock
from crm_shared.contracts.base import Event
from crm_shared.database import Sessions, SharedBase, async_url, create_sessions
from crm_shared.ids import derived, uuid7
from crm_shared.messaging.envelope import Message
from crm_shared.messaging.handling import Handling
from crm_shared.messaging.kafka import partition_of
from crm_shared.messaging.relay import Routes, forget_sent, relay
from crm_shared.metrics import Metrics
from crm_shared.migrations import MODULES_WITH_TABLES
from crm_shared.outbox import publish
from crm_shared.settings import ServiceSettings
from crm_shared.subscriptions import Subscriptions
from crm_shared.testing import Signer
from crm_shared.tracing import Tracer

EFFECTS = Table(
    "effects",
    MetaData(),
    Column("seq", BigInteger, Identity(), primary_key=True),
    Column("customer_id", Uuid),
    Column("number", BigInteger),
)
CUSTOMERS = [derived("customer", number) for number in range(6)]
ROUTES = Routes([])


class Written(Event):
    """The customer's number rose by one."""

    type: ClassVar[str] = "notes.note.written.v1"
    subject_field: ClassVar[str] = "customer_id"


class Crash(BaseException):
    """The process ended here; nobody catches it."""


class Place(NamedTuple):
    topic: str
    partition: int


# What becomes of a partition's part of a batch.
ARRIVES, IS_LOST, ARRIVES_UNHEARD, ARRIVES_LATE = range(4)


@dataclass
class Log:
    """A broker in memory that does to each partition's batch what the test says."""

    records: dict[Place, list[Message]] = field(default_factory=lambda: defaultdict(list))
    late: list[tuple[Place, list[Message]]] = field(default_factory=list)

    def sender(self, fates: Sequence[int], *, crash: bool) -> "Sender":
        return Sender(self, fates, crash)

    def deliver_late(self) -> None:
        for place, messages in self.late:
            self.records[place].extend(messages)
        self.late.clear()


@dataclass
class Sender:
    log: Log
    fates: Sequence[int]
    crash: bool

    async def __call__(self, messages: Sequence[Message]) -> list[bool]:
        batches: dict[Place, list[Message]] = defaultdict(list)
        for message in messages:
            batches[Place(message.topic, partition_of(message.key))].append(message)
        fate = {place: self.fates[place.partition % len(self.fates)] for place in batches}
        for place, batch in batches.items():
            if fate[place] in (ARRIVES, ARRIVES_UNHEARD):
                self.log.records[place].extend(batch)
            elif fate[place] == ARRIVES_LATE:
                self.log.late.append((place, batch))
        if self.crash:
            raise Crash
        return [fate[Place(m.topic, partition_of(m.key))] == ARRIVES for m in messages]


@dataclass
class Writer:
    """A transaction that is open: it holds its customers' locks until it ends."""

    session: AsyncSession
    customers: list[UUID]
    began: int
    written: list[tuple[UUID, int]] = field(default_factory=list)


@dataclass
class House:
    """A publishing and a consuming service in one database, with a broker in memory between them."""

    engine: AsyncEngine
    sessions: Sessions
    connection: asyncpg.Connection
    service: ServiceSettings
    log: Log = field(default_factory=Log)
    step: int = 0
    numbers: dict[UUID, int] = field(default_factory=lambda: defaultdict(int))
    writers: list[Writer] = field(default_factory=list)
    spans: dict[tuple[UUID, int], tuple[int, int]] = field(default_factory=dict)
    """When the transaction of an event began and committed."""
    offsets: dict[Place, int] = field(default_factory=lambda: defaultdict(int))
    handler_crashes: bool = False

    async def begin(self, customers: list[UUID]) -> None:
        locked = {customer for writer in self.writers for customer in writer.customers}
        free = [customer for customer in dict.fromkeys(customers) if customer not in locked]
        writer = Writer(self.sessions(), free, self.step)
        self.writers.append(writer)
        for customer in free:
            number = self.numbers[customer] + 1
            writer.written.append((customer, number))
            publish(writer.session, Written(customer_id=customer, version=number), at=datetime.now(UTC))
            await writer.session.flush()

    async def end(self, which: int, *, commit: bool) -> None:
        if not self.writers:
            return
        writer = self.writers.pop(which % len(self.writers))
        if commit:
            await writer.session.commit()
            for customer, number in writer.written:
                self.numbers[customer] = number
                self.spans[customer, number] = (writer.began, self.step)
        await writer.session.close()

    async def relay(self, fates: Sequence[int], *, crash: bool, limit: int) -> int:
        send = self.log.sender(fates, crash=crash)
        try:
            return (await relay(self.connection, send, ROUTES, SystemClock(), limit=limit)).events
        except Crash:
            return 0

    async def forget(self) -> None:
        """The broker comes back as another cluster."""
        self.check_causes()
        self.log = Log()
        self.offsets.clear()
        await forget_sent(self.connection, uuid7().hex, at=datetime.now(UTC))

    async def poll(self, size: int, *, crash: str) -> None:
        batch: list[ConsumerRecord] = []
        ends: dict[Place, int] = {}
        for place, messages in sorted(self.log.records.items()):
            start = self.offsets[place]
            for offset, message in enumerate(messages[start : start + size], start):
                batch.append(as_record(message, place, offset))
                ends[place] = offset + 1
        self.handler_crashes = crash == "in the handler"
        try:
            await self.handling().handle(batch)
        except Crash:
            return
        if crash != "before the offsets":
            self.offsets.update(ends)

    def rewind(self, by: int) -> None:
        """Positions are forgotten: records come a second time."""
        for place, offset in self.offsets.items():
            self.offsets[place] = max(0, offset - by)

    def handling(self) -> Handling:
        subscriptions = Subscriptions()

        @subscriptions.on(Written)
        async def keep(session: AsyncSession, events: Sequence[Written], *, at: datetime) -> None:
            rows = [{"customer_id": event.customer_id, "number": event.version} for event in events]
            await session.execute(insert(EFFECTS), rows)
            if self.handler_crashes:
                raise Crash

        metrics = Metrics("notes", "test")
        return Handling("readers", subscriptions, self.sessions, SystemClock(), metrics, Tracer(self.service))

    def check_causes(self) -> None:
        """What was committed before another transaction began comes before it on its partition."""
        for messages in self.log.records.values():
            first: dict[tuple[UUID, int], int] = {}
            for index, message in enumerate(messages):
                event = Written.model_validate_json(message.value or b"")
                first.setdefault((event.customer_id, event.version), index)
            for earlier, at in first.items():
                for later, then in first.items():
                    if self.spans[earlier][1] < self.spans[later][0]:
                        assert at < then, f"{later} was sent before {earlier}"

    async def settle(self) -> None:
        """All that is open ends, all that waits is sent and handled."""
        while self.writers:
            await self.end(0, commit=True)
        self.log.deliver_late()
        while await self.relay([ARRIVES], crash=False, limit=5):
            pass
        while any(len(records) > self.offsets[place] for place, records in self.log.records.items()):
            await self.poll(50, crash="")
        self.check_causes()

    async def effects(self) -> dict[UUID, list[int]]:
        found: dict[UUID, list[int]] = {}
        async with self.sessions() as session:
            for row in await session.execute(select(EFFECTS).order_by(EFFECTS.c.seq)):
                found.setdefault(row.customer_id, []).append(row.number)
        return found


def as_record(message: Message, place: Place, offset: int) -> ConsumerRecord:
    return ConsumerRecord(
        topic=place.topic,
        partition=place.partition,
        offset=offset,
        timestamp=0,
        timestamp_type=0,
        key=message.key,
        value=message.value,
        checksum=None,
        serialized_key_size=0,
        serialized_value_size=0,
        headers=tuple(message.headers),
    )


fates = st.lists(st.sampled_from([ARRIVES, IS_LOST, ARRIVES_UNHEARD, ARRIVES_LATE]), min_size=1, max_size=4)
crashes = st.sampled_from(["", "in the handler", "before the offsets"])
steps = st.one_of(
    st.tuples(st.just("begin"), st.lists(st.sampled_from(CUSTOMERS), min_size=1, max_size=4)),
    st.tuples(st.just("commit"), st.integers(0, 5)),
    st.tuples(st.just("commit"), st.integers(0, 5)),
    st.tuples(st.just("roll back"), st.integers(0, 5)),
    st.tuples(st.just("relay"), fates, st.booleans(), st.integers(1, 6)),
    st.tuples(
        st.just("poll"), st.integers(1, 5), st.sampled_from(["", "in the handler", "before the offsets"])
    ),
    st.tuples(st.just("late")),
    st.tuples(st.just("forget")),
    st.tuples(st.just("rewind"), st.integers(0, 3)),
)


async def take(house: House, step: tuple[object, ...]) -> None:
    match step:
        case ("begin", list(customers)):
            await house.begin(customers)
        case ("commit", int(which)):
            await house.end(which, commit=True)
        case ("roll back", int(which)):
            await house.end(which, commit=False)
        case ("relay", list(what), bool(crash), int(limit)):
            await house.relay(what, crash=crash, limit=limit)
        case ("poll", int(size), str(crash)):
            await house.poll(size, crash=crash)
        case ("rewind", int(by)):
            house.rewind(by)
        case ("late",):
            house.log.deliver_late()
        case ("forget",):
            await house.forget()


async def tell(house: House, story: Sequence[tuple[object, ...]]) -> None:
    async with house.engine.begin() as connection:
        for table in ("outbox", "inbox", "effects", "broker"):
            await connection.execute(text(f"DELETE FROM {table}"))
    for house.step, step in enumerate(story, 1):
        await take(house, step)
    await house.settle()
    expected = {customer: list(range(1, n + 1)) for customer, n in house.numbers.items() if n}
    assert await house.effects() == expected


def test_every_effect_happens_once_and_in_order_whatever_crashes(postgres_url: str) -> None:
    url = f"{postgres_url.rsplit('/', 1)[0]}/relay_property"
    settings_ = ServiceSettings(
        service="notes",
        database_url=url,
        kafka_bootstrap_servers="nowhere:1",
        internal_public_key=Signer().public_key,
        cursor_secret="cursors of the tests, thirty-two bytes and more",
    )
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        engine, connection = runner.run(prepare(postgres_url, url))

        @settings(max_examples=examples(150))
        @given(st.lists(steps, min_size=4, max_size=40))
        def told(story: list[tuple[object, ...]]) -> None:
            runner.run(tell(House(engine, create_sessions(engine), connection, settings_), story))

        try:
            told()
        finally:
            runner.run(connection.close())
            runner.run(engine.dispose())


async def test_who_has_lost_the_database_while_sending_sends_no_more(
    postgres_url: str, committed_sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("crm_shared.messaging.relay._LEADS_FOR", 0)
    async with committed_sessions.begin() as session:
        for number, customer in enumerate(CUSTOMERS[:2], start=1):
            publish(session, Written(customer_id=customer, version=number), at=datetime.now(UTC))
    connection = await asyncpg.connect(postgres_url.rsplit("/", 1)[0] + "/crm_shared")
    sent: list[str] = []

    async def send(messages: Sequence[Message]) -> list[bool]:
        sent.extend(message.key.decode() for message in messages)
        await asyncio.sleep(0.1)  # by now the next batch has been read
        async with committed_sessions() as session:
            await session.execute(text(f"SELECT pg_terminate_backend({connection.get_server_pid()})"))
        return [True for _ in messages]

    # Which of the three depends on what asyncpg was doing when the server hung up.
    with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)):
        await relay(connection, send, ROUTES, SystemClock(), limit=1)

    assert sent == [str(CUSTOMERS[0])]
    connection.terminate()


async def prepare(admin_url: str, url: str) -> tuple[AsyncEngine, asyncpg.Connection]:
    assert MODULES_WITH_TABLES, "the shared tables are those of loaded modules"
    admin = await asyncpg.connect(admin_url)
    await admin.execute("CREATE DATABASE relay_property")
    await admin.close()
    engine = create_async_engine(async_url(url), pool_size=20)
    async with engine.begin() as made:
        await made.run_sync(SharedBase.metadata.create_all)
        await made.run_sync(EFFECTS.metadata.create_all)
    return engine, await asyncpg.connect(url)
