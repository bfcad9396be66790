"""Import a file of customers: the worker's job against the same tables filled by SQL alone, from COPY on."""

import asyncio
import csv
import io
import json
import os
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count

import asyncpg
from tests.bench.measuring import Measure, Options, Row
from tests.bench.stage import Stage, stage

from crm_profiles import files
from crm_profiles.imports import imports
from crm_profiles.settings import Settings
from crm_shared.database import Sessions, create_engine, create_sessions

PER_CUSTOMER = 2
"""Rows of the file for each customer of the options: 200,000 unless another size is asked for."""

_HEADER = ("customer number", "name", "phone", "email", "country", "birthday", "tags")
_SQL = """
    INSERT INTO customers (customer_id, name, region, birth_date, tags, source, channel, version, created_at,
                           updated_at, birth_calendar, attributes)
    SELECT id, name, region, birth_date::date, string_to_array(tags, ';'), 'bench', 'import', 1, now(), now(),
           'solar', '{}'
    FROM staged ORDER BY id;
    INSERT INTO external_ids (source, external_id, customer_id, origin_customer_id)
    SELECT $source$, external_id, id, id FROM staged ORDER BY external_id;
    INSERT INTO contact_points (kind, value, customer_id, origin_customer_id)
    SELECT 'phone', phone, id, id FROM staged UNION ALL SELECT 'email', email, id, id FROM staged;
    CREATE TEMPORARY TABLE told ON COMMIT DROP AS
    SELECT id, jsonb_build_object(
        'customer_id', id, 'version', 1, 'name', name, 'region', region, 'birth_date', birth_date,
        'tags', string_to_array(tags, ';'), 'source', 'bench', 'channel', 'import', 'created_at', now(),
        'contact_points', jsonb_build_array(jsonb_build_object('kind', 'phone', 'value', phone),
                                            jsonb_build_object('kind', 'email', 'value', email)),
        'external_ids', jsonb_build_array(jsonb_build_object('source', 'bench', 'external_id', external_id))
    ) AS state FROM staged;
    INSERT INTO customer_versions (customer_id, version, recorded_at, actor, source, channel, change, state)
    SELECT id, 1, now(), 'bench', 'bench', 'import', 'created', state FROM told;
    INSERT INTO outbox (id, type, key, subject, version, data, time)
    SELECT gen_random_uuid(), 'profiles.customer.created.v1', id::text, id::text, 1, state::text, now()
    FROM told;
    INSERT INTO import_rows (run_id, line, status, customer_id, version)
    SELECT '$run$'::uuid, line, 'created', id, 1 FROM staged;
"""
_STAGED = """
    CREATE TEMPORARY TABLE staged (
        line bigint, id uuid DEFAULT gen_random_uuid(), external_id text, name text, phone text, email text,
        region text, birth_date text, tags text
    ) ON COMMIT DROP
"""
_COLUMNS = ("line", "external_id", "name", "phone", "email", "region", "birth_date", "tags")


def row(number: int) -> tuple[str, ...]:
    """A customer as a shop would export them; no two alike."""
    return (
        f"c-{number}",
        f"王小明 {number}" if number % 3 else f"Zoë Müller {number}",
        f"+86138{number:08}",
        f"customer.{number}@example.com",
        "CN",
        f"19{number % 80 + 10}-0{number % 9 + 1}-1{number % 10}",
        "newsletter;vip" if number % 5 == 0 else "newsletter",
    )


@asynccontextmanager
async def importing(options: Options) -> AsyncIterator[Sequence[Row]]:
    """Each round brings customers who were not there before; the database grows alike for both."""
    async with stage() as on:
        settings = Settings.model_validate(on.environment("profiles-worker"))
        engine = create_engine(settings)
        try:
            line = Line(on, create_sessions(engine), options.customers * PER_CUSTOMER, count(1))
            yield [
                Row("import a file", line.run, "SQL alone", "rows/s"),
                Row("SQL alone", line.run_sql, unit="rows/s"),
            ]
        finally:
            await engine.dispose()


