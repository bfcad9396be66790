"""The programme's report over ten times as many purchases and lots as customers."""

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial

from sqlalchemy import text
from tests.bench.measuring import Measure, Options, Row
from tests.bench.stage import stage

from crm_loyalty import report
from crm_loyalty.settings import Settings
from crm_shared.database import Sessions, create_engine, create_sessions

_LIABILITY = text("SELECT sum(remaining) FROM lots")


@asynccontextmanager
async def figuring(options: Options) -> AsyncIterator[Sequence[Row]]:
    """A month and everything, asked as the API asks: one statement."""
    async with stage() as on:
        await on.seed("loyalty", options.customers, "report")
        engine = create_engine(Settings.model_validate(on.environment("loyalty-worker")))
        try:
            books = Books(create_sessions(engine))
            yield [
                Row(f"report of {name}, {10 * options.customers:,} purchases", partial(books.report, days))
                for name, days in (("a month", 30), ("three years", 1096))
            ]
        finally:
            await engine.dispose()


@dataclass
class Books:
    """A programme of some years."""

    sessions: Sessions

    async def report(self, days: int) -> Measure:
        now = datetime.now(UTC)
        began = time.perf_counter()
        async with self.sessions() as session:
            found = await report.get(session, (now - timedelta(days=days)).date(), now.date(), at=now)
        seconds = time.perf_counter() - began
        async with self.sessions() as session:
            liability = (await session.execute(_LIABILITY)).scalar_one()
        wrong = "" if found.liability.points == liability else f"{found.liability.points}, not {liability}"
        return Measure(1 / seconds, wrong=wrong, notes={"ms": seconds * 1000})
