"""Posting to the ledger: a point spent or held over HTTP against one SQL statement of the same effect."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import count
from typing import NamedTuple
from uuid import uuid4

import asyncpg
from tests.bench.data import Dice, script
from tests.bench.load import Asked, closed_loop, post
from tests.bench.measuring import Measure, Options, Row
from tests.bench.pgbench import pgbench
from tests.bench.stage import Stage, stage

_BOOKS = """
    SELECT (SELECT count(*) FROM transactions) AS transactions,
        (SELECT count(*) FROM outbox) AS events,
        (SELECT count(*) FROM idempotency_keys) AS keys,
        (SELECT coalesce(sum(points), 0) FROM allocations) AS spent,
        (SELECT coalesce(sum(points), 0) FROM hold_parts) AS held,
        (SELECT coalesce(sum(held), 0) FROM accounts) AS reserved,
        (SELECT sum(balance) FROM accounts) AS balance,
        (SELECT sum(remaining) FROM lots) AS remaining,
        (SELECT sum(amount) FROM entries WHERE account_id IS NOT NULL) AS booked,
        (SELECT sum(amount) FROM entries) AS both_sides
"""


@dataclass(frozen=True)
class Job:
    """What is asked for, and how many points of it are spent and held."""

    name: str
    path: str
    body: bytes
    spent: int = 0
    held: int = 0


SPEND = Job("spend", "spend", b'{"points":1}', spent=1)
HOLD = Job("hold", "holds", b'{"points":1,"expires_in":900}', held=1)


class Books(NamedTuple):
    """The ledger in sums: what must agree after whatever happened."""

    transactions: int
    events: int
    keys: int
    spent: int
    held: int
    reserved: int
    balance: int
    remaining: int
    booked: int
    both_sides: int

    def fault(self, before: "Books", job: Job, done: int) -> str:
        """What is wrong when the job was done so often since; empty: nothing is."""
        expected = {"transactions": done, "events": done, "keys": done, "spent": done * job.spent}
        expected |= dict.fromkeys(("held", "reserved"), done * job.held) | {"balance": -done * job.spent}
        found = {name: getattr(self, name) - getattr(before, name) for name in expected}
        wrong = {name: found[name] for name in expected if found[name] != expected[name]}
        if wrong:
            return f"{done} times {job.name}, but {wrong}"
        if not self.balance == self.remaining == self.booked:
            return f"the sums disagree: {self}"
        return "" if self.both_sides == 0 else f"the entries add up to {self.both_sides}"


@asynccontextmanager
async def posting(options: Options) -> AsyncIterator[Sequence[Row]]:
    """Two rows for each job and number of clients, and two in which all clients want the same account."""
    async with stage() as on:
        await on.seed("loyalty", options.customers)
        await on.start_apis("loyalty-api")
        await _over_http(on, options.warming(), SPEND, 16, options.customers)
        rows: list[Row] = []
        for job, clients, accounts in (
            (SPEND, 16, options.customers),
            (SPEND, 64, options.customers),
            (SPEND, 64, 1),
            (HOLD, 16, options.customers),
            (HOLD, 64, options.customers),
        ):
            what = f"{clients} clients" + (", one account" if accounts == 1 else "")
            ceiling = f"{job.name} in pgbench, {what}"
            rows += [
                Row(f"{job.name}, {what}", partial(_over_http, on, options, job, clients, accounts), ceiling),
                Row(ceiling, partial(_in_pgbench, on, options, job, clients, accounts)),
            ]
        yield rows


async def _over_http(on: Stage, options: Options, job: Job, clients: int, accounts: int) -> Measure:
    token, dice, run, numbers = on.internal_token(), Dice(accounts), uuid4(), count()

    def ask() -> Asked:
        customer = dice.customer()
        key = f"{run}-{next(numbers)}"
        return post(f"/v1/accounts/{customer}/{job.path}", token, job.body, key, str(customer).encode())

    before = await _books(on)
    loaded = await closed_loop(
        on.port("loyalty-api"),
        ask,
        clients=clients,
        seconds=options.seconds,
        status=201,
        measured=[on.process("loyalty-api")],
    )
    return _checked(loaded.measure, (await _books(on)).fault(before, job, loaded.done))


async def _in_pgbench(on: Stage, options: Options, job: Job, clients: int, accounts: int) -> Measure:
    before = await _books(on)
    url = on.plan.databases["loyalty"].app_url
    text = script(job.name).replace(":customers", str(accounts))
    ran = await pgbench(url, text, clients=clients, seconds=options.seconds)
    return _checked(ran.measure, (await _books(on)).fault(before, job, ran.done))


def _checked(measure: Measure, fault: str) -> Measure:
    return replace(measure, rate=0.0, wrong=measure.wrong or fault) if fault else measure


async def _books(on: Stage) -> Books:
    connection = await asyncpg.connect(on.plan.databases["loyalty"].owner_url)
    try:
        return Books(*await connection.fetchrow(_BOOKS))
    finally:
        await connection.close()
