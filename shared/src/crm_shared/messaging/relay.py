"""The relay: sends what waits in the outbox, in order, and marks what the broker has acknowledged."""

import asyncio
import contextlib
import itertools
import json
import logging
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

import asyncpg

from crm_shared.clock import Clock
from crm_shared.contracts.base import Event
from crm_shared.database import in_words
from crm_shared.messaging import kafka, topics
from crm_shared.messaging.envelope import Message, Stored, encode
from crm_shared.messaging.kafka import BrokerUnavailable, ClusterChanged
from crm_shared.messaging.tasks import Backoff
from crm_shared.messaging.topics import WrongTopics
from crm_shared.metrics import Metrics
from crm_shared.settings import ServiceSettings

log = logging.getLogger(__name__)

BATCH = 500

_LEADER = 0x6F7574626F78  # "outbox": any number will do, as the lock is the database's own
_FIRST_PAUSE, _LONGEST_PAUSE = 0.002, 0.1
_CHECK_EVERY = 1.0
_LEADS_FOR = 1.0
_SEND_ALL_TIMEOUT = 3600.0

# The internal error is what asyncpg says when a connection dies in the midst of a statement.
_DATABASE_TROUBLE = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,
    TimeoutError,
)

_UNSENT = """
    SELECT seq, id, type, key, subject, version, data, time, traceparent, causation_id, actor
    FROM outbox WHERE sent_at IS NULL AND seq <> ALL($1::bigint[]) ORDER BY seq LIMIT $2
"""
_MARK_SENT = "UPDATE outbox SET sent_at = $1 WHERE seq = ANY($2::bigint[]) AND sent_at IS NULL"
_NOTHING_IS_SENT = "UPDATE outbox SET sent_at = NULL WHERE sent_at IS NOT NULL"
_KNOWN_CLUSTER = "SELECT cluster_id FROM broker WHERE id = 1"
_REMEMBER_CLUSTER = """
    INSERT INTO broker (id, cluster_id, seen_at) VALUES (1, $1, $2)
    ON CONFLICT (id) DO UPDATE SET cluster_id = excluded.cluster_id, seen_at = excluded.seen_at
"""


class Route(NamedTuple):
    """Where an event goes: to its topic and, where it has one, to a state topic."""

    topic: str
    state_topic: str | None = None
    tombstone: bool = False
    also_ends: str | None = None


class Routes(dict[str, Route]):
    """The route of each event type."""

    def __init__(self, events: Iterable[type[Event]]) -> None:
        super().__init__(
            {
                event.type: Route(event.topic(), event.state_topic, event.tombstone, event.also_ends)
                for event in events
            }
        )

    def __missing__(self, type: str) -> Route:
        # A type that this release no longer knows was published by an older one, and is owed all the same.
        route = self[type] = Route(f"{type.split('.', 1)[0]}.events")
        return route


Send = Callable[[Sequence[Message]], Awaitable[list[bool]]]
"""Sends in order and says of each message whether it was acknowledged."""


class Sent(NamedTuple):
    """How many events were sent and marked; `stuck`: others were not acknowledged."""

    events: int
    stuck: bool


def messages(row: Stored, route: Route) -> list[Message]:
    """What one event becomes: a record on its topic and, where it has one, its state or tombstones."""
    sent = encode(row, route.topic)
    if route.state_topic is None:
        return [sent]
    state = sent._replace(topic=route.state_topic)
    if not route.tombstone:
        return [sent, state]
    others = json.loads(row.data).get(route.also_ends, []) if route.also_ends else []
    return [sent, *(state._replace(key=key.encode(), value=None) for key in (row.key, *others))]


async def relay(
    connection: asyncpg.Connection, send: Send, routes: Routes, clock: Clock, *, limit: int = BATCH
) -> Sent:
    """Send all that waits, oldest first, and mark what arrived.

    The connection is the relay's own, in autocommit, and holds the leader's lock: should it die, the lock and
    the ability to mark rows die together, so that a second leader can only cause duplicates. Nothing new is
    sent on the strength of a connection that was last heard of longer ago than a moment. What is with the
    producer when the lock is lost may still arrive, until its time-out, between what the next leader sends.

    While a batch is sent, with no transaction open, the one before is marked and the next one read: all that
    is unsent but for what is on its way, never "what is above", because rows become visible out of order.
    """
    loop = asyncio.get_running_loop()
    events, arrived = 0, list[int]()
    batch = await _unsent(connection, [], limit)
    heard = loop.time()
    while batch:
        if loop.time() - heard > _LEADS_FOR:
            await connection.execute("SELECT 1")
        sending = asyncio.ensure_future(_send(send, batch, routes))
        try:
            await _mark(connection, arrived, clock)
            more = len(batch) == limit
            following = await _unsent(connection, [row.seq for row in batch], limit) if more else []
            heard = loop.time()
            arrived = await sending
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
        events += len(arrived)
        if len(arrived) < len(batch):
            break
        batch = following
    await _mark(connection, arrived, clock)
    return Sent(events, stuck=bool(batch))


async def _unsent(connection: asyncpg.Connection, but: Sequence[int], limit: int) -> list[Stored]:
    return [Stored(*record) for record in await connection.fetch(_UNSENT, but, limit)]


