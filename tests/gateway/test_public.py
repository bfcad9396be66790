"""What asks for no sign-in: for everybody, counted by the client's address, and nothing beside it open."""

from ipaddress import ip_network

import pytest

from crm_gateway.addresses import Addresses
from crm_gateway.openapi import merge
from crm_gateway.routing import Table

from .conftest import Gateway, Service, StartGateway

Services = dict[str, Service]

FORM = "/v1/forms/1"
SHOP = "https://shop.example"
PROXIES = [ip_network(one) for one in ("10.0.0.0/8", "127.0.0.1/32", "fd00::/8")]


async def test_everybody_may_call_it_and_the_service_is_told_of_nobody(
    gateway: Gateway, services: Services
) -> None:
    answers = [
        await gateway.client.get(FORM),
        await gateway.client.post(FORM, json={"name": "ann"}),
    ]

    assert [answer.status_code for answer in answers] == [200, 200]
    assert [seen.body for seen in services["profiles"].seen] == [b"", b'{"name":"ann"}']
    assert not any("Authorization" in seen.headers for seen in services["profiles"].seen)


async def test_nothing_beside_it_is_open(gateway: Gateway, services: Services) -> None:
    answers = [
        await gateway.client.delete(FORM),
        await gateway.client.get("/v1/customers"),
        await gateway.client.get("/v1/api-keys"),
        await gateway.client.post("/v1/imports", content=b"x"),
    ]

    assert {answer.status_code for answer in answers} == {401}
    assert not services["profiles"].seen


async def test_who_signs_in_there_is_served_as_who_it_is(gateway: Gateway, services: Services) -> None:
    await gateway.client.get(FORM, headers=gateway.bearer())

    assert gateway.caller(services["profiles"].seen[0]).subject == "alice"


@pytest.mark.parametrize(
    "headers", [{"authorization": "Bearer guess"}, {"x-api-key": "crm_live_guess"}, {"authorization": "x"}]
)
async def test_bad_credentials_are_refused_there_too(
    gateway: Gateway, services: Services, headers: dict[str, str]
) -> None:
    answer = await gateway.client.get(FORM, headers=headers)

    assert (answer.status_code, answer.json()["code"]) == (401, "invalid_credentials")
    assert not services["profiles"].seen


async def test_it_has_a_quota_of_its_own_that_harms_no_other_calls(start_gateway: StartGateway) -> None:
    gateway = await start_gateway(public_rate_limit_requests=3, public_rate_limit_window=600)
    answers = [await gateway.client.get(FORM) for _ in range(4)]
    signed = await gateway.client.get(FORM, headers=gateway.bearer())

    assert [answer.status_code for answer in answers] == [200] * 3 + [429]
    assert {answer.headers["ratelimit-policy"] for answer in answers} == {'"public";q=3;w=600'}
    assert [answer.headers["ratelimit"].split(";")[:2] for answer in answers] == [
        ['"public"', f"r={left}"] for left in (2, 1, 0, 0)
    ]
    assert answers[-1].json()["violated_policies"] == ["public"]
    assert 190 <= int(answers[-1].headers["retry-after"]) <= 200
    assert (signed.status_code, signed.headers["ratelimit-policy"]) == (200, '"default";q=6000;w=60')
    assert (await gateway.client.get("/v1/customers")).status_code == 401


async def test_a_forwarded_address_counts_only_from_a_trusted_proxy(start_gateway: StartGateway) -> None:
    limits = {"public_rate_limit_requests": 1, "public_rate_limit_window": 600}
    direct = await start_gateway(**limits)
    proxied = await start_gateway(**limits, trusted_proxies=["127.0.0.1/32"])

    async def ask(gateway: Gateway, *clients: str) -> list[int]:
        return [
            (await gateway.client.get(FORM, headers={"x-forwarded-for": client})).status_code
            for client in clients
        ]

    assert await ask(direct, "198.51.100.1", "198.51.100.2") == [200, 429]
    assert await ask(proxied, "198.51.100.1", "198.51.100.2", "6.6.6.6, 198.51.100.2") == [200, 200, 429]


@pytest.mark.parametrize(
    ("peer", "forwarded", "found"),
    [
        ("198.51.100.7", "203.0.113.9", "198.51.100.7"),
        ("10.1.1.1", "203.0.113.9", "203.0.113.9"),
        ("10.1.1.1", "6.6.6.6, 203.0.113.9", "203.0.113.9"),
        ("10.1.1.1", "6.6.6.6, 203.0.113.9, 10.2.2.2", "203.0.113.9"),
        ("10.1.1.1", "10.3.3.3, 10.2.2.2", "10.3.3.3"),
        ("10.1.1.1", "", "10.1.1.1"),
        ("10.1.1.1", "203.0.113.9, unknown", "10.1.1.1"),
        ("::ffff:10.1.1.1", "203.0.113.9", "203.0.113.9"),
        ("fd00::1", "2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::7", "203.0.113.9", "2001:db8:1:2::/64"),
    ],
)
def test_the_client_is_the_last_hop_that_no_trusted_proxy_is(peer: str, forwarded: str, found: str) -> None:
    scope = {"client": (peer, 1), "headers": [(b"x-forwarded-for", forwarded.encode())]}

    assert Addresses(PROXIES).of(scope) == f"address:{found}"


def test_only_what_says_that_it_is_open_is_open() -> None:
    silent = {"operationId": "get_thing", "responses": {}}
    document = merge({"a": {"paths": {"/v1/a": {"get": silent}}}})

    assert not Table(document).find("GET", "/v1/a").public


async def test_pages_of_an_allowed_origin_may_call_it(start_gateway: StartGateway) -> None:
    gateway = await start_gateway(cors_origins=[SHOP])
    asked = {"origin": SHOP, "access-control-request-method": "POST"}

    assert (await gateway.client.options(FORM, headers=asked)).status_code == 204
    answer = await gateway.client.post(FORM, json={}, headers={"origin": SHOP})
    assert answer.headers["access-control-allow-origin"] == SHOP
