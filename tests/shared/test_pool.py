"""The pool of connections: everybody in turn."""

import asyncio
from collections import Counter

import pytest
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import create_async_engine

from crm_shared.database import FairPool, async_url


async def test_who_comes_back_at_once_waits_behind_those_who_wait_already(postgres_url: str) -> None:
    engine = create_async_engine(async_url(postgres_url), poolclass=FairPool, pool_size=2, max_overflow=0)
    turns: Counter[int] = Counter()

    async def come_again_and_again(who: int) -> None:
        while turns.total() < 400:
            async with engine.connect():
                turns[who] += 1

    await asyncio.gather(*(come_again_and_again(who) for who in range(20)))
    await engine.dispose()

    assert len(turns) == 20
    assert max(turns.values()) - min(turns.values()) <= 2


async def test_a_connection_that_came_too_late_for_one_goes_to_the_next(postgres_url: str) -> None:
    engine = create_async_engine(
        async_url(postgres_url), poolclass=FairPool, pool_size=1, max_overflow=0, pool_timeout=0.2
    )
    holder = await engine.connect()
    with pytest.raises(PoolTimeout):
        await engine.connect()
    given_up = asyncio.create_task(engine.connect().start())
    patient = asyncio.create_task(engine.connect().start())
    await asyncio.sleep(0.01)
    closing = asyncio.create_task(holder.close())
    given_up.cancel()
    await closing

    async with asyncio.timeout(5):
        await (await patient).close()
    await engine.dispose()
