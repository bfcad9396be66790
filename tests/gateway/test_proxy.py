"""Requests find their service, and pass unchanged but for what vouches for the caller."""

import asyncio
import gzip
import tracemalloc
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import httpx2
import pytest
from aiohttp import web

from crm_shared.callers import Caller, Role, Scope

from .conftest import Gateway, Service, StartGateway

Services = dict[str, Service]


def code(response: httpx2.Response) -> Any:
    assert response.headers["content-type"] == "application/problem+json"
    body = response.json()
    assert body["status"] == response.status_code
    assert body["request_id"] == response.headers["x-request-id"]
    assert {"type", "title", "detail", "instance", "code"} <= body.keys()
    return body["code"]


@pytest.mark.capability("G1")
@pytest.mark.parametrize(
    ("method", "path", "service"),
    [
        ("GET", "/v1/customers", "profiles"),
        ("POST", "/v1/customers/batch", "profiles"),
        ("GET", "/v1/customers/a/tickets", "tickets"),
        ("GET", "/v1/customers/batch/tickets", "tickets"),
        ("GET", "/v1/customers/a/summary/loyalty", "loyalty"),
    ],
)
async def test_each_path_goes_to_the_service_that_offers_it(
    gateway: Gateway, services: Services, method: str, path: str, service: str
) -> None:
    response = await gateway.client.request(method, path, headers=gateway.bearer())

    assert response.json() == {"service": service, "path": path}
    assert [name for name, each in services.items() if each.seen] == [service]


@pytest.mark.capability("G1")
async def test_what_no_service_offers_is_refused_without_asking_any(
    gateway: Gateway, services: Services
) -> None:
    unknown = await gateway.client.get("/v1/nothing", headers=gateway.bearer())
    assert (unknown.status_code, code(unknown)) == (404, "route_not_found")

    wrong = await gateway.client.delete("/v1/customers", headers=gateway.bearer())
    assert (wrong.status_code, code(wrong)) == (405, "method_not_allowed")
    assert wrong.headers["allow"] == "GET, HEAD, OPTIONS, POST"

    literal = await gateway.client.get("/v1/customers/batch", headers=gateway.bearer())
    assert (literal.status_code, literal.headers["allow"]) == (405, "OPTIONS, POST")
    assert not any(service.seen for service in services.values())


async def test_path_and_query_pass_byte_for_byte(gateway: Gateway, services: Services) -> None:
    target = b"/v1/customers/%E5%BC%A0%2b%20x;a=1?q=%41%zz&&b=+&c"
    token = gateway.bearer()["authorization"].encode()
    await gateway.raw(b"GET %b HTTP/1.1\r\nhost: x\r\nauthorization: %b\r\n\r\n" % (target, token))

    assert [seen.target for seen in services["profiles"].seen] == [target.decode()]


async def test_the_service_is_told_who_calls_and_nothing_of_the_credentials(
    gateway: Gateway, services: Services
) -> None:
    token = gateway.issuer.token(sub="bob", roles=["manager", "something else"])
    await gateway.client.get(
        "/v1/customers",
        headers={
            "authorization": f"bearer {token}",
            "cookie": "session=1",
            "x-forwarded-for": "10.0.0.1",
            "x-crm-roles": "admin",
            "x-internal-user": "root",
            "forwarded": "for=10.0.0.1",
            "connection": "keep-alive, x-mine",
            "x-mine": "of this hop",
            "te": "trailers",
            "if-none-match": '"4"',
        },
    )

    (seen,) = services["profiles"].seen
    caller = gateway.caller(seen)
    assert caller == Caller("bob", frozenset({Role.MANAGER}), frozenset({Scope.PII_READ}))
    assert token not in str(seen.headers)
    names = {name.lower() for name in seen.headers}
    assert names.isdisjoint(
        {"cookie", "x-forwarded-for", "x-crm-roles", "x-internal-user", "forwarded", "x-mine", "te"}
    )
    assert seen.headers["If-None-Match"] == '"4"'


