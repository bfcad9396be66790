"""A service that is slow, gone or broken harms nobody else, and is found again when it is well."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from uuid import uuid4

import httpx2
import pytest
import pytest_asyncio
from aiohttp import web

from .conftest import Answer, Gateway, Service, StartGateway, serving

Services = dict[str, Service]


async def get(gateway: Gateway, path: str = "/v1/customers") -> httpx2.Response:
    return await gateway.client.get(path, headers=gateway.bearer())


def unused_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
        return port


class Scripted:
    """A service of bytes: for each connection, what it says to each request; then it hangs up."""

    def __init__(self, *connections: list[bytes]) -> None:
        self.script = list(connections)
        self.connections = 0

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answers = self.script[min(self.connections, len(self.script) - 1)]
        self.connections += 1
        for answer in answers:
            with suppress(asyncio.IncompleteReadError):
                await reader.readuntil(b"\r\n\r\n")
                writer.write(answer)
                await writer.drain()
        writer.close()


StartScripted = Callable[[Scripted], Awaitable[Gateway]]


@pytest_asyncio.fixture
async def scripted(start_gateway: StartGateway) -> AsyncIterator[StartScripted]:
    """Starts a gateway whose profiles service is scripted."""
    servers: list[asyncio.Server] = []

    async def start(service: Scripted) -> Gateway:
        server = await asyncio.start_server(service.talk, "127.0.0.1", 0)
        servers.append(server)
        port = server.sockets[0].getsockname()[1]
        return await start_gateway(upstreams={"profiles": f"http://127.0.0.1:{port}"})

    yield start
    for server in servers:
        server.close()


@asynccontextmanager
async def stalled(gateway: Gateway, *sent: bytes) -> AsyncIterator[None]:
    """One caller's requests, each with so much of its body, of which the last bytes never come."""
    host, port = gateway.url.removeprefix("http://").split(":")
    token = gateway.bearer()["authorization"].encode()
    head = b"POST /v1/customers HTTP/1.1\r\nhost: x\r\nauthorization: %b\r\ncontent-length: %d\r\n\r\n%b"
    writers: list[asyncio.StreamWriter] = []
    try:
        for start in sent:
            _, writer = await asyncio.open_connection(host, int(port))
            writers.append(writer)
            writer.write(head % (token, len(start) + 100, start))
            await writer.drain()
        await asyncio.sleep(0.1)
        yield
    finally:
        for writer in writers:
            writer.close()


def ok(body: bytes, *headers: bytes) -> bytes:
    return b"\r\n".join([b"HTTP/1.1 200 OK", *headers, b"content-length: %d" % len(body), b"", body])


async def test_a_service_that_is_not_there_is_named(start_gateway: StartGateway) -> None:
    gateway = await start_gateway(upstreams={"profiles": f"http://127.0.0.1:{unused_port()}"})
    response = await get(gateway)

    assert (response.status_code, response.json()["code"]) == (503, "upstream_unavailable")
    assert response.json()["service"] == "profiles"
    assert response.headers["retry-after"] == "1"


async def test_a_service_that_does_not_answer_in_time_is_not_waited_for(
    start_gateway: StartGateway, services: Services
) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(5)
        return web.Response()

    services["profiles"].answer = answer
    gateway = await start_gateway(upstream_timeout=0.3)
    started = time.monotonic()
    response = await get(gateway)

    assert (response.status_code, response.json()["code"]) == (504, "upstream_timeout")
    assert time.monotonic() - started < 2


async def test_a_client_that_sends_slowly_is_not_held_against_the_service(
    start_gateway: StartGateway, services: Services
) -> None:
    gateway = await start_gateway(upstream_timeout=0.3, breaker_failures=1)

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(4):
            await asyncio.sleep(0.2)
            yield b"x"

    response = await gateway.client.post("/v1/customers", content=pieces(), headers=gateway.bearer())

    assert response.status_code == 200
    assert services["profiles"].seen[0].body == b"xxxx"


async def test_clients_that_stall_in_their_body_keep_no_connection_from_others(
    start_gateway: StartGateway, services: Services
) -> None:
    gateway = await start_gateway(upstream_connections=2, upstream_timeout=0.3, breaker_failures=1)
    async with stalled(gateway, *[b"x"] * 10):
        responses = [await get(gateway) for _ in range(5)]
        late = await gateway.client.post("/v1/customers", json={}, headers=gateway.bearer())

    assert [response.status_code for response in (*responses, late)] == [200] * 6
    assert len(services["profiles"].seen) == 6


