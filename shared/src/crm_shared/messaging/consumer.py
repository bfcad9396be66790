"""The consumer: polls the topics that a service listens to, has each poll handled, commits where it is."""

import asyncio
import logging
from collections import deque
from collections.abc import Collection, Coroutine
from typing import Any

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.abc import ConsumerRebalanceListener
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError

from crm_shared.database import in_words, unavailable
from crm_shared.messaging import kafka, topics
from crm_shared.messaging.handling import Handling
from crm_shared.messaging.kafka import BrokerUnavailable, ClusterChanged, ClusterGuard
from crm_shared.messaging.tasks import Backoff, race
from crm_shared.messaging.topics import Topic, WrongTopics
from crm_shared.metrics import Metrics
from crm_shared.settings import ServiceSettings

log = logging.getLogger(__name__)

Poll = dict[TopicPartition, list[ConsumerRecord]]

BATCH = 500

_POLL = 1.0
_COMMIT_WITHIN = 5.0
_REVOKE_WITHIN = 5.0
_FINISH_WITHIN = 10.0
_WATCH_EVERY = 5.0
_STALLED_AFTER = 60.0
_TOO_MANY_STALLS = 3
_STALLS_COUNT_FOR = 600.0


class Stalled(Exception):
    """The client makes no progress although it lives; only a new one will."""