async def test_one_request_id_and_one_trace_go_all_the_way(gateway: Gateway, services: Services) -> None:
    trace = "0af7651916cd43dd8448eb211c80319c"
    response = await gateway.client.get(
        "/v1/customers",
        headers=gateway.bearer()
        | {"x-request-id": "my-request-1", "traceparent": f"00-{trace}-b7ad6b7169203331-01"},
    )

    (seen,) = services["profiles"].seen
    assert response.headers.get_list("x-request-id") == ["my-request-1"]
    assert seen.headers.getall("X-Request-Id") == ["my-request-1"]  # type: ignore[attr-defined]
    assert seen.headers["traceparent"].split("-")[1] == trace


async def test_an_internal_token_is_signed_once_per_caller_and_reused(
    gateway: Gateway, services: Services
) -> None:
    seen = services["profiles"].seen
    for _ in range(2):
        await gateway.client.get("/v1/customers", headers=gateway.bearer())
    await gateway.client.get("/v1/customers", headers=gateway.bearer(sub="carol"))

    first, second, other = (each.headers["Authorization"] for each in seen)
    assert first == second != other


async def test_bodies_pass_in_both_framings(gateway: Gateway, services: Services) -> None:
    body = b'{"name": "\xe5\xbc\xa0"}' * 1000

    async def pieces() -> Any:
        for start in range(0, len(body), 7000):
            yield body[start : start + 7000]

    headers = gateway.bearer() | {"content-type": "application/json"}
    await gateway.client.post("/v1/customers", content=body, headers=headers)
    await gateway.client.post("/v1/customers", content=pieces(), headers=headers)

    assert [seen.body for seen in services["profiles"].seen] == [body, body]
    assert services["profiles"].seen[0].headers["Content-Length"] == str(len(body))
    assert services["profiles"].seen[1].headers["Transfer-Encoding"] == "chunked"


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_that_is_too_large_is_refused_while_it_comes(
    start_gateway: StartGateway, services: Services, chunked: bool
) -> None:
    gateway = await start_gateway(max_body_bytes=10_000)

    async def pieces() -> Any:
        for _ in range(5):
            yield b"x" * 4_000

    content = pieces() if chunked else b"x" * 20_000
    response = await gateway.client.post("/v1/customers", content=content, headers=gateway.bearer())

    assert (response.status_code, code(response)) == (413, "payload_too_large")
    assert not services["profiles"].seen
    assert (await gateway.client.get("/v1/customers", headers=gateway.bearer())).status_code == 200


async def test_compressed_request_bodies_are_refused(gateway: Gateway, services: Services) -> None:
    response = await gateway.client.post(
        "/v1/customers",
        content=gzip.compress(b"{}"),
        headers=gateway.bearer() | {"content-encoding": "gzip"},
    )

    assert response.status_code == 415
    assert not services["profiles"].seen


@pytest.mark.parametrize("size", [1, 65_535, 65_536, 65_537, 500_000])
@pytest.mark.parametrize("chunked", [False, True])
async def test_bodies_of_every_length_pass_whole(
    gateway: Gateway, services: Services, size: int, chunked: bool
) -> None:
    body = bytes(number % 251 for number in range(size))

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, size, 50_000):
            yield body[start : start + 50_000]

    content = pieces() if chunked else body
    response = await gateway.client.post("/v1/customers", content=content, headers=gateway.bearer())

    assert response.status_code == 200
    assert services["profiles"].seen[0].body == body


async def test_large_answers_stream_through_in_flat_memory(gateway: Gateway, services: Services) -> None:
    piece, count = b"0123456789abcdef" * 4096, 1600  # 100 MiB

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "text/csv"})
        await response.prepare(request)
        for _ in range(count):
            await response.write(piece)
        return response

    services["profiles"].answer = answer
    size = 0
    tracemalloc.start()
    async with gateway.client.stream("GET", "/v1/customers", headers=gateway.bearer()) as response:
        async for part in response.aiter_raw():
            size += len(part)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert size == len(piece) * count
    assert peak < 16 * 1024 * 1024