@dataclass
class Line:
    """Two ways of bringing the same rows in."""

    on: Stage
    sessions: Sessions
    rows: int
    numbers: "count[int]"

    async def run(self) -> Measure:
        """Upload, inspect and import by the worker's own code in a process of its own."""
        first = next(self.numbers) * self.rows
        now = datetime.now(UTC)

        async def text() -> AsyncIterator[bytes]:
            buffer = io.StringIO()
            csv.writer(buffer).writerows([_HEADER, *(row(first + each) for each in range(self.rows))])
            yield buffer.getvalue().encode()

        file_id = await files.receive(
            self.sessions, text(), name="bench.csv", content_type="text/csv", at=now
        )
        async with self.sessions.begin() as session:
            made = await imports.create(
                session,
                file_id,
                source="bench",
                encoding=None,
                delimiter=None,
                sheet=None,
                start={"dry_run": False},
                until=now + timedelta(days=1),
                at=now,
            )
            import_id = made.id
        program = self.on.worker("profiles", "tests.bench.importer", {})
        process = await asyncio.create_subprocess_exec(
            *program.command(), env={**os.environ, **program.environment}, stdout=asyncio.subprocess.PIPE
        )
        output, _ = await process.communicate()
        told = json.loads(output.splitlines()[-1])
        async with self.sessions() as session:
            job = await imports.job_of(session, await imports.get(session, import_id))
        if job.counts != {"created": self.rows} or job.started_at is None or job.finished_at is None:
            return Measure.failed(f"{job.state}: {job.counts} {job.problem}")
        seconds = (job.finished_at - job.started_at).total_seconds()
        wrong = await self._check(first)
        return Measure(
            self.rows / seconds,
            cpu=told["cpu"] * 1000 / self.rows,
            wrong=wrong,
            notes={"peak MiB": told["peak"]},
        )

    async def run_sql(self) -> Measure:
        """COPY into a temporary table, then a statement for each table that an import writes."""
        first = next(self.numbers) * self.rows
        records = [(each + 2, *row(first + each)) for each in range(self.rows)]
        connection = await asyncpg.connect(str(self.on.plan.databases["profiles"].owner_url))
        began = time.perf_counter()
        async with connection.transaction():
            await connection.execute(_STAGED)
            await connection.copy_records_to_table("staged", records=records, columns=_COLUMNS)
            run_id = str(await connection.fetchval("SELECT gen_random_uuid()"))
            await connection.execute(_SQL.replace("$source$", "'bench'").replace("$run$", run_id))
        seconds = time.perf_counter() - began
        await connection.close()
        return Measure(self.rows / seconds, wrong=await self._check(first))

    async def _check(self, first: int) -> str:
        """Every row is a customer with all that belongs to it."""
        connection = await asyncpg.connect(str(self.on.plan.databases["profiles"].owner_url))
        names = [f"c-{first + each}" for each in range(self.rows)]
        found = await connection.fetchrow(
            """
            SELECT count(*), count(c.customer_id), count(v.customer_id), count(o.id),
                   count(p.phone), count(p.email), count(r.line)
            FROM external_ids AS e
            JOIN customers AS c USING (customer_id)
            JOIN customer_versions AS v USING (customer_id)
            LEFT JOIN outbox AS o ON o.key = e.customer_id::text AND o.type = 'profiles.customer.created.v1'
            LEFT JOIN import_rows AS r ON r.customer_id = e.customer_id
            LEFT JOIN LATERAL (
                SELECT max(value) FILTER (WHERE kind = 'phone') AS phone,
                       max(value) FILTER (WHERE kind = 'email') AS email
                FROM contact_points AS p WHERE p.customer_id = e.customer_id
            ) AS p ON true
            WHERE e.source = 'bench' AND e.external_id = ANY($1)
            """,
            names,
        )
        await connection.close()
        return "" if set(found) == {self.rows} else f"of {self.rows} rows there are {tuple(found)}"
