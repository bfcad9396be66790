"""A customer at a glance: whatever is there, and what is not says so."""

import asyncio
import json
import time
from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest
from aiohttp import web

from crm_shared.callers import Role

from .conftest import SERVICES, Answer, Gateway, Service, Standing, StartGateway

pytestmark = pytest.mark.capability("G2")

Services = dict[str, Service]
SECTION = {"profiles": "profile", "segmentation": "segments", "tickets": "tickets", "loyalty": "loyalty"}


@pytest.fixture
def gateway(standing: Standing) -> Gateway:
    return standing[0]


@pytest.fixture
def services(standing: Standing) -> Services:
    return standing[1]


async def dead(request: web.Request) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def slow(request: web.Request) -> web.StreamResponse:
    await asyncio.sleep(3)
    return web.Response()


async def failing(request: web.Request) -> web.StreamResponse:
    return web.Response(status=500, text="Traceback: secret")


async def dripping(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    for _ in range(30):
        await response.write(b" ")
        await asyncio.sleep(0.1)
    return response


async def breaking_off(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"content-length": "100"})
    await response.prepare(request)
    await response.write(b'{"half":')
    assert request.transport is not None
    request.transport.abort()
    return response


async def empty(request: web.Request) -> web.StreamResponse:
    return web.Response(body=b"")


def refusing(status: int) -> Answer:
    async def answer(request: web.Request) -> web.StreamResponse:
        body = {"type": "x", "title": "No", "status": status, "detail": "No.", "code": "no"}
        return web.json_response(body, status=status, content_type="application/problem+json")

    return answer


async def ask(gateway: Gateway, customer: UUID, *roles: Role) -> httpx2.Response:
    return await gateway.client.get(f"/v1/customers/{customer}/360", headers=gateway.bearer(*roles))


async def test_every_section_is_the_services_own_bytes(
    gateway: Gateway, services: Services, customer: UUID
) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        return web.Response(body='{ "name" :"张",  "n": 1.50}'.encode(), content_type="application/json")

    services["profiles"].answer = answer
    response = await ask(gateway, customer)

    assert (response.status_code, response.headers["content-type"]) == (200, "application/json")
    assert '"profile":{"status":"ok","data":{ "name" :"张",  "n": 1.50}}' in response.text
    body = response.json()
    assert body["customer_id"] == str(customer)
    assert list(body["sections"]) == ["profile", "segments", "tickets", "loyalty"]
    for name in ("segmentation", "tickets", "loyalty"):
        assert body["sections"][SECTION[name]] == {
            "status": "ok",
            "data": {"service": name, "path": f"/v1/customers/{customer}/summary/{name}"},
        }
        (seen,) = services[name].seen
        assert gateway.caller(seen).subject == "alice"


@pytest.mark.parametrize("fault", [dead, slow, failing, dripping, breaking_off, empty, refusing(503)])
@pytest.mark.parametrize("missing", SERVICES)
async def test_with_any_one_service_gone_the_others_still_come_in_time(
    gateway: Gateway, services: Services, customer: UUID, missing: str, fault: Answer
) -> None:
    services[missing].answer = fault
    started = time.monotonic()
    response = await ask(gateway, customer)

    assert response.status_code == 200
    assert time.monotonic() - started < 2.5
    sections = response.json()["sections"]
    assert [section for section in sections if sections[section]["status"] != "ok"] == [SECTION[missing]]
    problem = sections[SECTION[missing]]["problem"]
    assert problem["service"] == missing
    assert problem["code"] in ("upstream_unavailable", "upstream_timeout")
    assert problem["request_id"] == response.headers["x-request-id"]
    assert "secret" not in response.text


async def test_with_all_services_gone_nothing_is_left_to_show(
    gateway: Gateway, services: Services, customer: UUID
) -> None:
    for service in services.values():
        service.answer = dead
    response = await ask(gateway, customer)

    assert (response.status_code, response.json()["code"]) == (503, "everything_unavailable")
    assert response.headers["retry-after"] == "1"


@pytest.mark.parametrize("status", [403, 404])
async def test_what_profiles_refuses_is_refused_as_a_whole(
    gateway: Gateway, services: Services, customer: UUID, status: int
) -> None:
    services["profiles"].answer = refusing(status)
    response = await ask(gateway, customer)

    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["code"] == "no"


async def test_a_section_that_is_not_for_the_caller_says_so(
    gateway: Gateway, services: Services, customer: UUID
) -> None:
    services["loyalty"].answer = refusing(403)
    response = await ask(gateway, customer)

    loyalty = response.json()["sections"]["loyalty"]
    assert (response.status_code, loyalty["status"], loyalty["problem"]["status"]) == (
        200,
        "unavailable",
        403,
    )


async def test_a_service_that_is_not_deployed_is_a_missing_part(
    start_gateway: StartGateway, services: Services, customer: UUID
) -> None:
    upstreams = {name: services[name].url for name in SERVICES if name != "loyalty"}
    gateway = await start_gateway(upstreams=upstreams)

    sections = (await ask(gateway, customer)).json()["sections"]
    assert sections["loyalty"]["problem"]["code"] == "upstream_unavailable"
    assert sections["profile"]["status"] == "ok"


async def test_a_customer_id_that_is_none_is_a_fault_of_the_request(
    gateway: Gateway, services: Services
) -> None:
    response = await gateway.client.get("/v1/customers/42/360", headers=gateway.bearer())

    assert (response.status_code, response.json()["errors"][0]["pointer"]) == (422, "customer_id")
    assert not any(service.seen for service in services.values())


async def test_it_wants_a_sign_in(gateway: Gateway, customer: UUID) -> None:
    assert (await gateway.client.get(f"/v1/customers/{customer}/360")).status_code == 401


async def test_a_slow_service_is_not_waited_for_again_and_again(
    start_gateway: StartGateway, services: Services
) -> None:
    gateway = await start_gateway(summary_timeout=0.2, breaker_failures=3, breaker_cooldown=30)
    services["loyalty"].answer = slow
    for _ in range(3):
        await ask(gateway, uuid4())

    started = time.monotonic()
    response = await ask(gateway, uuid4())
    assert time.monotonic() - started < 0.15
    problem: dict[str, Any] = response.json()["sections"]["loyalty"]["problem"]
    assert "left alone" in problem["detail"]
    json.dumps(problem)