class Consumer:
    """A member of the service's group for ever; whatever happens to broker or database, it comes back."""

    def __init__(
        self, settings: ServiceSettings, subscribed: Collection[str], handling: Handling, metrics: Metrics
    ) -> None:
        self._broker_trouble: str | None = "starting"
        self._database_trouble: str | None = None
        self._settings = settings
        self._topics = sorted(subscribed)
        self._handling = handling
        self._metrics = metrics
        self._broker_backoff = Backoff(0.2, 5.0)
        self._database_backoff = Backoff(0.2, 30.0)
        self._batch: asyncio.Future[None] | None = None
        self._joined = False
        self._moved = 0.0
        self._stalls: deque[float] = deque(maxlen=_TOO_MANY_STALLS)

    @property
    def trouble(self) -> str | None:
        """Why nothing is consumed now; None: all is well."""
        return self._database_trouble or self._broker_trouble

    @property
    def alive(self) -> bool:
        """False when new clients do not help any more: then a new process may."""
        oldest = self._stalls[0] if len(self._stalls) == _TOO_MANY_STALLS else None
        return oldest is None or asyncio.get_running_loop().time() - oldest > _STALLS_COUNT_FOR

    async def run(self) -> None:
        """Consume; when cancelled, finish and commit the running batch and leave the group."""
        while True:
            try:
                await self._consume()
            except ClusterChanged:
                self._broker_trouble = "another cluster"
                log.warning("another cluster: consuming it from its beginning")
            except Stalled as stalled:
                self._stalls.append(asyncio.get_running_loop().time())
                self._metrics.client_rebuilds.labels("consumer").inc()
                log.error("consumer is rebuilt", extra={"reason": str(stalled)})
            except (BrokerUnavailable, WrongTopics, KafkaError) as error:
                self._broker_trouble = f"broker: {error or type(error).__name__}"
                pause = self._broker_backoff.next()
                log.warning("consumer waits", extra={"error": repr(error), "seconds": round(pause, 2)})
                await asyncio.sleep(pause)

    async def _consume(self) -> None:
        async with topics.admin(self._settings) as admin:
            cluster_id = await admin.cluster_id()
            await admin.ensure(Topic(name) for name in self._topics)
        client, guard = kafka.consumer(self._settings, cluster_id)
        client.subscribe(self._topics, listener=_Rebalances(self))
        self._joined = False
        self._moved = asyncio.get_running_loop().time()
        try:
            await race(self._poll(client), self._watch(client, guard))
        finally:
            await kafka.stop_consumer(client, guard)

    async def _poll(self, client: AIOKafkaConsumer) -> None:
        await client.start()
        while True:
            poll: Poll = await client.getmany(timeout_ms=int(_POLL * 1000), max_records=BATCH)
            if not poll:
                continue
            try:
                await self._uninterrupted(self._handle(client, poll))
            except Exception as error:
                if not unavailable(error):
                    raise
                await self._wait_for_database(client, poll, error)

    async def _uninterrupted(self, batch: Coroutine[Any, Any, None]) -> None:
        """Run the batch to its end even when we are told to stop meanwhile."""
        self._batch = asyncio.ensure_future(batch)
        try:
            await asyncio.shield(self._batch)
        except asyncio.CancelledError:
            await asyncio.wait((self._batch,), timeout=_FINISH_WITHIN)
            self._batch.cancel()
            raise

    async def _handle(self, client: AIOKafkaConsumer, poll: Poll) -> None:
        await self._handling.handle(record for records in poll.values() for record in records)
        self._database_trouble = None
        self._moved = asyncio.get_running_loop().time()
        self._broker_backoff.reset()
        self._database_backoff.reset()
        await self._commit(client, poll)

    async def _commit(self, client: AIOKafkaConsumer, poll: Poll) -> None:
        """Remember how far we are. If it cannot be, the records come again and are known by the inbox."""
        assigned = client.assignment()
        offsets = {tp: records[-1].offset + 1 for tp, records in poll.items() if tp in assigned}
        if not offsets:
            return
        try:
            async with asyncio.timeout(_COMMIT_WITHIN):
                await client.commit(offsets)
        except (CommitFailedError, IllegalStateError):
            log.info("rebalanced before the commit")
        except (KafkaError, TimeoutError) as error:
            log.warning("offsets not committed", extra={"error": repr(error)})

    async def _wait_for_database(self, client: AIOKafkaConsumer, poll: Poll, error: Exception) -> None:
        """Go back to where the poll began and wait, still polling, so that the group keeps us."""
        loop = asyncio.get_running_loop()
        pause = self._database_backoff.next()
        self._database_trouble = f"database: {in_words(error)}"
        log.warning("consumer waits", extra={"error": repr(error), "seconds": round(pause, 2)})
        until = loop.time() + pause
        while True:
            # Also what a rebalance meanwhile brings: it comes unpaused.
            for tp in client.assignment() & poll.keys():
                client.seek(tp, poll[tp][0].offset)
            client.pause(*client.assignment())
            self._moved = loop.time()
            if loop.time() >= until:
                break
            poll = await client.getmany(timeout_ms=max(1, int(min(until - loop.time(), 0.5) * 1000)))
        client.resume(*client.paused())

    async def _watch(self, client: AIOKafkaConsumer, guard: ClusterGuard) -> None:
        """Raise what the client itself does not notice: another cluster, or that it stands still."""
        while True:
            try:
                async with asyncio.timeout(_WATCH_EVERY):
                    await guard.changed.wait()
                raise ClusterChanged
            except TimeoutError:
                pass
            if self._batch is None or self._batch.done():
                await self._look(client)

    async def _look(self, client: AIOKafkaConsumer) -> None:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(_WATCH_EVERY):
                caught_up = not await self._lag(client)
        except (KafkaError, TimeoutError, IllegalStateError) as error:
            self._broker_trouble = f"broker: {error or type(error).__name__}"
            caught_up = False
        else:
            self._broker_trouble = None if self._joined else "joining the group"
        if caught_up and self._joined:
            self._moved = loop.time()
        elif loop.time() - self._moved > _STALLED_AFTER:
            raise Stalled(f"nothing consumed for {_STALLED_AFTER:g} s")

    async def _lag(self, client: AIOKafkaConsumer) -> int:
        """Records that wait for us, by what the broker says now, not only by what the client remembers."""
        assigned = client.assignment()
        ends = await client.end_offsets(assigned) if assigned else {}
        total = 0
        for tp, end in ends.items():
            position = await client.position(tp)
            known = client.highwater(tp) if tp in client.assignment() else None
            lag = max(0, max(end, known or 0) - position)
            self._metrics.consumer_lag.labels(tp.topic, tp.partition).set(lag)
            total += lag
        return total

    async def revoked(self, partitions: Collection[TopicPartition]) -> None:
        """Let the running batch end before its partitions go to somebody else."""
        self._joined = False
        self._metrics.consumer_rebalances.inc()
        for tp in partitions:
            self._metrics.consumer_lag.labels(tp.topic, tp.partition).set(0)
        if self._batch is not None:
            await asyncio.wait((self._batch,), timeout=_REVOKE_WITHIN)

    async def assigned(self, partitions: Collection[TopicPartition]) -> None:
        self._joined = True
        self._broker_trouble = None
        log.info("partitions assigned", extra={"partitions": len(partitions)})


@ConsumerRebalanceListener.register
class _Rebalances:
    """aiokafka's names for what happens to our partitions."""

    def __init__(self, consumer: Consumer) -> None:
        self.on_partitions_revoked = consumer.revoked
        self.on_partitions_assigned = consumer.assigned
