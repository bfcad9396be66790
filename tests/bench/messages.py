"""Outbox to broker to inbox: a backlog drained, single events at a steady rate, and what idling costs."""

import asyncio
import os
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

import asyncpg
import psutil
from aiokafka import AIOKafkaProducer
from tests.bench import bare
from tests.bench.arrivals import Arrival, Arrivals
from tests.bench.measuring import Measure, Options, Row, percentile, processor_seconds
from tests.bench.purchases import COLUMNS, KEYS, message, rows
from tests.bench.receiving import ARRIVALS
from tests.bench.stage import Stage, stage

from crm_local import apache_kafka, kafka
from crm_local.apache_kafka import ApacheKafka
from crm_local.kafka import Kafka
from crm_local.ports import free_block, free_port
from crm_profiles.settings import Settings
from crm_shared.messaging import topics
from crm_shared.messaging.topics import Topic

STEADY = 1000
"""Events per second of the rows that measure the way of each."""

_PUBLISHERS = 8
_WITHIN = 120.0
_INSERT = f"""
    INSERT INTO outbox ({", ".join(COLUMNS)})
    VALUES ({", ".join(f"${place + 1}" for place in range(len(COLUMNS)))})
"""
_SETTLED = 2.0
_SENT = "SELECT count(*) FILTER (WHERE sent_at IS NULL), extract(epoch FROM max(sent_at)) FROM outbox"


@asynccontextmanager
async def messages(options: Options) -> AsyncIterator[Sequence[Row]]:
    """Our relay and consumer and aiokafka alone in turns: every message once, in the order of its key."""
    async with AsyncExitStack() as stack:
        rows = await _rows(stack, options, "embedded")
        if os.environ.get("CRM_TEST_KAFKA") == "apache":
            rows += await _rows(stack, options, "apache")
        yield rows


async def _rows(stack: AsyncExitStack, options: Options, broker: str) -> list[Row]:
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="crm-bench-")))
    server = Kafka(free_port()) if broker == "embedded" else ApacheKafka(folder, free_block())
    limits = kafka.CLIENT_SETTINGS if broker == "embedded" else apache_kafka.CLIENT_SETTINGS
    server.start()
    stack.callback(server.stop)
    on = await stack.enter_async_context(stage(server.bootstrap_servers, limits))
    line = await stack.enter_async_context(_line(on, options))
    suffix = "" if broker == "embedded" else ", Apache Kafka"
    drain = f"aiokafka alone{suffix}"
    return [
        Row(f"outbox to inbox{suffix}", line.drain, drain, "messages/s"),
        Row(drain, line.drain_bare, unit="messages/s"),
        Row(f"outbox to inbox at {STEADY}/s{suffix}", line.steady, unit="messages/s"),
        Row(f"aiokafka alone at {STEADY}/s{suffix}", line.steady_bare, unit="messages/s"),
        Row(f"idle{suffix}", line.idle, unit=""),
    ]


@asynccontextmanager
async def _line(on: Stage, options: Options) -> AsyncIterator["Line"]:
    """Both ways from end to end, with everybody in their groups."""
    ours, bares = on.folder / "arrivals", on.folder / "bare-arrivals"
    consumer = on.worker("loyalty", "tests.bench.receiving", {ARRIVALS: str(ours)})
    settings = _settings(on)
    async with topics.admin(settings) as admin:
        await admin.ensure([Topic(bare.TOPIC)])
    wait = str(settings.kafka_fetch_max_wait_ms)
    await on.start(
        [
            on.worker("profiles", "tests.bench.relaying", {}),
            consumer,
            replace(
                consumer,
                name="bare-consumer",
                missing=lambda: None,
                command=on.python("tests.bench.bare"),
                environment={**consumer.environment, ARRIVALS: str(bares), bare.WAIT: wait},
            ),
        ]
    )
    producer = AIOKafkaProducer(
        bootstrap_servers=settings.kafka_bootstrap_servers,
        acks="all",
        enable_idempotence=settings.kafka_idempotence,
        max_batch_size=512 * 1024,
    )
    await producer.start()
    pool = await asyncpg.create_pool(
        on.plan.databases["profiles"].app_url, min_size=_PUBLISHERS, max_size=_PUBLISHERS
    )
    try:
        line = Line(on, options, Arrivals(ours), Arrivals(bares), producer, pool)
        await line.warm_up()
        yield line
    finally:
        await producer.stop()
        await pool.close()


def _settings(on: Stage) -> Settings:
    environment = on.worker("profiles", "tests.bench.relaying", {}).environment
    return Settings.model_validate({name.lower(): value for name, value in environment.items()})


