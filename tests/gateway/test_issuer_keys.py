"""The issuer's keys are fetched seldom, followed when they change, done without while it is down."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import httpx2
import pytest_asyncio
from aiohttp import web
from joserfc.jwk import OctKey, OKPKey

from .conftest import Gateway, Issuer, StartGateway, serving


@dataclass
class Published:
    """The issuer's JWKS address."""

    document: dict[str, Any]
    url: str = ""
    asked: int = 0
    status: int = 200
    location: str | None = None
    delay: float = 0
    also: list[dict[str, Any]] = field(default_factory=list)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.asked += 1
        await asyncio.sleep(self.delay)
        headers = {"location": self.location} if self.location else {}
        return web.json_response(
            {"keys": [*self.document["keys"], *self.also]}, status=self.status, headers=headers
        )


@pytest_asyncio.fixture
async def published(issuer: Issuer) -> AsyncIterator[Published]:
    keys = Published(issuer.public)
    async with serving(keys.handle) as url:
        keys.url = f"{url}/keys"
        yield keys


@pytest_asyncio.fixture
async def gateway(start_gateway: StartGateway, published: Published) -> Gateway:
    return await start_gateway(jwks_url=published.url)


async def ask(gateway: Gateway, **claims: object) -> httpx2.Response:
    return await gateway.client.get("/v1/customers", headers=gateway.bearer(**claims))


async def test_many_callers_at_once_cause_one_fetch(gateway: Gateway, published: Published) -> None:
    published.delay = 0.2
    responses = await asyncio.gather(*(ask(gateway, sub=f"caller-{number}") for number in range(20)))

    assert {response.status_code for response in responses} == {200}
    assert published.asked == 1


async def test_keys_are_fetched_again_after_ten_minutes(gateway: Gateway, published: Published) -> None:
    await ask(gateway)
    gateway.clock.advance(timedelta(minutes=9))
    await ask(gateway)
    assert published.asked == 1

    gateway.clock.advance(timedelta(minutes=2))
    await ask(gateway)
    assert published.asked == 2


async def test_a_new_key_of_the_issuer_is_found_at_once(
    gateway: Gateway, published: Published, issuer: Issuer
) -> None:
    await ask(gateway)
    gateway.clock.advance(timedelta(seconds=31))
    new = OKPKey.generate_key("Ed25519", {"kid": "new"})
    published.also.append(new.as_dict(private=False))
    issuer.keys = issuer.keys | {"Ed25519": new}

    assert (await ask(gateway)).status_code == 200
    assert published.asked == 2


async def test_made_up_key_ids_do_not_flood_the_issuer(gateway: Gateway, published: Published) -> None:
    await ask(gateway)
    for number in range(20):
        token = gateway.issuer.token(header={"kid": f"made-up-{number}"})
        response = await gateway.client.get("/v1/customers", headers={"authorization": f"Bearer {token}"})
        assert response.status_code == 401
        gateway.clock.advance(timedelta(seconds=2))

    assert published.asked == 2


async def test_an_issuer_that_is_down_keeps_nobody_out_for_a_day(
    gateway: Gateway, published: Published
) -> None:
    await ask(gateway)
    published.status = 500
    gateway.clock.advance(timedelta(hours=23))
    assert (await ask(gateway)).status_code == 200

    gateway.clock.advance(timedelta(hours=2))
    refused = await ask(gateway)
    assert (refused.status_code, refused.json()["code"]) == (503, "sign_in_unavailable")
    assert refused.headers["retry-after"] == "30"

    published.status = 200
    gateway.clock.advance(timedelta(seconds=31))
    assert (await ask(gateway)).status_code == 200


async def test_a_redirect_is_not_followed_to_other_keys(gateway: Gateway, published: Published) -> None:
    published.status, published.location = 302, published.url + "/elsewhere"

    assert (await ask(gateway)).status_code == 503
    assert published.asked == 1


async def test_secrets_and_keys_for_encryption_are_no_keys_for_signatures(
    gateway: Gateway, published: Published, issuer: Issuer
) -> None:
    secret = OctKey.generate_key(256, {"kid": "secret"})
    other = OKPKey.generate_key("Ed25519", {"kid": "other", "use": "enc"})
    published.also += [secret.as_dict(), other.as_dict(private=False)]

    for key_id in ("secret", "other"):
        token = issuer.token(header={"kid": key_id})
        response = await gateway.client.get("/v1/customers", headers={"authorization": f"Bearer {token}"})
        assert response.status_code == 401
    assert (await ask(gateway)).status_code == 200


async def test_a_key_set_that_is_too_large_is_not_read(gateway: Gateway, published: Published) -> None:
    published.also.append({"kty": "OKP", "padding": "x" * 300_000})

    assert (await ask(gateway)).status_code == 503
