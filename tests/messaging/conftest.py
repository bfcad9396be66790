"""Small services of nothing but an outbox, an inbox and a table of effects, around a real broker."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import ClassVar, Protocol
from uuid import UUID

import pytest
import pytest_asyncio
from sqlalchemy import MetaData, func, insert, select, text
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from crm_local.apache_kafka import ApacheKafka
from crm_local.kafka import Kafka
from crm_local.ports import free_port
from crm_shared.clock import SystemClock
from crm_shared.contracts.base import Event
from crm_shared.database import (
    NAMING,
    TYPES,
    Sessions,
    SharedBase,
    async_url,
    create_engine,
    create_sessions,
)
from crm_shared.ids import uuid7
from crm_shared.messaging.consumer import Consumer
from crm_shared.messaging.handling import Handling
from crm_shared.messaging.relay import Relay
from crm_shared.metrics import Metrics
from crm_shared.migrations import MODULES_WITH_TABLES
from crm_shared.outbox import Outbox, publish
from crm_shared.settings import ServiceSettings
from crm_shared.subscriptions import Subscriptions
from crm_shared.testing import Signer
from crm_shared.tracing import Tracer

APACHE = os.environ.get("CRM_TEST_KAFKA") == "apache"

_names = count(1)


class Broker(Protocol):
    """A broker that can be ill-treated."""

    bootstrap_servers: str
    durable: bool

    def die(self) -> None: ...

    def come_back(self) -> None:
        """With what it had, if it can remember anything."""

    def come_back_empty(self) -> None: ...


class EmbeddedBroker:
    durable = False

    def __init__(self) -> None:
        self._broker = Kafka(free_port())
        self.bootstrap_servers = self._broker.bootstrap_servers
        self.die = self._broker.kill
        self.come_back = self.come_back_empty = self._broker.start
        self.come_back()


class ApacheBroker:
    durable = True

    def __init__(self, home: Path) -> None:
        self._broker = ApacheKafka(home, free_port())
        self.bootstrap_servers = self._broker.bootstrap_servers
        self.die = self._broker.kill
        self.come_back = self._broker.start
        self.come_back()

    def come_back_empty(self) -> None:
        self._broker.wipe()
        self._broker.start()


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """The embedded broker, or Apache Kafka when CRM_TEST_KAFKA says so."""
    made = ApacheBroker(tmp_path_factory.mktemp("kafka")) if APACHE else EmbeddedBroker()
    yield made
    made.die()


class EffectsBase(DeclarativeBase):
    metadata = MetaData(naming_convention=NAMING)
    type_annotation_map = TYPES


class Effect(EffectsBase):
    """What a handler did, in the order in which it did it."""

    __tablename__ = "effects"

    seq: Mapped[int] = mapped_column(primary_key=True)
    customer_id: Mapped[UUID]
    number: Mapped[int]


class Note(Event):
    """Something was noted; a bad one makes the handler fail."""

    type: ClassVar[str] = "nobody.note.written.v1"
    subject_field: ClassVar[str] = "note_id"

    note_id: UUID
    number: int
    bad: bool = False


class BadNote(Exception):
    """What the handler makes of a bad note."""


@dataclass
class Service:
    """One service: its database, what it publishes, what it listens to."""

    settings: ServiceSettings
    sessions: Sessions
    engine: AsyncEngine
    note: type[Note]
    forgiving: bool = False
    """Handles bad notes, too."""
    numbers: dict[UUID, int] = field(default_factory=dict)

    async def write(self, customers: Sequence[UUID], *, bad: Collection[int] = ()) -> None:
        """Publish the next note of each of these customers, in one transaction; `bad` are positions."""
        async with self.sessions.begin() as session:
            for position, customer in enumerate(customers):
                number = self.numbers[customer] = self.numbers.get(customer, 0) + 1
                note = self.note(
                    customer_id=customer, version=number, note_id=uuid7(), number=number, bad=position in bad
                )
                publish(session, note, at=datetime.now(UTC))

    async def unsent(self) -> int:
        async with self.sessions() as session:
            unsent = select(func.count()).select_from(Outbox).where(Outbox.sent_at.is_(None))
            return await session.scalar(unsent) or 0

    async def effects(self) -> dict[UUID, list[int]]:
        """The numbers of each customer, in the order in which they had their effect."""
        found: dict[UUID, list[int]] = {}
        async with self.sessions() as session:
            for effect in await session.scalars(select(Effect).order_by(Effect.seq)):
                found.setdefault(effect.customer_id, []).append(effect.number)
        return found

    def subscribed_to(self, *publishers: "Service") -> Subscriptions:
        subscriptions = Subscriptions()

        async def keep(session: AsyncSession, events: Sequence[Note], *, at: datetime) -> None:
            if not self.forgiving and any(event.bad for event in events):
                raise BadNote
            rows = [{"customer_id": event.customer_id, "number": event.number} for event in events]
            await session.execute(insert(EffectsBase.metadata.tables["effects"]), rows)

        for publisher in publishers:
            subscriptions.on(publisher.note)(keep)
        return subscriptions

    def relay(self) -> Relay:
        return Relay(self.settings, [self.note], SystemClock(), Metrics(self.settings.service, "test"))

    def handling(self, *publishers: "Service") -> Handling:
        metrics = Metrics(self.settings.service, "test")
        subscriptions = self.subscribed_to(*publishers)
        tracer = Tracer(self.settings)
        return Handling(self.settings.service, subscriptions, self.sessions, SystemClock(), metrics, tracer)

    def consumer(self, *publishers: "Service") -> Consumer:
        topics = self.subscribed_to(*publishers).topics
        metrics = Metrics(self.settings.service, "test")
        return Consumer(self.settings, topics, self.handling(*publishers), metrics)


@contextlib.asynccontextmanager
async def running(*loops: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
    """Let the loops run meanwhile; one that ends by itself fails the test."""
    tasks = [asyncio.ensure_future(loop()) for loop in loops]
    try:
        yield
        for task in tasks:
            assert not task.done(), task
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def until(condition: Callable[[], Awaitable[bool]], within: float = 60) -> None:
    """Wait until the condition holds."""
    async with asyncio.timeout(within):
        while True:
            if await condition():
                return
            await asyncio.sleep(0.02)


def in_order(service: Service, *publishers: Service) -> Callable[[], Awaitable[bool]]:
    """Whether every note of the publishers had its effect once, in the order of its customer."""

    async def check() -> bool:
        expected: dict[UUID, list[int]] = {}
        for publisher in publishers:
            expected |= {customer: list(range(1, n + 1)) for customer, n in publisher.numbers.items()}
        return await service.effects() == expected

    return check


ServiceFactory = Callable[[], Awaitable[Service]]


@pytest_asyncio.fixture
async def service(postgres_url: str, broker: Broker, signer: Signer) -> AsyncIterator[ServiceFactory]:
    """Makes services, each with a database and a name that no other test has."""
    assert MODULES_WITH_TABLES
    admin = create_async_engine(async_url(postgres_url), isolation_level="AUTOCOMMIT")
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(admin.dispose)

        async def make() -> Service:
            name = f"t{os.getpid()}n{next(_names)}"
            async with admin.connect() as connection:
                await connection.execute(text(f"CREATE DATABASE {name}"))
            settings = ServiceSettings(
                service=name,
                database_url=f"{postgres_url.rsplit('/', 1)[0]}/{name}",
                kafka_bootstrap_servers=broker.bootstrap_servers,
                kafka_idempotence=APACHE,
                kafka_fetch_max_wait_ms=20,
                internal_public_key=signer.public_key,
                cursor_secret="cursors of the tests, thirty-two bytes and more",
                internal_port=free_port(),
            )
            engine = create_engine(settings)
            stack.push_async_callback(engine.dispose)
            async with engine.begin() as connection:
                await connection.run_sync(SharedBase.metadata.create_all)
                await connection.run_sync(EffectsBase.metadata.create_all)
            note = type("Note", (Note,), {"type": f"{name}.note.written.v1", "__module__": __name__})
            return Service(settings, create_sessions(engine), engine, note)

        yield make
