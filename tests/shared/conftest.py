"""A database with nothing but the tables that all services share."""

from collections.abc import AsyncIterator

import pytest_asyncio
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from crm_shared.database import Sessions, SharedBase, async_url, create_sessions
from crm_shared.migrations import MODULES_WITH_TABLES
from crm_shared.testing import rolled_back, truncate


@pytest_asyncio.fixture(scope="session")
async def shared_engine(postgres_url: str) -> AsyncIterator[AsyncEngine]:
    """The shared tables, made from the models that the services' migrations are checked against."""
    assert MODULES_WITH_TABLES
    admin = create_async_engine(async_url(postgres_url), isolation_level="AUTOCOMMIT")
    async with admin.connect() as connection:
        await connection.execute(text("CREATE DATABASE crm_shared"))
    await admin.dispose()
    engine = create_async_engine(async_url(postgres_url.rsplit("/", 1)[0] + "/crm_shared"), pool_size=20)
    async with engine.begin() as connection:
        await connection.run_sync(SharedBase.metadata.create_all)
    yield engine
    await engine.dispose()


@pytest_asyncio.fixture
async def sessions(shared_engine: AsyncEngine) -> AsyncIterator[Sessions]:
    """What a test commits is gone after it."""
    async with rolled_back(shared_engine) as rolled:
        yield rolled


@pytest_asyncio.fixture
async def committed_sessions(shared_engine: AsyncEngine) -> AsyncIterator[Sessions]:
    """Sessions that commit for real, for races; every table is emptied afterwards."""
    yield create_sessions(shared_engine)
    await truncate(shared_engine)
