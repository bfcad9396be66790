"""Connections to the database that die at a chosen moment, and what a request has left in it."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import asyncpg
import pytest
from sqlalchemy import Connection, event, text
from sqlalchemy.ext.asyncio import AsyncEngine
from tests.chance import TIMES

from crm_shared.database import Sessions, unavailable

_DIE = "SELECT pg_terminate_backend(pg_backend_pid())"

_TABLES = (
    *("transactions", "entries", "lots", "allocations", "holds", "reasons", "order_payments"),
    *("reward_orders", "reward_order_steps", "coupon_uses", "purchases", "awards", "tier_changes"),
    *("returned_lines", "inbox", "outbox", "due", "idempotency_keys"),
)
_COUNTS = text(
    " UNION ALL ".join(f"SELECT '{name}' AS name, count(*) AS rows FROM {name}" for name in _TABLES)
)


NEVER = 10_000
"""No request takes as many steps."""


class Fate:
    """When a connection dies, counted from now on: in place of a statement, before a commit, or after it."""

    def __init__(self, moment: int) -> None:
        self._moment = moment
        self.steps = 0
        """How many there were so far."""

    @property
    def came(self) -> bool:
        return self.steps > self._moment

    def due(self) -> bool:
        self.steps += 1
        return self.steps == self._moment + 1


def moments(steps: int) -> list[int]:
    """At which of so many steps to die: by day at some, before and after the commit among them; or at all."""
    return sorted({*range(0, steps, 1 if TIMES > 1 else 4), steps - 2, steps - 1})


@contextmanager
def dying(engine: AsyncEngine, moment: int) -> Iterator[Fate]:
    """The server ends the connection that comes to this step, and answers nothing any more.

    Steps are what sessions send, what is sent by the driver alone, and two for each commit.
    """
    fate = Fate(moment)
    sent = asyncpg.Connection.fetch

    async def fetch(driver: asyncpg.Connection, query: str, *values: object) -> object:
        return await (sent(driver, _DIE) if fate.due() else sent(driver, query, *values))

    def execute(
        connection: Connection, cursor: object, statement: str, given: object, context: object, many: bool
    ) -> tuple[str, object]:
        return (_DIE, ()) if fate.due() else (statement, given)

    def commit(connection: Connection) -> None:
        if fate.due():
            connection.exec_driver_sql(_DIE)
        if fate.due():
            # It is done, and who asked for it never hears of that.
            connection.exec_driver_sql("COMMIT")
            connection.exec_driver_sql(_DIE)

    event.listen(engine.sync_engine, "before_cursor_execute", execute, retval=True)
    event.listen(engine.sync_engine, "commit", commit)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(asyncpg.Connection, "fetch", fetch)
            yield fate
    finally:
        event.remove(engine.sync_engine, "before_cursor_execute", execute)
        event.remove(engine.sync_engine, "commit", commit)


@contextmanager
def cut_off() -> Iterator[None]:
    """What was asked for may fail, but only as a lost connection lets it."""
    try:
        yield
    except Exception as error:
        if not unavailable(error):
            raise


async def footprint(sessions: Sessions) -> Counter[str]:
    """How many rows there are of whatever a request can leave."""
    async with sessions() as session:
        return Counter({row.name: row.rows for row in await session.execute(_COUNTS)})
