"""Finding duplicates: everybody in a scan, and one change at a time, alone and while a scan goes on."""

import asyncio
import json
import os
import time
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import count
from uuid import UUID

import asyncpg
from sqlalchemy import text
from tests.bench.data import customer_id
from tests.bench.measuring import Measure, Options, Row, percentile
from tests.bench.names import names
from tests.bench.stage import Stage, stage

from crm_profiles.merging import duplicates
from crm_profiles.settings import Settings
from crm_shared import jobs
from crm_shared.database import Sessions, create_engine, create_sessions
from crm_shared.ids import uuid7

TWINS = 20
"""Of so many customers one is on file twice, and one was born on a day that somebody made up."""
_ANY_DAY = date(1970, 1, 1)

_FILL_VERSIONS = """
    INSERT INTO customer_versions (customer_id, version, recorded_at, channel, change, state)
    SELECT customer_id, 1, created_at, 'api', 'created', jsonb_build_object(
        'contact_points', jsonb_build_array(jsonb_build_object('kind', 'phone', 'value', value)))
    FROM customers JOIN contact_points USING (customer_id)
"""
_ADD_TWIN = text(
    """
    WITH made AS (
        INSERT INTO customers (customer_id, name, birth_date, tags, channel, birth_calendar, attributes,
                               version, created_at, updated_at)
        SELECT :id, name, birth_date, '{}', 'api', 'solar', '{}', 1, now(), now()
        FROM customers WHERE customer_id = :twin RETURNING customer_id
    )
    INSERT INTO customer_versions (customer_id, version, recorded_at, channel, change, state)
    SELECT customer_id, 1, now(), 'api', 'created', '{"contact_points": []}' FROM made
    """
)
_PAIRED = text(
    "SELECT count(*) FROM duplicates WHERE first_id = :twin AND second_id = :id AND state = 'open'"
)
_PLANTED = text(
    """
    SELECT count(*) FROM duplicates AS d
    JOIN unnest(CAST(:first AS uuid[]), CAST(:second AS uuid[])) AS p (first_id, second_id)
      USING (first_id, second_id) WHERE state = 'open'
    """
)


@asynccontextmanager
async def matching(options: Options) -> AsyncIterator[Sequence[Row]]:
    """A change is measured from its commit to that of its pair, looked for at once, not every few seconds."""
    async with stage() as on:
        await _fill(on, options.customers)
        engine = create_engine(Settings.model_validate(on.environment("profiles-worker")))
        try:
            archive = Archive(on, create_sessions(engine), options, count(1))
            yield [
                Row("scan everybody", archive.scan, unit="customers/s"),
                Row("one change", archive.change, unit="changes/s"),
                Row("one change during a scan", archive.change_during_scan, unit="changes/s"),
            ]
        finally:
            await engine.dispose()


