"""Statements that the driver sends by itself: of the session's transaction, and known by their errors."""

from collections.abc import AsyncIterator

import pytest
from asyncpg import PostgresError
from asyncpg.exceptions import LockNotAvailableError
from sqlalchemy import BigInteger, Text, bindparam, literal, select, text
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine

from crm_shared.database import FairPool, async_url, awaits_a_lock, in_words, unavailable
from crm_shared.prepared import Prepared

WHO = Prepared(select(bindparam("name", type_=Text).label("name"), literal(7, BigInteger).label("seven")))
SERVER = Prepared(text("SELECT pg_backend_pid() AS pid"))
LEAVE = Prepared(text("SELECT pg_terminate_backend(pg_backend_pid())"))
BEGUN = Prepared(text("SELECT pg_current_xact_id() AS number"))


@pytest.fixture
async def engine(postgres_url: str) -> AsyncIterator[AsyncEngine]:
    """One connection, so that who comes next gets it too."""
    made = create_async_engine(async_url(postgres_url), poolclass=FairPool, pool_size=1, max_overflow=0)
    yield made
    await made.dispose()


@pytest.fixture
def session(engine: AsyncEngine) -> AsyncSession:
    return async_sessionmaker(engine)()


async def test_values_go_by_name_and_rows_come_by_name(session: AsyncSession) -> None:
    async with session:
        for _ in range(2):  # by the session's way first, then by the driver's
            [row] = await WHO.fetch(session, {"name": "Ada"})
            assert (row["name"], row["seven"]) == ("Ada", 7)


@pytest.mark.parametrize("first", [True, False])
async def test_what_it_did_is_undone_with_the_session(session: AsyncSession, first: bool) -> None:
    made = Prepared(text("SELECT set_config('crm.told', 'yes', true)"))
    told = Prepared(text("SELECT current_setting('crm.told', true) AS told"))
    async with session:
        if not first:
            await session.execute(text("SELECT 1"))
        await made.fetch(session, {})
        assert (await told.fetch(session, {}))[0]["told"] == "yes"
        await session.rollback()
        assert (await told.fetch(session, {}))[0]["told"] != "yes"


async def test_all_of_a_session_run_in_one_transaction(session: AsyncSession) -> None:
    async with session:
        numbers = [(await BEGUN.fetch(session, {}))[0]["number"] for _ in range(3)]
        numbers.append(await session.scalar(text("SELECT pg_current_xact_id()")))
        assert len(set(numbers)) == 1
        await session.commit()
        assert (await BEGUN.fetch(session, {}))[0]["number"] not in numbers


@pytest.mark.parametrize("autocommit", [True, False])
async def test_a_connection_that_died_is_not_handed_out_again(engine: AsyncEngine, autocommit: bool) -> None:
    if autocommit:
        engine = engine.execution_options(isolation_level="AUTOCOMMIT")
    sessions = async_sessionmaker(engine)
    async with sessions() as session:
        [before] = await SERVER.fetch(session, {})
        with pytest.raises(PostgresError) as died:
            await LEAVE.fetch(session, {})
    assert unavailable(died.value)

    async with sessions() as session:
        [after] = await SERVER.fetch(session, {})

    assert after["pid"] != before["pid"]


async def test_what_the_driver_says_is_known_by_its_code_and_told_without_values(
    session: AsyncSession,
) -> None:
    async with session:
        await session.execute(text("SELECT 1"))
        with pytest.raises(LockNotAvailableError) as refused:
            await Prepared(text("DO $$ BEGIN RAISE 'Ada' USING ERRCODE = '55P03'; END $$")).fetch(session, {})
    assert awaits_a_lock(refused.value)
    assert unavailable(refused.value)
    assert "Ada" not in in_words(refused.value)


async def test_a_session_that_is_used_again_sends_by_the_connection_that_it_has_then(
    engine: AsyncEngine,
) -> None:
    connections = []
    session = async_sessionmaker(engine)()
    for _ in range(2):
        async with session.begin():
            connections.append((await SERVER.fetch(session, {}))[0]["pid"])
            await SERVER.fetch(session, {})
        async with engine.connect() as other:  # the only one, which the session no longer holds
            await other.invalidate()
    assert len(set(connections)) == 2


async def test_what_is_undone_to_a_savepoint_takes_its_statements_along(session: AsyncSession) -> None:
    told = Prepared(text("SELECT current_setting('crm.told', true) AS told"))
    tell = Prepared(text("SELECT set_config('crm.told', 'yes', true)"))
    async with session:
        await told.fetch(session, {})
        nested = await session.begin_nested()
        await tell.fetch(session, {})
        await nested.rollback()
        assert (await told.fetch(session, {}))[0]["told"] != "yes"
