"""Posting to the ledger: a point spent over HTTP against one SQL statement of the same effect in pgbench."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
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

CLIENTS = (16, 64)
_BODY = b'{"points":1}'

_BOOKS = """
    SELECT (SELECT count(*) FROM transactions WHERE kind = 'spend') AS transactions,
        (SELECT count(*) FROM outbox) AS events,
        (SELECT count(*) FROM idempotency_keys) AS keys,
        (SELECT coalesce(sum(points), 0) FROM allocations) AS allocated,
        (SELECT sum(balance) FROM accounts) AS balance,
        (SELECT sum(remaining) FROM lots) AS remaining,
        (SELECT sum(amount) FROM entries WHERE account_id IS NOT NULL) AS booked,
        (SELECT sum(amount) FROM entries) AS both_sides
"""


class Books(NamedTuple):
    """The ledger in sums: what must agree after whatever happened."""

    transactions: int
    events: int
    keys: int
    allocated: int
    balance: int
    remaining: int
    booked: int
    both_sides: int

    def fault(self, before: "Books", spent: int) -> str:
        """What is wrong when so many points were spent one by one since; empty: nothing is."""
        counts = {name: getattr(self, name) - getattr(before, name) for name in self._fields[:4]}
        wrong = {name: found for name, found in counts.items() if found != spent}
        if wrong:
            return f"{spent} points were spent, but {wrong}"
        if self.balance != before.balance - spent or not self.balance == self.remaining == self.booked:
            return f"the sums disagree: {self}"
        return "" if self.both_sides == 0 else f"the entries add up to {self.both_sides}"


@asynccontextmanager
async def spending(options: Options) -> AsyncIterator[Sequence[Row]]:
    """Two rows for each number of clients, and two in which all clients want the same account."""
    async with stage() as on:
        await on.seed("loyalty", options.customers)
        await on.start_apis("loyalty-api")
        await _over_http(on, options.warming(), CLIENTS[0], options.customers)
        rows: list[Row] = []
        for clients, accounts in [*((each, options.customers) for each in CLIENTS), (CLIENTS[-1], 1)]:
            what = f"{clients} clients" + (", one account" if accounts == 1 else "")
            ceiling = f"spend in pgbench, {what}"
            rows += [
                Row(f"spend, {what}", partial(_over_http, on, options, clients, accounts), ceiling),
                Row(ceiling, partial(_in_pgbench, on, options, clients, accounts)),
            ]
        yield rows


async def _over_http(on: Stage, options: Options, clients: int, accounts: int) -> Measure:
    token, dice, run, numbers = on.internal_token(), Dice(accounts), uuid4(), count()

    def ask() -> Asked:
        customer = dice.customer()
        key = f"{run}-{next(numbers)}"
        return post(f"/v1/accounts/{customer}/spend", token, _BODY, key, str(customer).encode())

    before = await _books(on)
    loaded = await closed_loop(
        on.port("loyalty-api"),
        ask,
        clients=clients,
        seconds=options.seconds,
        status=201,
        measured=[on.process("loyalty-api")],
    )
    return _checked(loaded.measure, (await _books(on)).fault(before, loaded.done))


async def _in_pgbench(on: Stage, options: Options, clients: int, accounts: int) -> Measure:
    before = await _books(on)
    url = on.plan.databases["loyalty"].app_url
    text = script("spend").replace(":customers", str(accounts))
    ran = await pgbench(url, text, clients=clients, seconds=options.seconds)
    return _checked(ran.measure, (await _books(on)).fault(before, ran.done))


def _checked(measure: Measure, fault: str) -> Measure:
    return replace(measure, rate=0.0, wrong=measure.wrong or fault) if fault else measure


async def _books(on: Stage) -> Books:
    connection = await asyncpg.connect(on.plan.databases["loyalty"].owner_url)
    try:
        return Books(*await connection.fetchrow(_BOOKS))
    finally:
        await connection.close()
