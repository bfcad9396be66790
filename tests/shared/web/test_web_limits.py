"""Routes with an allowance: bodies and answers that flow through, as long and as large as the route says."""

import asyncio
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import httpx2
import pytest
import pytest_asyncio
from fastapi import FastAPI, Request
from pydantic import BaseModel
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine
from starlette.responses import StreamingResponse
from starlette.types import Message

from crm_shared.database import FairPool, create_sessions
from crm_shared.settings import ServiceSettings
from crm_shared.testing import FrozenClock
from crm_shared.web.app import service_app
from crm_shared.web.limits import allowance
from crm_shared.web.media import gives, takes
from crm_shared.web.router import Router
from crm_shared.web.session import CurrentSessions, Session, provide, public

MIB = 1024 * 1024
CSV = {"content-type": "text/csv"}


class SizeOut(BaseModel):
    size: int


@pytest.fixture
def closed() -> list[str]:
    """What the streams of the service below have closed."""
    return []


@pytest.fixture
def connections() -> list[int]:
    """How many of the database's connections were in use before each tick."""
    return []


@pytest.fixture
def files(
    web_settings: ServiceSettings,
    web_engine: AsyncEngine,
    notes_clock: FrozenClock,
    closed: list[str],
    connections: list[int],
) -> FastAPI:
    """A service of files, which keeps none of them."""
    router = Router(tags=["files"])
    pool = web_engine.pool
    assert isinstance(pool, FairPool)

    @router.post(
        "/v1/files",
        response_model=SizeOut,
        dependencies=[public(), allowance(body=50 * MIB, deadline=30), takes("text/csv", "text/plain")],
    )
    async def send_file(request: Request) -> SizeOut:
        return SizeOut(size=sum([len(chunk) async for chunk in request.stream()]))

    @router.post("/v1/later", response_model=SizeOut, dependencies=[public(), allowance(deadline=0.2)])
    async def take_a_little_time(body: SizeOut) -> SizeOut:
        await asyncio.sleep(0.1 * body.size)
        return body

    @router.get("/v1/ticks", dependencies=[public(), allowance(deadline=1), gives("text/event-stream")])
    async def stream_ticks(session: Session, sessions: CurrentSessions, count: int) -> StreamingResponse:
        await session.execute(text("SELECT 1"))

        async def ticks() -> AsyncIterator[bytes]:
            try:
                for number in range(count):
                    connections.append(pool.checkedout())
                    async with sessions() as own:
                        await own.execute(text("SELECT 1"))
                    yield b"data: %d\n\n" % number
                    await asyncio.sleep(0.05)
            finally:
                closed.append("ticks")

        return StreamingResponse(ticks(), media_type="text/event-stream")

    app = service_app(web_settings, router, clock=notes_clock)
    sessions = create_sessions(web_engine.execution_options(isolation_level="AUTOCOMMIT"))
    provide(app, sessions, sessions)
    return app


@pytest_asyncio.fixture
async def client(files: FastAPI) -> AsyncIterator[httpx2.AsyncClient]:
    async with AsyncExitStack() as stack:
        transport = httpx2.ASGITransport(files, raise_app_exceptions=False)
        yield await stack.enter_async_context(
            httpx2.AsyncClient(transport=transport, base_url="http://files")
        )


async def pieces(count: int) -> AsyncIterator[bytes]:
    for _ in range(count):
        yield bytes(64 * 1024)


@pytest.mark.parametrize("headers", [CSV, CSV | {"idempotency-key": "one"}])
async def test_a_big_body_flows_through_in_flat_memory(
    client: httpx2.AsyncClient, headers: dict[str, str]
) -> None:
    await client.post("/v1/files", content=pieces(1), headers=CSV)
    tracemalloc.start()
    answer = await client.post("/v1/files", content=pieces(800), headers=headers)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert answer.json() == {"size": 50 * MIB}
    assert peak < 4 * MIB


async def test_a_body_beyond_the_allowance_is_refused_however_it_comes(client: httpx2.AsyncClient) -> None:
    said = await client.post("/v1/files", content=b"", headers=CSV | {"content-length": str(50 * MIB + 1)})
    grown = await client.post("/v1/files", content=pieces(801), headers=CSV)

    for answer in (said, grown):
        assert (answer.status_code, answer.json()["code"]) == (413, "payload_too_large")
        assert str(50 * MIB) in answer.json()["detail"]
        assert answer.headers["connection"] == "close"


async def test_a_streamed_body_is_of_a_type_that_the_route_takes(client: httpx2.AsyncClient) -> None:
    taken = await client.post(
        "/v1/files", content=b"a,b", headers={"content-type": "Text/Plain; charset=utf-8"}
    )
    refused = await client.post("/v1/files", content=b"{}", headers={"content-type": "application/json"})

    assert taken.json() == {"size": 3}
    assert (refused.status_code, refused.json()["detail"]) == (415, "Send text/csv or text/plain.")


async def test_an_allowance_of_time_takes_the_place_of_the_usual_deadline(client: httpx2.AsyncClient) -> None:
    assert (await client.post("/v1/later", json={"size": 1})).status_code == 200
    late = await client.post("/v1/later", json={"size": 9})
    assert (late.status_code, late.json()["detail"]) == (504, "There was no answer within 0.2 s.")


async def test_an_answer_is_of_a_type_that_the_caller_takes(client: httpx2.AsyncClient) -> None:
    taken = await client.get("/v1/ticks?count=1", headers={"accept": "text/event-stream"})
    assert (taken.text, taken.headers["content-type"]) == (
        "data: 0\n\n",
        "text/event-stream; charset=utf-8",
    )
    refused = await client.get("/v1/ticks?count=1", headers={"accept": "text/csv"})
    assert (refused.status_code, refused.json()["code"]) == (406, "not_acceptable")


async def test_a_stream_holds_no_connection_of_the_database(
    client: httpx2.AsyncClient, connections: list[int]
) -> None:
    await client.get("/v1/ticks?count=5")
    assert connections == [0] * 5


async def stream(app: FastAPI, path: bytes, *, listen: int) -> list[Message]:
    """What comes of a GET by somebody who leaves after so many messages."""
    sent: list[Message] = []
    gone = asyncio.Event()

    async def receive() -> Message:
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)
        if len(sent) == listen:
            gone.set()

    name, _, query = path.partition(b"?")
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "method": "GET",
        "path": name.decode(),
        "raw_path": name,
        "query_string": query,
        "headers": [],
        "app": app,
    }
    await app(scope, receive, send)
    return sent


async def test_a_stream_whose_listener_has_gone_is_closed(files: FastAPI, closed: list[str]) -> None:
    sent = await stream(files, b"/v1/ticks?count=1000", listen=3)
    assert len(sent) < 10
    assert closed == ["ticks"]


async def test_a_stream_that_outlives_its_deadline_is_broken_off_and_closed(
    files: FastAPI, closed: list[str]
) -> None:
    with pytest.raises(TimeoutError):
        await stream(files, b"/v1/ticks?count=1000", listen=1000)
    assert closed == ["ticks"]


def test_the_document_says_what_is_allowed(files: FastAPI) -> None:
    paths = files.openapi()["paths"]
    upload, ticks = paths["/v1/files"]["post"], paths["/v1/ticks"]["get"]

    assert (upload["x-max-body-bytes"], upload["x-deadline"]) == (50 * MIB, 30)
    assert list(upload["requestBody"]["content"]) == ["text/csv", "text/plain"]
    assert {"413", "415"} <= set(upload["responses"])
    assert "x-max-body-bytes" not in ticks
    assert list(ticks["responses"]["200"]["content"]) == ["text/event-stream"]
