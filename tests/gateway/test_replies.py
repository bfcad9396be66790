"""What every reply carries, and what the gateway serves for reading."""

import json
from typing import Any

import pytest

from crm_shared.callers import Role

from .conftest import Gateway, StartGateway

SHOP = "https://shop.example"


@pytest.mark.capability("G6")
async def test_every_reply_shows_the_quota(start_gateway: StartGateway) -> None:
    gateway = await start_gateway(rate_limit_requests=60, rate_limit_window=60, max_body_bytes=10)
    signed = gateway.bearer()
    replies = [
        await gateway.client.get("/v1/customers", headers=signed),
        await gateway.client.get("/v1/customers"),
        await gateway.client.get("/nothing"),
        await gateway.client.delete("/v1/customers", headers=signed),
        await gateway.client.post("/v1/customers", content=b"x" * 20, headers=signed),
        await gateway.client.get("/docs"),
        await gateway.client.options("/v1/customers"),
        await gateway.client.get("/v1/api-keys", headers=signed),
    ]

    assert [reply.status_code for reply in replies] == [200, 401, 404, 405, 413, 200, 204, 403]
    for reply in replies:
        assert reply.headers["ratelimit-policy"] == '"default";q=60;w=60'
        assert reply.headers["ratelimit"].startswith('"default";r=')
        assert len(reply.headers.get_list("ratelimit")) == 1
        assert reply.headers["x-content-type-options"] == "nosniff"


@pytest.mark.capability("G6")
async def test_who_asks_too_much_is_told_when_to_come_back_and_harms_nobody(
    start_gateway: StartGateway,
) -> None:
    gateway = await start_gateway(rate_limit_requests=5, rate_limit_window=600)
    replies = [await gateway.client.get("/v1/customers", headers=gateway.bearer()) for _ in range(7)]

    assert [reply.status_code for reply in replies] == [200] * 5 + [429] * 2
    assert [reply.headers["ratelimit"].split(";")[1] for reply in replies[:5]] == [
        f"r={left}" for left in (4, 3, 2, 1, 0)
    ]
    refused = replies[-1]
    assert refused.json()["code"] == "quota_exceeded"
    assert refused.json()["violated_policies"] == ["default"]
    seconds = int(refused.headers["retry-after"])
    assert 110 <= seconds <= 120
    assert refused.headers["ratelimit"] == f'"default";r=0;t={seconds}'
    other = await gateway.client.get("/v1/customers", headers=gateway.bearer(sub="somebody else, GmbH"))
    assert other.status_code == 200


@pytest.mark.capability("G6")
async def test_guessing_credentials_is_limited_by_address(start_gateway: StartGateway) -> None:
    gateway = await start_gateway(rate_limit_requests=5, rate_limit_window=600)
    statuses = [
        (
            await gateway.client.get("/v1/customers", headers={"authorization": f"Bearer guess-{number}"})
        ).status_code
        for number in range(8)
    ]

    assert statuses == [401] * 5 + [429] * 3


async def test_pages_of_an_allowed_origin_may_call(start_gateway: StartGateway) -> None:
    gateway = await start_gateway(cors_origins=[SHOP])
    preflight = await gateway.client.options(
        "/v1/customers", headers={"origin": SHOP, "access-control-request-method": "POST"}
    )
    assert preflight.status_code == 204
    assert preflight.headers["access-control-allow-origin"] == SHOP
    assert "POST" in preflight.headers["access-control-allow-methods"]
    assert "idempotency-key" in preflight.headers["access-control-allow-headers"]
    assert int(preflight.headers["access-control-max-age"]) <= 7200

    for headers in (gateway.bearer(), {}):
        reply = await gateway.client.get("/v1/customers", headers={"origin": SHOP} | headers)
        assert reply.headers["access-control-allow-origin"] == SHOP
        assert "Idempotency-Replayed" in reply.headers["access-control-expose-headers"]
        assert reply.headers["vary"] == "origin"
        assert "access-control-allow-credentials" not in reply.headers


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", SHOP + ".evil.example", "http://shop.example"]
)
async def test_pages_of_other_origins_may_not(start_gateway: StartGateway, origin: str) -> None:
    gateway = await start_gateway(cors_origins=[SHOP])
    preflight = await gateway.client.options(
        "/v1/customers", headers={"origin": origin, "access-control-request-method": "GET"}
    )
    reply = await gateway.client.get("/v1/customers", headers={"origin": origin} | gateway.bearer())

    assert (preflight.status_code, preflight.json()["code"]) == (403, "origin_not_allowed")
    assert "access-control-allow-origin" not in preflight.headers
    assert "access-control-allow-origin" not in reply.headers


@pytest.mark.capability("G1")
async def test_the_api_description_is_served_from_memory_and_not_sent_twice(gateway: Gateway) -> None:
    reply = await gateway.client.get("/openapi.json")
    document: dict[str, Any] = json.loads(reply.content)

    assert reply.headers["content-encoding"] == "gzip"
    assert document["openapi"] == "3.1.0"
    assert document["paths"]["/v1/customers"]["get"]["x-service"] == "profiles"
    again = await gateway.client.get("/openapi.json", headers={"if-none-match": reply.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    plain = await gateway.client.get("/openapi.json", headers={"accept-encoding": "identity"})
    assert ("content-encoding" in plain.headers, plain.content) == (False, reply.content)


@pytest.mark.capability("G1")
async def test_the_documentation_asks_no_other_host_for_anything(gateway: Gateway) -> None:
    page = await gateway.client.get("/docs")

    assert (await gateway.client.get("/")).text == page.text
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "script-src 'self'" in page.headers["content-security-policy"]
    assert "http://" not in page.text
    assert "https://" not in page.text
    for path in ("start.js", "swagger-ui-bundle.js", "swagger-ui.css", "favicon.png"):
        assert f"/docs/{path}" in page.text or path == "favicon.png"
        assert (await gateway.client.get(f"/docs/{path}")).status_code == 200


async def test_the_gateways_own_operations_behave_like_a_services(gateway: Gateway) -> None:
    admin = gateway.bearer(Role.ADMIN)
    unknown = await gateway.client.get("/v1/api-keys", params={"colour": "red"}, headers=admin)
    assert (unknown.status_code, unknown.json()["errors"][0]["pointer"]) == (422, "colour")

    malformed = await gateway.client.post(
        "/v1/api-keys", content=b"{", headers=admin | {"content-type": "application/json"}
    )
    assert (malformed.status_code, malformed.json()["code"]) == (400, "malformed_json")

    tampered = await gateway.client.get("/v1/api-keys", params={"cursor": "AAAA"}, headers=admin)
    assert (tampered.status_code, tampered.json()["code"]) == (400, "invalid_cursor")

    head = await gateway.client.head("/v1/api-keys", headers=admin)
    assert (head.status_code, head.content) == (200, b"")
