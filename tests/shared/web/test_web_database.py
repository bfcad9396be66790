"""Trouble of the database is told as what passes, and nothing stays behind when it or the caller fails."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import httpx2
import pytest
from fastapi import FastAPI
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from crm_shared.database import create_engine, create_sessions
from crm_shared.settings import ServiceSettings
from crm_shared.web.session import provide

NOTES = "/v1/notes"


def serve_from(app: FastAPI, engine: AsyncEngine) -> None:
    provide(app, create_sessions(engine), create_sessions(engine))


@pytest.fixture
async def administrator(postgres_url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(postgres_url)
    yield connection
    await connection.close()


async def test_a_database_that_is_gone_is_unavailable(
    app: FastAPI, agent: httpx2.AsyncClient, web_settings: ServiceSettings
) -> None:
    engine = create_engine(web_settings.model_copy(update={"database_url": "postgresql://x:y@127.0.0.1:1/x"}))
    serve_from(app, engine)
    answer = await agent.get(NOTES)
    assert (answer.status_code, answer.json()["code"]) == (503, "database_unavailable")
    assert "127.0.0.1" not in answer.text


async def test_a_database_that_takes_no_more_connections_is_unavailable(
    app: FastAPI, agent: httpx2.AsyncClient, administrator: asyncpg.Connection, web_settings: ServiceSettings
) -> None:
    await administrator.execute("CREATE ROLE crowded LOGIN PASSWORD 'crowded' CONNECTION LIMIT 0")
    address = str(web_settings.database_url).split("@")[1]
    engine = create_engine(
        web_settings.model_copy(update={"database_url": f"postgresql://crowded:crowded@{address}"})
    )
    serve_from(app, engine)
    answer = await agent.get(NOTES)
    assert (answer.status_code, answer.json()["code"]) == (503, "database_unavailable")


async def test_connections_that_were_cut_are_unavailable_once_and_then_made_anew(
    app: FastAPI, agent: httpx2.AsyncClient, administrator: asyncpg.Connection, web_settings: ServiceSettings
) -> None:
    engine = create_engine(web_settings.model_copy(update={"pool_size": 1, "service": "cut"}))
    serve_from(app, engine)
    assert (await agent.get(NOTES)).status_code == 200
    await administrator.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'cut'"
    )
    statuses = [(await agent.get(NOTES)).status_code for _ in range(3)]
    assert statuses[-1] == 200
    assert set(statuses) <= {200, 503}
    await engine.dispose()


async def test_a_busy_pool_is_unavailable_and_not_waited_for(
    app: FastAPI, agent: httpx2.AsyncClient, web_settings: ServiceSettings
) -> None:
    engine = create_engine(web_settings.model_copy(update={"pool_size": 1, "pool_timeout": 0.1}))
    serve_from(app, engine)
    async with engine.connect() as held:
        await held.execute(text("SELECT 1"))
        answer = await agent.get(NOTES)
    assert (answer.status_code, answer.json()["code"]) == (503, "database_unavailable")
    await engine.dispose()


async def test_who_waits_too_long_for_what_another_changes_is_told_that_it_is_busy(
    app: FastAPI, agent: httpx2.AsyncClient, web_settings: ServiceSettings
) -> None:
    engine = create_engine(web_settings.model_copy(update={"statement_timeout": 0.5}))
    serve_from(app, engine)
    another = create_engine(web_settings)
    async with another.begin() as connection:
        await connection.execute(text("LOCK TABLE notes"))
        answer = await agent.get(NOTES)
    assert (answer.status_code, answer.json()["code"]) == (503, "busy")
    assert answer.json()["detail"].startswith("Others are changing the same things")
    assert answer.headers["retry-after"] == "1"
    assert (await agent.get(NOTES)).status_code == 200
    await engine.dispose()
    await another.dispose()


async def test_callers_who_go_away_in_the_middle_leave_no_connection_behind(
    app: FastAPI, agent: httpx2.AsyncClient, administrator: asyncpg.Connection, web_settings: ServiceSettings
) -> None:
    engine = create_engine(web_settings.model_copy(update={"pool_size": 5, "statement_timeout": 20.0}))
    serve_from(app, engine)
    for _ in range(10):
        requests = [asyncio.create_task(agent.get("/v1/stuck")) for _ in range(5)]
        await asyncio.sleep(0.05)
        for request in requests:
            request.cancel()
        await asyncio.gather(*requests, return_exceptions=True)
    answers = await asyncio.gather(*(agent.get(NOTES) for _ in range(20)))
    assert {answer.status_code for answer in answers} == {200}
    assert engine.pool.status().endswith("Checked out connections: 0")
    idle = await administrator.fetchval(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = 'web' AND state = 'idle in transaction'"
    )
    assert idle == 0
    await engine.dispose()


@pytest.mark.parametrize("number", [2**63, -(2**63) - 1])
async def test_a_number_no_column_holds_is_no_trouble_of_the_database(
    agent: httpx2.AsyncClient, number: Any
) -> None:
    answer = await agent.get(f"/v1/overflow?by={number}")
    assert (answer.status_code, answer.json()["code"]) == (500, "internal_error")


async def test_a_get_that_writes_is_a_fault_of_ours(
    app: FastAPI, agent: httpx2.AsyncClient, web_settings: ServiceSettings
) -> None:
    in_process = await agent.get("/v1/writing")
    engine = create_engine(web_settings, reading=True)
    serve_from(app, engine)
    answer = await agent.get("/v1/writing")

    assert in_process.status_code >= 500
    assert (answer.status_code, answer.json()["code"]) == (500, "internal_error")
    assert (await agent.get(NOTES)).json() == {"notes": 0}
    await engine.dispose()
