"""API keys: shown once, kept as digests, rotated without a gap, revoked within half a minute."""

import logging
from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from crm_local.provisioning import Databases
from crm_shared.callers import Caller, Role, Scope

from .conftest import Gateway, Service, StartGateway

pytestmark = pytest.mark.capability("G6")


@pytest.fixture
def owner() -> str:
    return f"acme-{uuid4().hex[:8]}"


async def issue(gateway: Gateway, owner: str, **changes: Any) -> dict[str, Any]:
    body = {"owner": owner, "name": "web shop", "scopes": ["pii:read"], **changes}
    response = await gateway.client.post("/v1/api-keys", json=body, headers=gateway.bearer(Role.ADMIN))
    assert response.status_code == 201, response.text
    issued: dict[str, Any] = response.json()
    assert response.headers["location"] == f"/v1/api-keys/{issued['id']}"
    return issued


async def status(gateway: Gateway, key: str) -> int:
    return (await gateway.client.get("/v1/customers", headers={"x-api-key": key})).status_code


async def test_a_key_signs_its_owner_in_by_either_header(
    gateway: Gateway, services: dict[str, Service], owner: str
) -> None:
    issued = await issue(gateway, owner)
    for headers in ({"x-api-key": issued["key"]}, {"authorization": f"Bearer {issued['key']}"}):
        assert (await gateway.client.get("/v1/customers", headers=headers)).status_code == 200

    for seen in services["profiles"].seen:
        caller = gateway.caller(seen)
        partner = Caller(f"partner:{owner}", frozenset({Role.PARTNER}), frozenset({Scope.PII_READ}))
        assert caller == partner
        assert issued["key"] not in str(seen.headers)


@pytest.mark.parametrize("role", [role for role in Role if role is not Role.ADMIN])
async def test_only_administrators_manage_keys(gateway: Gateway, role: Role, owner: str) -> None:
    headers = gateway.bearer(role, customer_id=str(uuid4()))
    for method, path in (
        ("GET", "/v1/api-keys"),
        ("POST", "/v1/api-keys"),
        ("GET", f"/v1/api-keys/{uuid4()}"),
        ("POST", f"/v1/api-keys/{uuid4()}/rotate"),
        ("DELETE", f"/v1/api-keys/{uuid4()}"),
    ):
        response = await gateway.client.request(method, path, headers=headers)
        assert (response.status_code, response.json()["code"]) == (403, "role_missing")