async def test_one_caller_takes_only_so_many_connections(start_gateway: StartGateway) -> None:
    gateway = await start_gateway(caller_concurrency=2, upstream_connections=3)
    async with stalled(gateway, *[b"x" * 80_000] * 2):
        refused = await get(gateway)
        other = await gateway.client.get("/v1/customers", headers=gateway.bearer(sub="bob"))
    await asyncio.sleep(0.05)

    assert (refused.status_code, refused.json()["code"]) == (429, "concurrency_exceeded")
    assert refused.headers["retry-after"] == "1"
    assert other.status_code == 200
    assert [(await get(gateway)).status_code for _ in range(4)] == [200] * 4


async def test_waiting_for_a_turn_is_not_held_against_the_service(start_gateway: StartGateway) -> None:
    gateway = await start_gateway(upstream_connections=1, upstream_timeout=0.2, breaker_failures=1)
    async with stalled(gateway, b"x" * 80_000):
        busy = [await get(gateway) for _ in range(2)]
        glance = await get(gateway, f"/v1/customers/{uuid4()}/360")
    await asyncio.sleep(0.05)

    assert [(response.status_code, response.headers["retry-after"]) for response in busy] == [(503, "1")] * 2
    assert all("busy" in response.json()["detail"] for response in busy)
    assert "busy" in glance.json()["sections"]["profile"]["problem"]["detail"]
    assert (await get(gateway)).status_code == 200


async def test_a_late_answer_to_a_body_opens_no_circuit_and_to_a_read_it_does(
    start_gateway: StartGateway, services: Services
) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(1)
        return web.Response()

    services["profiles"].answer = answer
    gateway = await start_gateway(upstream_timeout=0.1, breaker_failures=2)
    batches = [
        await gateway.client.post("/v1/customers/batch", json={}, headers=gateway.bearer()) for _ in range(4)
    ]
    reads = [await get(gateway) for _ in range(3)]

    assert [response.status_code for response in batches] == [504] * 4
    assert [response.status_code for response in reads] == [504, 504, 503]


async def test_the_circuit_of_a_failing_service_opens_and_closes_again(
    start_gateway: StartGateway, services: Services
) -> None:
    port = unused_port()
    upstreams = {name: service.url for name, service in services.items()}
    gateway = await start_gateway(
        upstreams=upstreams | {"profiles": f"http://127.0.0.1:{port}"},
        breaker_failures=3,
        breaker_cooldown=0.5,
    )
    details = [(await get(gateway)).json()["detail"] for _ in range(4)]
    assert ["left alone" in detail for detail in details] == [False, False, False, True]
    opened = await get(gateway)
    assert (opened.status_code, opened.headers["retry-after"]) == (503, "1")
    assert (await get(gateway, "/v1/customers/1/tickets")).status_code == 200

    runner = web.AppRunner(web.Application())
    runner.app.router.add_route("*", "/{tail:.*}", services["profiles"].handle)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    await asyncio.sleep(0.6)
    assert [(await get(gateway)).status_code for _ in range(5)] == [200] * 5
    await runner.cleanup()


async def test_while_the_circuit_is_tried_only_one_request_tries(
    start_gateway: StartGateway, services: Services
) -> None:
    tried = 0

    async def answer(request: web.Request) -> web.StreamResponse:
        nonlocal tried
        tried += 1
        await asyncio.sleep(0.5)
        return web.Response()

    services["profiles"].answer = answer
    gateway = await start_gateway(upstream_timeout=0.2, breaker_failures=2, breaker_cooldown=0.3)
    for _ in range(2):
        await get(gateway)
    await asyncio.sleep(0.35)
    statuses = [response.status_code for response in await asyncio.gather(*(get(gateway) for _ in range(8)))]

    assert tried == 3
    assert sorted(statuses) == [503] * 7 + [504]


async def test_a_kept_connection_that_went_stale_is_replaced_without_anybody_noticing(
    scripted: StartScripted,
) -> None:
    service = Scripted([ok(b"1")], [ok(b"2")])
    gateway = await scripted(service)

    assert (await get(gateway)).text == "1"
    assert (await get(gateway)).text == "2"


async def test_connections_are_kept_and_used_again(scripted: StartScripted) -> None:
    chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\n3\r\n0\r\n\r\n"
    service = Scripted([ok(b"1"), b"HTTP/1.1 204 No Content\r\n\r\n", chunked, ok(b"4")])
    gateway = await scripted(service)

    assert [(await get(gateway)).text for _ in range(4)] == ["1", "", "3", "4"]
    assert service.connections == 1