async def _send(send: Send, batch: Sequence[Stored], routes: Routes) -> list[int]:
    """The rows that arrived, without those that came after one of the same key that did not."""
    outgoing = [messages(row, routes[row.type]) for row in batch]
    acknowledged = iter(await send([message for parts in outgoing for message in parts]))
    stuck: set[str] = set()
    arrived: list[int] = []
    for row, parts in zip(batch, outgoing, strict=True):
        if all([next(acknowledged) for _ in parts]) and row.key not in stuck:
            arrived.append(row.seq)
        else:
            stuck.add(row.key)
    return arrived


async def _mark(connection: asyncpg.Connection, seqs: Sequence[int], clock: Clock) -> None:
    if seqs:
        await connection.execute(_MARK_SENT, clock.now(), seqs)


async def forget_sent(connection: asyncpg.Connection, cluster_id: str, *, at: datetime) -> int:
    """Remember the cluster, in which nothing has been sent yet: all that is kept goes out again."""
    async with connection.transaction():
        await connection.execute(_REMEMBER_CLUSTER, cluster_id, at)
        # Weeks of events in one statement: it takes the time it takes, and must not begin anew for ever.
        answer: str = await connection.execute(_NOTHING_IS_SENT, timeout=_SEND_ALL_TIMEOUT)
        return int(answer.split()[-1])


class Relay:
    """Runs for ever: one leader per database sends, the others stand by."""

    def __init__(
        self, settings: ServiceSettings, events: Collection[type[Event]], clock: Clock, metrics: Metrics
    ) -> None:
        self.trouble: str | None = "starting"
        """Why nothing can be sent now; None: it is being sent, here or by another leader."""
        self._settings = settings
        self._routes = Routes(events)
        self._topics = topics.topics_of(events)
        self._clock = clock
        self._metrics = metrics
        self._backoff = Backoff(0.1, 2.0)

    async def run(self) -> None:
        """Lead, or wait to; trouble of database and broker is waited out."""
        while True:
            try:
                async with self._connection() as connection:
                    await self._stand_by(connection)
                    await self._lead(connection)
            except _DATABASE_TROUBLE as error:
                await self._wait_out("database", error)
            finally:
                self._metrics.outbox_leader.set(0)

    @contextlib.asynccontextmanager
    async def _connection(self) -> AsyncIterator[asyncpg.Connection]:
        connection = await asyncpg.connect(
            str(self._settings.database_url),
            timeout=5,
            command_timeout=60,
            server_settings={
                "application_name": f"{self._settings.service} relay",
                "jit": "off",
                # Statistics of an outbox are mostly out of date; the index of unsent rows never is.
                "enable_seqscan": "off",
                "tcp_keepalives_idle": "10",
                "tcp_keepalives_interval": "5",
                "tcp_keepalives_count": "3",
            },
        )
        try:
            yield connection
        finally:
            connection.terminate()

    async def _stand_by(self, connection: asyncpg.Connection) -> None:
        while not await connection.fetchval("SELECT pg_try_advisory_lock($1)", _LEADER):
            self.trouble = None
            self._backoff.reset()
            await asyncio.sleep(1)

    async def _lead(self, connection: asyncpg.Connection) -> None:
        self._metrics.outbox_leader.set(1)
        log.info("relay leads")
        while True:
            try:
                cluster_id = await self._known_cluster(connection)
                async with kafka.producer(self._settings, cluster_id) as producer:
                    self.trouble = None
                    await self._send_all(connection, producer)
            except (BrokerUnavailable, ClusterChanged, WrongTopics) as error:
                await self._wait_out("broker", error)

    async def _known_cluster(self, connection: asyncpg.Connection) -> str:
        """The cluster to send to, with its topics in shape; to a new one nothing has been sent yet."""
        known: str | None = await connection.fetchval(_KNOWN_CLUSTER)
        async with topics.admin(self._settings) as admin:
            found = await admin.cluster_id()
            lost = known is not None and found != known
            await admin.ensure(self._topics, replace=lost)
        if found != known:
            count = await forget_sent(connection, found, at=self._clock.now())
            if lost:
                self._metrics.broker_losses.inc()
                log.warning("another cluster: sending all again", extra={"cluster": found, "events": count})
        return found

    async def _send_all(self, connection: asyncpg.Connection, producer: kafka.Producer) -> None:
        """Send what comes; raises BrokerUnavailable as soon as something is not acknowledged."""
        loop = asyncio.get_running_loop()
        send = self._measured(producer.send)
        pause = _FIRST_PAUSE
        checked = loop.time()
        while True:
            sent = await relay(connection, send, self._routes, self._clock)
            if sent.stuck:
                raise BrokerUnavailable("events were not acknowledged")
            if loop.time() - checked > _CHECK_EVERY:
                await producer.check()
                self._backoff.reset()
                checked = loop.time()
            pause = _FIRST_PAUSE if sent.events else min(pause * 2, _LONGEST_PAUSE)
            await asyncio.sleep(pause)

    def _measured(self, send: Send) -> Send:
        async def measured(messages: Sequence[Message]) -> list[bool]:
            with self._metrics.event_publish_duration.time():
                acknowledged = await send(messages)
            counts = Counter(message.topic for message in itertools.compress(messages, acknowledged))
            for topic, count in counts.items():
                self._metrics.events_published.labels(topic).inc(count)
            return acknowledged

        return measured

    async def _wait_out(self, what: str, error: Exception) -> None:
        self.trouble = f"{what}: {error or type(error).__name__}"
        pause = self._backoff.next()
        log.warning("relay waits", extra={"for": what, "error": in_words(error), "seconds": round(pause, 2)})
        await asyncio.sleep(pause)
