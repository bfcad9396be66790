"""The broker: clients that speak to one cluster only, send in order and never hang."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Iterator, Sequence
from functools import lru_cache
from itertools import chain
from typing import NamedTuple
from weakref import WeakSet

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.client import AIOKafkaClient
from aiokafka.conn import AIOKafkaConnection
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from aiokafka.errors import KafkaError
from aiokafka.partitioner import murmur2
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.protocol.metadata import MetadataRequest

from crm_shared.messaging.envelope import Message
from crm_shared.settings import ServiceSettings

log = logging.getLogger(__name__)

PARTITIONS = 12

REQUEST_TIMEOUT = 10.0
_SEND_TIMEOUT = 15.0
_CLOSE_TIMEOUT = 5.0
_MAX_BATCH = 512 * 1024


class BrokerUnavailable(Exception):
    """The broker does not answer, or not yet: worth trying again."""


class ClusterChanged(Exception):
    """The broker came back as another cluster: what was sent to the old one is not there."""


class ClusterGuard:
    """Lets a client talk to one cluster only.

    aiokafka reconnects by itself, so that a broker that came back empty would receive, serve and remember
    positions before anybody noticed. Therefore each new connection is asked once which cluster it leads to,
    before it is handed out. And no connection is left open by a client that is given up as it connects.
    """

    def __init__(self, client: AIOKafkaClient, cluster_id: str | None) -> None:
        self.cluster_id = cluster_id
        """The one cluster; None until the first connection: that one decides."""
        self.changed = asyncio.Event()
        self._shut = False
        self._client = client
        self._verified: WeakSet[AIOKafkaConnection] = WeakSet()
        self._connect = client._get_conn
        client._get_conn = self._verified_connection
        self._bootstrap = client.bootstrap
        client.bootstrap = self._whole_bootstrap

    async def check(self) -> str:
        """Ask the broker now; raises ClusterChanged and BrokerUnavailable."""
        found = await self._ask()
        if self.changed.is_set():
            raise ClusterChanged
        if found is None:
            raise BrokerUnavailable("no broker answers")
        return found

    def shut(self) -> None:
        """Close all connections and allow no new ones."""
        self._shut = True
        for connection in list(self._client._conns.values()):
            connection.close()

    async def close(self) -> None:
        """Close the client beneath, whatever state it is in."""
        self.shut()
        await asyncio.gather(self._client.close(), return_exceptions=True)

    async def _ask(self) -> str | None:
        for broker in self._client.cluster.brokers():
            connection = await self._client._get_conn(broker.nodeId)
            if connection is not None and (found := await _cluster_id(connection)):
                self._compare(found)
                return found
        return None

    async def _whole_bootstrap(self) -> None:
        """To its end even when we are cancelled meanwhile: its connection is known to nobody until then."""
        bootstrap = asyncio.ensure_future(self._bootstrap())
        try:
            await asyncio.shield(bootstrap)
        except asyncio.CancelledError:
            await asyncio.wait((bootstrap,), timeout=_CLOSE_TIMEOUT)
            bootstrap.cancel()
            await asyncio.gather(bootstrap, return_exceptions=True)
            raise

    async def _verified_connection(self, node_id: object, **options: object) -> AIOKafkaConnection | None:
        refused = self._shut or self.changed.is_set()
        connection = None if refused else await self._connect(node_id, **options)
        if connection is None or connection in self._verified:
            return connection
        found = await _cluster_id(connection)
        if found is None or not self._compare(found):
            connection.close()
            return None
        self._verified.add(connection)
        return connection

    def _compare(self, found: str) -> bool:
        self.cluster_id = self.cluster_id or found
        if found != self.cluster_id:
            self.changed.set()
        return not self.changed.is_set()


async def _cluster_id(connection: AIOKafkaConnection) -> str | None:
    try:
        answer = await connection.send(MetadataRequest([]))
    except (KafkaError, TimeoutError, OSError):
        return None
    return answer.cluster_id or "unnamed"


def connection_options(settings: ServiceSettings) -> dict[str, object]:
    return {
        "bootstrap_servers": settings.kafka_bootstrap_servers,
        "client_id": f"crm-{settings.service}",
        "request_timeout_ms": int(REQUEST_TIMEOUT * 1000),
        "retry_backoff_ms": 100,
        "connections_max_idle_ms": None,
    }


class Producer:
    """Sends to one cluster, in order; after a failure it is closed and another one made."""

    def __init__(self, producer: AIOKafkaProducer, guard: ClusterGuard) -> None:
        self._producer = producer
        self._guard = guard

    async def check(self) -> str:
        """Ask which cluster this is; raises ClusterChanged and BrokerUnavailable."""
        return await self._guard.check()

    async def send(self, messages: Sequence[Message]) -> list[bool]:
        """Send all and say of each whether the broker has it; raises ClusterChanged.

        A partition gets its next batch only when it has acknowledged the one before: per partition, what is
        acknowledged is the beginning of what was to be sent. The rest may still arrive until `close`.
        """
        acknowledged = [False] * len(messages)
        queues = self._queues(messages)
        sending = asyncio.gather(
            *(self._send_queue(place, queue, acknowledged) for place, queue in queues.items()),
            return_exceptions=True,
        )
        changed = asyncio.ensure_future(self._guard.changed.wait())
        try:
            await asyncio.wait((sending, changed), timeout=_SEND_TIMEOUT, return_when=asyncio.FIRST_COMPLETED)
            if changed.done():
                raise ClusterChanged
            if not sending.done():
                log.warning("broker acknowledges nothing", extra={"waited": _SEND_TIMEOUT})
            elif troubles := {repr(outcome) for outcome in sending.result() if outcome is not None}:
                log.warning("broker refused events", extra={"errors": sorted(troubles)})
        finally:
            changed.cancel()
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
        return acknowledged

    def _queues(self, messages: Sequence[Message]) -> dict[tuple[str, int], list["_Batch"]]:
        queues: dict[tuple[str, int], list[_Batch]] = {}
        for index, message in enumerate(messages):
            queue = queues.setdefault((message.topic, partition_of(message.key)), [])
            if not queue or not queue[-1].append(index, message):
                queue.append(_Batch(self._producer.create_batch(), []))
                queue[-1].append(index, message)
        return queues

    async def _send_queue(
        self, place: tuple[str, int], queue: Sequence["_Batch"], acknowledged: list[bool]
    ) -> None:
        topic, partition = place
        for batch in queue:
            await (await self._producer.send_batch(batch.builder, topic, partition=partition))
            for index in batch.indexes:
                acknowledged[index] = True

    async def close(self) -> None:
        """Give up what is unsent and leave; never hangs."""
        self._guard.shut()
        accumulator = self._producer._message_accumulator
        unsent = [*accumulator._pending_batches, *chain.from_iterable(accumulator._batches.values())]
        accumulator.fail_all(KafkaError("the producer was closed"))
        for batch in unsent:
            batch.future.exception()  # nobody else asks any more, and asyncio would complain
        await _stop(self._producer, self._guard)


class _Batch(NamedTuple):
    builder: BatchBuilder
    indexes: list[int]

    def append(self, index: int, message: Message) -> bool:
        """Add the message; False: it is full."""
        if not self.builder.append(
            timestamp=None, key=message.key, value=message.value, headers=message.headers
        ):
            return False
        self.indexes.append(index)
        return True


@lru_cache(maxsize=65536)
def partition_of(key: bytes) -> int:
    """The partition that every Kafka client gives this key."""
    return int(murmur2(key) & 0x7FFFFFFF) % PARTITIONS


@contextlib.asynccontextmanager
async def producer(settings: ServiceSettings, cluster_id: str) -> AsyncIterator[Producer]:
    """A producer for that cluster; raises ClusterChanged and BrokerUnavailable."""
    client = AIOKafkaProducer(
        **connection_options(settings),
        acks="all",
        enable_idempotence=settings.kafka_idempotence,
        linger_ms=0,
        max_batch_size=_MAX_BATCH,
    )
    guard = ClusterGuard(client.client, cluster_id)
    sender = Producer(client, guard)
    try:
        with as_unavailable():
            async with asyncio.timeout(REQUEST_TIMEOUT):
                # The two steps of `client.start`, with a look at the cluster in between: the second one never
                # ends for an idempotent producer whom nobody lets in.
                await client.client.bootstrap()
                await guard.check()
                await client._sender.start()
        yield sender
    finally:
        await sender.close()


def consumer(settings: ServiceSettings, cluster_id: str) -> tuple[AIOKafkaConsumer, ClusterGuard]:
    """A member of the service's group, not yet started; its topics must be there, in shape, before it is."""
    client = AIOKafkaConsumer(
        **connection_options(settings),
        group_id=settings.service,
        enable_auto_commit=False,
        # The default, "latest", would lose events for a new group and for a broker that lost its offsets.
        auto_offset_reset="earliest",
        session_timeout_ms=10_000,
        heartbeat_interval_ms=3_000,
        rebalance_timeout_ms=20_000,
        partition_assignment_strategy=(RoundRobinPartitionAssignor,),
        fetch_max_wait_ms=settings.kafka_fetch_max_wait_ms,
    )
    return client, ClusterGuard(client._client, cluster_id)


async def stop_consumer(client: AIOKafkaConsumer, guard: ClusterGuard) -> None:
    """Leave the group and close; never hangs."""
    await _stop(client, guard)


async def _stop(client: AIOKafkaProducer | AIOKafkaConsumer, guard: ClusterGuard) -> None:
    """Stop a client whose own tasks may be stuck or dead: what it still says is of no more interest."""
    stopping = asyncio.ensure_future(client.stop())
    await asyncio.wait((stopping,), timeout=_CLOSE_TIMEOUT)
    stopping.cancel()
    for outcome in await asyncio.gather(stopping, return_exceptions=True):
        if outcome is not None:
            log.info("client did not stop in order", extra={"error": repr(outcome)})
            await guard.close()


@contextlib.contextmanager
def as_unavailable() -> Iterator[None]:
    try:
        yield
    except (KafkaError, OSError, TimeoutError) as error:
        raise BrokerUnavailable(repr(error)) from error