async def test_a_get_is_repeated_once_when_its_kept_connection_breaks(scripted: StartScripted) -> None:
    service = Scripted([ok(b"1"), b""], [ok(b"2")])
    gateway = await scripted(service)

    assert [(await get(gateway)).text for _ in range(2)] == ["1", "2"]
    assert service.connections == 2


async def test_a_post_is_never_repeated(scripted: StartScripted) -> None:
    service = Scripted([ok(b"1"), b""], [ok(b"2")])
    gateway = await scripted(service)

    assert (await get(gateway)).text == "1"
    response = await gateway.client.post("/v1/customers", json={}, headers=gateway.bearer())
    assert (response.status_code, response.json()["code"]) == (503, "upstream_unavailable")
    assert service.connections == 1


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-le",
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
    ],
)
async def test_an_answer_that_is_not_http_is_no_answer(scripted: StartScripted, answer: bytes) -> None:
    gateway = await scripted(Scripted([answer]))
    response = await get(gateway)

    assert (response.status_code, response.json()["code"]) == (503, "upstream_unavailable")


@pytest.mark.parametrize(
    ("answer", "body"),
    [
        (
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n",
            b"abcde",
        ),
        (b"HTTP/1.1 200 OK\r\n\r\nuntil the end", b"until the end"),
        (b"HTTP/1.0 200 OK\r\ncontent-length: 3\r\n\r\nabc", b"abc"),
        (b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n" + ok(b"abc"), b"abc"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
        (b"HTTP/1.1 304 Not Modified\r\netag: x\r\n\r\n", b""),
        (ok(b"abc", b"connection: close"), b"abc"),
    ],
)
async def test_every_framing_of_an_answer_is_understood(
    scripted: StartScripted, answer: bytes, body: bytes
) -> None:
    gateway = await scripted(Scripted([answer]))

    for _ in range(2):
        assert (await get(gateway)).content == body


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n",
    ],
)
async def test_an_answer_that_breaks_off_never_looks_whole(scripted: StartScripted, answer: bytes) -> None:
    gateway = await scripted(Scripted([answer]))

    with pytest.raises(httpx2.RemoteProtocolError):
        await get(gateway)
    with pytest.raises(httpx2.RemoteProtocolError):
        await get(gateway)


async def test_bytes_that_nobody_asked_for_are_never_taken_for_an_answer(scripted: StartScripted) -> None:
    service = Scripted([ok(b"1") + ok(b"of somebody else")], [ok(b"2")])
    gateway = await scripted(service)

    assert [(await get(gateway)).text for _ in range(2)] == ["1", "2"]


async def test_a_service_that_answers_before_it_has_read_the_body_is_heard(
    start_gateway: StartGateway, services: Services
) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        return web.json_response({"code": "no"}, status=403)

    services["profiles"].answer = answer
    gateway = await start_gateway()

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(10):
            yield b"x" * 60_000
            await asyncio.sleep(0.01)

    response = await gateway.client.post("/v1/customers", content=pieces(), headers=gateway.bearer())
    assert response.status_code == 403
    services["profiles"].answer = None
    assert (await get(gateway)).json()["service"] == "profiles"


async def test_no_more_connections_are_made_than_allowed(start_gateway: StartGateway) -> None:
    open_now, most = 0, 0

    async def answer(request: web.Request) -> web.StreamResponse:
        nonlocal open_now, most
        open_now += 1
        most = max(most, open_now)
        await asyncio.sleep(0.01)
        open_now -= 1
        return web.Response()

    handler: Answer = answer
    async with serving(handler) as url:
        gateway = await start_gateway(
            upstreams={"profiles": url}, upstream_connections=4, caller_concurrency=60
        )
        statuses = {
            response.status_code for response in await asyncio.gather(*(get(gateway) for _ in range(60)))
        }

    assert (statuses, most) == ({200}, 4)


async def test_clients_that_hang_up_leave_nothing_behind(
    start_gateway: StartGateway, services: Services
) -> None:
    gateway = await start_gateway(upstream_connections=2, upstream_timeout=1)
    token = gateway.bearer()["authorization"].encode()
    host, port = gateway.url.removeprefix("http://").split(":")
    for _ in range(10):
        _, writer = await asyncio.open_connection(host, int(port))
        writer.write(
            b"POST /v1/customers HTTP/1.1\r\nhost: x\r\nauthorization: %b\r\ncontent-length: 99\r\n\r\nabc"
            % token
        )
        await writer.drain()
        await asyncio.sleep(0.01)
        writer.close()

    assert (await get(gateway)).status_code == 200