async def test_the_secret_is_shown_once_and_stored_nowhere(
    gateway: Gateway, addresses: Mapping[str, Databases], owner: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    headers = gateway.bearer(Role.ADMIN) | {"idempotency-key": owner}
    body = {"owner": owner, "name": "web shop"}
    issued = (await gateway.client.post("/v1/api-keys", json=body, headers=headers)).json()
    secret = issued["key"].rsplit("_", 1)[1] if issued["key"].count("_") == 3 else issued["key"][42:]
    await status(gateway, issued["key"])

    again = await gateway.client.get(f"/v1/api-keys/{issued['id']}", headers=gateway.bearer(Role.ADMIN))
    assert again.json() == {name: value for name, value in issued.items() if name != "key"} | {
        "last_used_at": again.json()["last_used_at"]
    }
    connection = await asyncpg.connect(addresses["gateway"].owner_url)
    tables = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    for table in tables:
        rows = await connection.fetch(f"SELECT t::text FROM {table['tablename']} t")
        assert not any(secret in row[0] for row in rows)
    await connection.close()
    assert secret not in caplog.text


async def test_a_repeated_request_issues_no_second_key(gateway: Gateway, owner: str) -> None:
    headers = gateway.bearer(Role.ADMIN) | {"idempotency-key": f"first key of {owner}"}
    body = {"owner": owner, "name": "web shop"}
    first = await gateway.client.post("/v1/api-keys", json=body, headers=headers)
    second = await gateway.client.post("/v1/api-keys", json=body, headers=headers)

    assert (second.status_code, second.json()["code"]) == (409, "api_key_already_issued")
    assert second.json()["api_key_id"] == first.json()["id"]
    listed = await gateway.client.get(
        "/v1/api-keys", params={"owner": owner}, headers=gateway.bearer(Role.ADMIN)
    )
    assert [key["id"] for key in listed.json()["items"]] == [first.json()["id"]]


async def test_while_a_key_is_rotated_both_are_good_and_are_one_caller(
    gateway: Gateway, services: dict[str, Service], owner: str
) -> None:
    old = await issue(gateway, owner)
    rotated = await gateway.client.post(
        f"/v1/api-keys/{old['id']}/rotate", json={"grace_seconds": 3600}, headers=gateway.bearer(Role.ADMIN)
    )
    new = rotated.json()
    assert (await status(gateway, old["key"]), await status(gateway, new["key"])) == (200, 200)
    assert len({gateway.caller(seen).subject for seen in services["profiles"].seen}) == 1

    gateway.clock.advance(timedelta(seconds=3601))
    assert (await status(gateway, old["key"]), await status(gateway, new["key"])) == (401, 200)


async def test_a_revoked_key_is_refused_by_every_gateway_half_a_minute_later(
    start_gateway: StartGateway, owner: str
) -> None:
    here, there = await start_gateway(), await start_gateway()
    issued = await issue(here, owner)
    assert (await status(here, issued["key"]), await status(there, issued["key"])) == (200, 200)

    revoked = await here.client.delete(f"/v1/api-keys/{issued['id']}", headers=here.bearer(Role.ADMIN))
    assert revoked.json()["revoked_at"] is not None
    here.clock.advance(timedelta(seconds=30))

    assert (await status(here, issued["key"]), await status(there, issued["key"])) == (401, 401)
    again = await here.client.delete(f"/v1/api-keys/{issued['id']}", headers=here.bearer(Role.ADMIN))
    assert again.json()["revoked_at"] == revoked.json()["revoked_at"]
    refused = await here.client.post(
        f"/v1/api-keys/{issued['id']}/rotate", json={}, headers=here.bearer(Role.ADMIN)
    )
    assert (refused.status_code, refused.json()["code"]) == (409, "api_key_revoked")


async def test_a_key_expires_to_the_second(gateway: Gateway, owner: str) -> None:
    expires = gateway.clock.now() + timedelta(seconds=10)
    issued = await issue(gateway, owner, expires_at=expires.isoformat())
    assert await status(gateway, issued["key"]) == 200

    gateway.clock.advance(timedelta(seconds=10))
    assert await status(gateway, issued["key"]) == 401


async def test_the_last_use_is_known_to_half_a_minute(gateway: Gateway, owner: str) -> None:
    issued = await issue(gateway, owner)
    used_at = gateway.clock.now()
    await status(gateway, issued["key"])
    gateway.clock.advance(timedelta(seconds=5))
    await status(gateway, issued["key"])

    key = await gateway.client.get(f"/v1/api-keys/{issued['id']}", headers=gateway.bearer(Role.ADMIN))
    assert key.json()["last_used_at"] == used_at.isoformat().replace("+00:00", "Z")


@pytest.mark.parametrize(
    "spoil",
    [
        lambda key: key[:-1] + ("A" if key[-1] != "A" else "B"),
        lambda key: key + "A",
        lambda key: key[:-1],
        lambda key: f"crm_live_{UUID(int=0).hex}_{key[42:]}",
        lambda key: key.replace("crm_live", "crm_test"),
        lambda key: "crm_live_",
        lambda key: "x",
    ],
)
async def test_a_key_that_is_nearly_right_is_wrong(gateway: Gateway, owner: str, spoil: Any) -> None:
    issued = await issue(gateway, owner)

    for headers in (
        {"x-api-key": spoil(issued["key"])},
        {"authorization": f"Bearer {spoil(issued['key'])}"},
    ):
        response = await gateway.client.get("/v1/customers", headers=headers)
        assert (response.status_code, response.json()["code"]) == (401, "invalid_credentials")


@pytest.mark.parametrize(
    "change",
    [
        {"roles": ["customer"]},
        {"roles": []},
        {"roles": ["king"]},
        {"owner": "Acme Shop"},
        {"name": ""},
        {"scopes": ["everything"]},
        {"digest": "x"},
        {"expires_at": "2026-03-02T10:00:00"},
        {"expires_at": "1999-01-01T00:00:00Z"},
    ],
)
async def test_a_key_that_makes_no_sense_is_not_issued(
    gateway: Gateway, owner: str, change: dict[str, Any]
) -> None:
    response = await gateway.client.post(
        "/v1/api-keys",
        json={"owner": owner, "name": "web shop"} | change,
        headers=gateway.bearer(Role.ADMIN),
    )

    assert response.status_code == 422


async def test_an_unknown_key_is_not_found(gateway: Gateway) -> None:
    response = await gateway.client.get(f"/v1/api-keys/{uuid4()}", headers=gateway.bearer(Role.ADMIN))

    assert (response.status_code, response.json()["code"]) == (404, "api_key_not_found")