async def test_answers_pass_unchanged(gateway: Gateway, services: Services) -> None:
    packed = gzip.compress(b'{"a": 1}')

    async def answer(request: web.Request) -> web.StreamResponse:
        return web.Response(
            status=201,
            body=packed,
            headers={
                "content-type": "application/json",
                "content-encoding": "gzip",
                "etag": '"7"',
                "location": "/v1/customers/7",
                "keep-alive": "timeout=5",
            },
        )

    services["profiles"].answer = answer
    async with gateway.client.stream(
        "POST", "/v1/customers", headers=gateway.bearer(), content=b"{}"
    ) as response:
        body = b"".join([part async for part in response.aiter_raw()])

    assert (response.status_code, body) == (201, packed)
    assert (response.headers["etag"], response.headers["location"]) == ('"7"', "/v1/customers/7")
    assert "keep-alive" not in response.headers


async def test_redirects_of_a_service_are_the_callers_business(gateway: Gateway, services: Services) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        return web.Response(status=307, headers={"location": "http://elsewhere.example/"})

    services["profiles"].answer = answer
    response = await gateway.client.get("/v1/customers", headers=gateway.bearer())

    assert (response.status_code, response.headers["location"]) == (307, "http://elsewhere.example/")


async def test_head_is_get_without_the_body(gateway: Gateway, services: Services, customer: UUID) -> None:
    response = await gateway.client.head(f"/v1/customers/{customer}", headers=gateway.bearer())

    assert (response.status_code, response.content) == (200, b"")
    assert int(response.headers["content-length"]) > 0
    assert services["profiles"].seen[0].method == "GET"
    page = await gateway.client.head("/docs")
    assert (page.status_code, page.content) == (200, b"")


async def test_options_says_what_a_path_offers(gateway: Gateway) -> None:
    response = await gateway.client.options("/v1/customers")

    assert (response.status_code, response.headers["allow"]) == (204, "GET, HEAD, OPTIONS, POST")


async def test_what_asks_for_no_sign_in_is_passed_on_without_a_caller(
    gateway: Gateway, services: Services
) -> None:
    response = await gateway.client.get("/v1/forms/1")

    assert response.status_code == 200
    assert "Authorization" not in services["profiles"].seen[0].headers


@pytest.mark.parametrize(
    "head",
    [
        b"content-length: 3\r\ncontent-length: 30\r\n",
        b"content-length: 3\r\ntransfer-encoding: chunked\r\n",
        b"transfer-encoding: chunked\r\ntransfer-encoding: identity\r\n",
        b"transfer-encoding: gzip, chunked\r\n",
        b"content-length: +3\r\n",
        b"x-bad: a\x00b\r\n",
        b"x-bad : spaced\r\n",
    ],
)
async def test_a_request_that_could_be_read_in_two_ways_reaches_no_service(
    gateway: Gateway, services: Services, head: bytes
) -> None:
    token = gateway.bearer()["authorization"].encode()
    received = await gateway.raw(
        b"POST /v1/customers HTTP/1.1\r\nhost: x\r\nauthorization: %b\r\n%b\r\nabc" % (token, head)
    )

    assert received.startswith(b"HTTP/1.1 400 ")
    assert not services["profiles"].seen


async def test_two_authors_are_none(gateway: Gateway, services: Services) -> None:
    for header in ("x-api-key", "authorization"):
        credentials = [("authorization", gateway.bearer()["authorization"]), (header, "Bearer other")]
        response = await gateway.client.get("/v1/customers", headers=httpx2.Headers(credentials))

        assert (response.status_code, code(response)) == (400, "credentials_ambiguous")
    assert not services["profiles"].seen


async def test_many_callers_at_once_get_their_own_answers(gateway: Gateway) -> None:
    async def ask(number: int) -> bool:
        headers = gateway.bearer(sub=f"caller {number}")
        response = await gateway.client.get(f"/v1/customers/{number}", headers=headers)
        return bool(response.json()["path"] == f"/v1/customers/{number}")

    assert all(await asyncio.gather(*(ask(number) for number in range(200))))