@dataclass
class Line:
    """From the outbox of profiles to the inbox of loyalty, and beside it a topic without either."""

    on: Stage
    options: Options
    arrivals: Arrivals
    bare_arrivals: Arrivals
    producer: AIOKafkaProducer
    pool: asyncpg.Pool
    next: int = 1

    async def warm_up(self) -> None:
        """Until a message comes through on both ways, everybody has joined."""
        for run in (self._drain, self._drain_bare):
            measure = await run(KEYS // 10)
            if measure.wrong:
                raise RuntimeError(measure.wrong)

    async def drain(self) -> Measure:
        return await self._drain(self.options.messages)

    async def drain_bare(self) -> Measure:
        return await self._drain_bare(self.options.messages)

    async def _drain(self, total: int) -> Measure:
        """All rows appear at once, by one commit."""
        waiting = self._rows(total)
        inbox = await self._inbox()
        used = self._used()
        async with self.pool.acquire() as connection:
            await connection.copy_records_to_table("outbox", records=waiting, columns=COLUMNS)
        began = time.time_ns()
        found = await self.arrivals.expect(total, _WITHIN)
        cost = [after - before for after, before in zip(self._used(), used, strict=True)]
        fault = _fault(waiting, found) or await self._inbox_fault(inbox + total)
        if fault:
            return Measure.failed(fault)
        return Measure(
            rate=total / (found[-1].at - began) * 1e9,
            cpu=sum(cost) * 1000 / total,
            notes={
                "relay alone, messages/s": total / (await self._all_sent() - began / 1e9),
                "relay, CPU µs a message": cost[0] * 1e6 / total,
                "consumer, CPU µs a message": cost[1] * 1e6 / total,
            },
        )

    async def _drain_bare(self, total: int) -> Measure:
        waiting = self._rows(total)
        outgoing = [message(row, bare.TOPIC) for row in waiting]
        began = time.time_ns()
        await bare.produce(self.producer, outgoing)
        found = await self.bare_arrivals.expect(total, _WITHIN)
        fault = _fault(waiting, found)
        return Measure.failed(fault) if fault else Measure(rate=total / (found[-1].at - began) * 1e9)

    async def steady(self) -> Measure:
        """Each row by a commit of its own; its way begins when that is acknowledged."""

        async def publish(row: tuple[Any, ...]) -> None:
            await self.pool.execute(_INSERT, *row)

        return await self._steady(publish, self.arrivals)

    async def steady_bare(self) -> Measure:
        """The same pace without database; the way begins when the client has taken the message."""

        async def publish(row: tuple[Any, ...]) -> None:
            await bare.put(self.producer, message(row, bare.TOPIC))

        return await self._steady(publish, self.bare_arrivals)

    async def _steady(
        self, publish: Callable[[tuple[Any, ...]], Awaitable[None]], arrivals: Arrivals
    ) -> Measure:
        waiting = self._rows(int(STEADY * self.options.seconds))
        committed: dict[int, int] = {}
        numbers = count()
        loop = asyncio.get_running_loop()
        start = loop.time() + 0.1

        async def publisher() -> None:
            while (index := next(numbers)) < len(waiting):
                await asyncio.sleep(start + index / STEADY - loop.time())
                await publish(waiting[index])
                committed[_number(waiting[index])] = time.time_ns()

        await asyncio.gather(*(publisher() for _ in range(_PUBLISHERS)))
        elapsed = loop.time() - start
        found = await arrivals.expect(len(waiting), _WITHIN)
        missing = len(waiting) - len({arrival.number for arrival in found} & committed.keys())
        if missing or len(found) > len(waiting):
            return Measure.failed(f"{missing} of {len(waiting)} never came; {len(found)} came in all")
        ways = [max(0, arrival.at - committed[arrival.number]) / 1e6 for arrival in found]
        p50, p99 = (percentile(ways, share) for share in (0.50, 0.99))
        return Measure(rate=len(waiting) / elapsed, p50=p50, p99=p99)

    async def idle(self) -> Measure:
        """Nothing to do for a while: what the workers use all the same, in per cent of a core."""
        await asyncio.sleep(_SETTLED)
        used, began = self._used(), time.monotonic()
        await asyncio.sleep(max(5.0, self.options.seconds))
        elapsed = time.monotonic() - began
        relay, consumer = (after - before for after, before in zip(self._used(), used, strict=True))
        notes = {
            "relay, % of a core": relay * 100 / elapsed,
            "consumer, % of a core": consumer * 100 / elapsed,
        }
        return Measure(rate=0.0, notes=notes)

    def _rows(self, total: int) -> list[tuple[Any, ...]]:
        made = list(rows(self.next, total))
        self.next += total
        return made

    def _used(self) -> list[float]:
        return [processor_seconds([self._process(service)]) for service in ("profiles", "loyalty")]

    def _process(self, service: str) -> psutil.Process:
        return self.on.process(f"{service}-worker")

    async def _all_sent(self) -> float:
        """When the relay took the last batch; a moment is given to it to mark what has arrived already."""
        while True:
            unsent, last = await self.pool.fetchrow(_SENT)
            if not unsent:
                return float(last)
            await asyncio.sleep(0.05)

    async def _inbox(self) -> int:
        connection = await asyncpg.connect(self.on.plan.databases["loyalty"].app_url)
        try:
            return int(await connection.fetchval("SELECT count(*) FROM inbox"))
        finally:
            await connection.close()

    async def _inbox_fault(self, expected: int) -> str:
        found = await self._inbox()
        return "" if found == expected else f"the inbox has {found} events instead of {expected}"


def _number(row: tuple[Any, ...]) -> int:
    return int(row[COLUMNS.index("version")])


def _fault(sent: Sequence[tuple[Any, ...]], found: Sequence[Arrival]) -> str:
    """What is wrong when these were sent and those arrived: each once, each key's in order."""
    numbers = [arrival.number for arrival in found]
    if sorted(numbers) != [_number(row) for row in sent]:
        return f"{len(sent)} messages were sent, {len(numbers)} came, {len(set(numbers))} of them different"
    last: dict[int, int] = {}
    for number in numbers:
        if number < last.get(number % KEYS, 0):
            return f"message {number} came after message {last[number % KEYS]} of the same key"
        last[number % KEYS] = number
    return ""
