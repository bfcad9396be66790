"""Big bodies and long answers pass through the gateway as they come, and leave nothing when cut off."""

import asyncio
import time
import tracemalloc
from collections.abc import AsyncIterator, Callable

import httpx2
import pytest
from aiohttp import web

from .conftest import Gateway, Service, StartGateway

Services = dict[str, Service]

MIB = 1024 * 1024
WATCH = "/v1/imports/1/progress"
CSV = {"content-type": "text/csv"}


class Ticking:
    """A service that sends a tick every now and then, for as long as somebody listens."""

    def __init__(self, count: int = 10_000, pause: float = 0.02) -> None:
        self.count, self.pause = count, pause
        self.began = self.ended = 0

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.began += 1
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        try:
            await response.prepare(request)
            for number in range(self.count):
                await response.write(b"data: %d\n\n" % number)
                await asyncio.sleep(self.pause)
        finally:
            self.ended += 1
        return response


async def count_bytes(request: web.Request) -> web.StreamResponse:
    size = 0
    async for chunk in request.content.iter_any():
        size += len(chunk)
    return web.json_response({"size": size, "type": request.headers["Content-Type"]})


async def pieces(mebibytes: int) -> AsyncIterator[bytes]:
    for _ in range(mebibytes):
        yield bytes(MIB)


async def until(condition: Callable[[], bool]) -> None:
    for _ in range(300):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not come true")


@pytest.mark.parametrize("chunked", [True, False])
async def test_a_big_upload_streams_through_in_flat_memory(
    gateway: Gateway, services: Services, chunked: bool
) -> None:
    services["profiles"].answer = count_bytes
    length = {} if chunked else {"content-length": str(50 * MIB)}
    headers = gateway.bearer() | CSV | length
    await gateway.client.post("/v1/imports", content=b"x", headers=gateway.bearer() | CSV)
    tracemalloc.start()
    response = await gateway.client.post("/v1/imports", content=pieces(50), headers=headers)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert response.json() == {"size": 50 * MIB, "type": "text/csv"}
    assert peak < 16 * MIB


async def test_a_service_that_reads_slowly_slows_the_sender_down(
    gateway: Gateway, services: Services
) -> None:
    go_on = asyncio.Event()

    async def answer(request: web.Request) -> web.StreamResponse:
        await go_on.wait()
        return await count_bytes(request)

    sent = 0

    async def body() -> AsyncIterator[bytes]:
        nonlocal sent
        async for piece in pieces(50):
            sent += 1
            yield piece

    services["profiles"].answer = answer
    upload = asyncio.create_task(
        gateway.client.post("/v1/imports", content=body(), headers=gateway.bearer() | CSV)
    )
    await asyncio.sleep(0.5)
    assert sent < 25  # what sockets hold, and nobody's memory
    go_on.set()
    assert (await upload).json()["size"] == 50 * MIB


@pytest.mark.parametrize("chunked", [True, False])
async def test_an_upload_beyond_its_allowance_is_refused(
    gateway: Gateway, services: Services, chunked: bool
) -> None:
    services["profiles"].answer = count_bytes
    headers = gateway.bearer() | CSV | ({} if chunked else {"content-length": str(65 * MIB)})
    response = await gateway.client.post("/v1/imports", content=pieces(65), headers=headers)

    assert (response.status_code, response.json()["code"]) == (413, "payload_too_large")
    assert str(64 * MIB) in response.json()["detail"]


async def test_other_operations_keep_the_usual_limits(gateway: Gateway) -> None:
    response = await gateway.client.post("/v1/customers", content=bytes(2 * MIB), headers=gateway.bearer())

    assert (response.status_code, response.json()["code"]) == (413, "payload_too_large")


async def test_a_stream_outlives_the_usual_deadlines_and_comes_as_it_is_sent(
    start_gateway: StartGateway, services: Services
) -> None:
    services["profiles"].answer = Ticking(count=5, pause=0.3).answer
    gateway = await start_gateway(upstream_timeout=0.2, breaker_failures=1)
    came: list[float] = []
    async with gateway.client.stream("GET", WATCH, headers=gateway.bearer()) as response:
        assert response.headers["content-type"] == "text/event-stream"
        text = b""
        async for part in response.aiter_raw():
            came.append(time.monotonic())
            text += part

    assert text == b"".join(b"data: %d\n\n" % number for number in range(5))
    assert came[-1] - came[0] > 1
    services["profiles"].answer = None
    assert (await gateway.client.get("/v1/customers", headers=gateway.bearer())).status_code == 200