@dataclass
class Archive:
    """Customers some of whom are on file twice."""

    on: Stage
    sessions: Sessions
    options: Options
    numbers: "count[int]"

    async def scan(self) -> Measure:
        """By the worker's own code in a process of its own."""
        async with self.sessions() as session:
            everybody = (await session.execute(text("SELECT count(*) FROM customers"))).scalar_one()
        job, process = await self._start_scan()
        output, _ = await process.communicate()
        told = json.loads(output.splitlines()[-1])
        async with self.sessions() as session:
            ended = await jobs.get(session, job, kind=duplicates.SCAN)
        if ended.result != {"customers": everybody} or not ended.started_at or not ended.finished_at:
            return Measure.failed(f"{ended.state}: {ended.result} {ended.problem}")
        seconds = (ended.finished_at - ended.started_at).total_seconds()
        return Measure(
            everybody / seconds,
            cpu=told["cpu"] * 1000 / everybody,
            wrong=await self._check(),
            notes={"ms per 1,000 customers": seconds * 1_000_000 / everybody, "peak MiB": told["peak"]},
        )

    async def change(self) -> Measure:
        """One after the other, for as long as a cell takes."""
        took, wrong = [], ""
        began = time.perf_counter()
        while time.perf_counter() < began + self.options.seconds:
            milliseconds, found = await self._notice()
            took.append(milliseconds)
            wrong = wrong or ("" if found else "a pair was not found")
        rate = 0.0 if wrong else len(took) / (time.perf_counter() - began)
        return Measure(rate, percentile(took, 0.5), percentile(took, 0.99), wrong=wrong)

    async def change_during_scan(self) -> Measure:
        """The scan is given up afterwards, and must have been under way until then."""
        job, process = await self._start_scan()
        await self._until_under_way(job)
        measure = await self.change()
        before = await self._scanned(job)
        try:
            async with self.sessions.begin() as session:
                await jobs.cancel(session, job, at=datetime.now(UTC))
        except jobs.JobEnded:
            return Measure.failed(f"the scan of {before} ended first: more customers, or shorter cells")
        finally:
            await process.communicate()
        return measure

    async def _start_scan(self) -> tuple[UUID, Process]:
        async with self.sessions.begin() as session:
            job = jobs.start(session, duplicates.SCAN, {}, at=datetime.now(UTC)).id
        program = self.on.worker("profiles", "tests.bench.importer", {})
        process = await asyncio.create_subprocess_exec(
            *program.command(), env={**os.environ, **program.environment}, stdout=asyncio.subprocess.PIPE
        )
        return job, process

    async def _until_under_way(self, job: UUID) -> None:
        async with asyncio.timeout(120):  # a busy machine takes long to start a process
            while True:
                if await self._scanned(job):
                    return
                await asyncio.sleep(0.1)

    async def _scanned(self, job: UUID) -> int:
        async with self.sessions() as session:
            return (await jobs.get(session, job, kind=duplicates.SCAN)).done

    async def _notice(self) -> tuple[float, bool]:
        """Put somebody on file again: milliseconds until their pair is committed, and whether it is."""
        number = next(self.numbers) * TWINS % self.options.customers + 2
        ids = {"twin": customer_id(number), "id": uuid7()}
        async with self.sessions.begin() as session:
            await session.execute(_ADD_TWIN, ids)
        began = time.perf_counter()
        now = datetime.now(UTC)
        async with self.sessions.begin() as session:
            await duplicates.match_changed(session, since=now, at=now)
        took = (time.perf_counter() - began) * 1000
        async with self.sessions() as session:
            return took, bool(await session.scalar(_PAIRED, ids))

    async def _check(self) -> str:
        planted = range(TWINS, self.options.customers + 1, TWINS)
        pairs = {"first": [customer_id(n - 1) for n in planted], "second": [customer_id(n) for n in planted]}
        async with self.sessions() as session:
            found = await session.scalar(_PLANTED, pairs)
        return "" if found == len(planted) else f"of {len(planted)} pairs {found} were found"


def _people(customers: int) -> Iterator[tuple[str, date]]:
    person = ("", _ANY_DAY)
    for n, name in enumerate(names(customers), 1):
        if n % TWINS:
            person = name, _ANY_DAY if n % TWINS == 1 else date(1950, 1, 1) + timedelta(days=n * 37 % 20_000)
        yield person


async def _fill(on: Stage, customers: int) -> None:
    """By COPY, with a version each that nobody has looked at, and that is no news any more."""
    connection = await asyncpg.connect(on.plan.databases["profiles"].owner_url)
    then = datetime.now(UTC) - timedelta(days=1)
    try:
        await connection.copy_records_to_table(
            "customers",
            columns=(
                *("customer_id", "name", "birth_date", "tags", "channel", "birth_calendar", "attributes"),
                *("version", "created_at", "updated_at"),
            ),
            records=(
                (customer_id(n), name, born, [], "api", "solar", "{}", 1, then, then)
                for n, (name, born) in enumerate(_people(customers), 1)
            ),
        )
        await connection.copy_records_to_table(
            "contact_points",
            columns=("kind", "value", "customer_id", "origin_customer_id"),
            records=(
                ("phone", f"+86{13_000_000_000 + n * 7}", customer_id(n), customer_id(n))
                for n in range(1, customers + 1)
            ),
        )
        await connection.execute(_FILL_VERSIONS)
        await connection.execute("VACUUM ANALYZE")
    finally:
        await connection.close()
    await asyncio.to_thread(on.postgres.psql, "CHECKPOINT")
