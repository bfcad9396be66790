"""Making customers known over HTTP against one SQL statement of the same effect in pgbench."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from itertools import count
from typing import NamedTuple
from uuid import uuid4

import asyncpg
from tests.bench.data import script
from tests.bench.load import Asked, closed_loop, post
from tests.bench.measuring import Measure, Options, Row
from tests.bench.pgbench import pgbench
from tests.bench.stage import Stage, stage

CLIENTS = (16, 64)

_FILE = """
    SELECT (SELECT count(*) FROM customers) AS customers,
        (SELECT count(*) FROM contact_points) AS contact_points,
        (SELECT count(*) FROM customer_versions) AS versions,
        (SELECT count(*) FROM outbox WHERE type = 'profiles.customer.created.v1') AS events,
        (SELECT count(*) FROM idempotency_keys) AS keys
"""


class File(NamedTuple):
    """What is on file in numbers: each customer that is made adds one to each."""

    customers: int
    contact_points: int
    versions: int
    events: int
    keys: int

    def fault(self, before: "File", made: int) -> str:
        """What is wrong when so many customers were made since; empty: nothing is."""
        rows = zip(self._fields, self, before, strict=True)
        wrong = {name: now - then for name, now, then in rows if now - then != made}
        return f"{made} customers were made, but {wrong}" if wrong else ""


@asynccontextmanager
async def creating(options: Options) -> AsyncIterator[Sequence[Row]]:
    """Two rows for each number of clients; every customer must be on file with all that belongs to them."""
    async with stage() as on:
        await on.seed("profiles", options.customers)
        await on.start_apis("profiles-api")
        await _over_http(on, options.warming(), CLIENTS[0])
        rows: list[Row] = []
        for clients in CLIENTS:
            ceiling = f"create in pgbench, {clients} clients"
            rows += [
                Row(f"create, {clients} clients", partial(_over_http, on, options, clients), ceiling),
                Row(ceiling, partial(_in_pgbench, on, options, clients)),
            ]
        yield rows


async def _over_http(on: Stage, options: Options, clients: int) -> Measure:
    token, run, numbers = on.internal_token(), uuid4(), count()

    def ask() -> Asked:
        address = f"{next(numbers)}-{run}@example.com".encode()
        points = b'[{"kind": "email", "value": "%b"}]' % address
        body = b'{"name": "Ada Lovelace", "language": "en-GB", "contact_points": %b}' % points
        return post("/v1/customers", token, body, address.decode(), address)

    before = await _file(on)
    loaded = await closed_loop(
        on.port("profiles-api"),
        ask,
        clients=clients,
        seconds=options.seconds,
        status=201,
        measured=[on.process("profiles-api")],
    )
    return _checked(loaded.measure, (await _file(on)).fault(before, loaded.done))


async def _in_pgbench(on: Stage, options: Options, clients: int) -> Measure:
    before = await _file(on)
    url = on.plan.databases["profiles"].app_url
    ran = await pgbench(url, script("create"), clients=clients, seconds=options.seconds)
    return _checked(ran.measure, (await _file(on)).fault(before, ran.done))


def _checked(measure: Measure, fault: str) -> Measure:
    return replace(measure, rate=0.0, wrong=measure.wrong or fault) if fault else measure


async def _file(on: Stage) -> File:
    connection = await asyncpg.connect(on.plan.databases["profiles"].owner_url)
    try:
        return File(*await connection.fetchrow(_FILE))
    finally:
        await connection.close()