async def test_an_operation_has_no_more_than_its_own_deadline(gateway: Gateway, services: Services) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(5)
        return web.Response()

    services["profiles"].answer = answer
    began = time.monotonic()
    response = await gateway.client.get("/v1/exports/1", headers=gateway.bearer())

    assert (response.status_code, response.json()["code"]) == (504, "upstream_timeout")
    assert time.monotonic() - began < 1


@pytest.mark.parametrize("media_type", ["text/html; charset=utf-8", "text/csv", "application/zip"])
async def test_answers_of_other_types_pass_with_their_length(
    gateway: Gateway, services: Services, media_type: str
) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        return web.Response(
            body=b"x" * MIB, headers={"content-type": media_type, "content-disposition": "attachment"}
        )

    services["profiles"].answer = answer
    response = await gateway.client.get(
        "/v1/exports/1", headers=gateway.bearer() | {"accept": media_type.partition(";")[0]}
    )

    assert response.headers["content-type"] == media_type
    assert response.headers["content-length"] == str(len(response.content)) == str(MIB)
    assert response.headers["content-disposition"] == "attachment"


async def test_a_listener_that_goes_away_frees_the_connection_to_the_service(
    start_gateway: StartGateway, services: Services
) -> None:
    ticking = Ticking()
    services["profiles"].answer = ticking.answer
    gateway = await start_gateway(upstream_streams=2, caller_concurrency=2)
    for _ in range(5):
        async with gateway.client.stream("GET", WATCH, headers=gateway.bearer()) as response:
            assert response.status_code == 200
            async for _ in response.aiter_raw():
                break
        await until(lambda: ticking.ended == ticking.began)

    assert ticking.began == 5


async def test_who_goes_away_before_the_answer_begins_is_not_waited_for(
    start_gateway: StartGateway, services: Services
) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(20)
        return web.Response()

    services["profiles"].answer = answer
    gateway = await start_gateway(upstream_streams=1, breaker_failures=1)
    for _ in range(3):
        with pytest.raises(httpx2.ReadTimeout):
            await gateway.client.get(WATCH, headers=gateway.bearer(), timeout=0.2)
    services["profiles"].answer = None

    assert (await gateway.client.get(WATCH, headers=gateway.bearer())).status_code == 200


async def test_an_upload_that_breaks_off_is_broken_off_at_the_service_too(
    gateway: Gateway, services: Services
) -> None:
    ended = asyncio.Event()

    async def answer(request: web.Request) -> web.StreamResponse:
        try:
            return await count_bytes(request)
        finally:
            ended.set()

    async def half() -> AsyncIterator[bytes]:
        yield bytes(MIB)
        raise ConnectionResetError

    services["profiles"].answer = answer
    with pytest.raises(ConnectionResetError):
        await gateway.client.post("/v1/imports", content=half(), headers=gateway.bearer() | CSV)
    async with asyncio.timeout(3):
        await ended.wait()


async def test_streams_take_no_connection_from_other_requests(
    start_gateway: StartGateway, services: Services
) -> None:
    ticking = Ticking()
    services["profiles"].answer = ticking.answer
    gateway = await start_gateway(upstream_connections=1, upstream_streams=2)
    async with (
        gateway.client.stream("GET", WATCH, headers=gateway.bearer()) as one,
        gateway.client.stream("GET", WATCH, headers=gateway.bearer()) as two,
    ):
        services["profiles"].answer = None
        assert {one.status_code, two.status_code} == {200}
        assert (await gateway.client.get("/v1/customers", headers=gateway.bearer())).status_code == 200


async def test_a_service_that_fails_in_a_stream_breaks_it_off(gateway: Gateway, services: Services) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"a beginning")
        assert request.transport is not None
        request.transport.abort()
        return response

    services["profiles"].answer = answer
    with pytest.raises(httpx2.RemoteProtocolError):
        await gateway.client.get(WATCH, headers=gateway.bearer())
