"""The whole API on loopback: four services and the gateway before them, on databases of their own."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from importlib import import_module
from itertools import count
from typing import Any

import httpx2
import pytest
import pytest_asyncio
from joserfc.jwk import Key, OKPKey
from tests.api.api import APIS, Api
from tests.api.population.population import populate as make
from tests.api.population.teller import Person, Teller
from tests.gateway.conftest import AUDIENCE, ISSUER, Issuer, running

from crm_gateway import openapi
from crm_gateway.app import create_app
from crm_gateway.settings import Settings
from crm_local.postgres import temporary_postgres
from crm_local.provisioning import SERVICES, Databases, provision
from crm_shared import migrations
from crm_shared.testing import FrozenClock, Signer

Populate = Callable[[str], Awaitable[Person]]


@pytest_asyncio.fixture(scope="session")
async def own_databases() -> AsyncIterator[Mapping[str, Databases]]:
    """Not the other tests' databases: what is sent here is committed, and nobody takes it back."""
    with temporary_postgres(["fsync=off", "full_page_writes=off"]) as server:
        databases = await provision(server.url())
        for name in SERVICES:
            await migrations.upgrade(f"crm_{name}", databases[name].owner_url, app_role=f"{name}_app")
        yield databases


@pytest_asyncio.fixture(scope="session")
async def system(own_databases: Mapping[str, Databases]) -> AsyncIterator[Mapping[str, Api]]:
    """Every service and the gateway as real servers with their lifespans, at a time that stands."""
    clock = FrozenClock()
    keys: dict[str, Key] = {"Ed25519": OKPKey.generate_key("Ed25519", {"kid": "ed"})}
    issuer, signer = Issuer(clock, keys), Signer()

    def settings(name: str) -> dict[str, Any]:
        return {
            "database_url": own_databases[name].app_url,
            "kafka_bootstrap_servers": "127.0.0.1:1",
            "internal_public_key": signer.public_key,
            "cursor_secret": "cursors of the tests, thirty-two bytes and more",
            "suppression_secret": "suppression of the tests, thirty-two bytes and more",
            "unsubscribe_secret": "unsubscribing in the tests, thirty-two bytes and more",
            "internal_port": 0,
            "pool_size": 5,
            "log_level": "ERROR",
        }

    async with AsyncExitStack() as stack:
        apis: dict[str, Api] = {}
        for name in APIS:
            app = import_module(f"crm_{name}.app").create_app(
                import_module(f"crm_{name}.settings").Settings(**settings(name))
            )
            app.state.clock = clock
            url = await stack.enter_async_context(running(app))
            apis[name] = Api(name, url, app.openapi(), signer, issuer, app.state.sessions)
        upstreams = {name: api.url for name, api in apis.items()}
        app = create_app(before(upstreams, settings("gateway"), issuer, signer), clock=clock)
        url = await stack.enter_async_context(running(app))
        apis["gateway"] = Api("gateway", url, openapi.load(), signer, issuer, app.state.sessions)
        yield apis


def before(
    upstreams: Mapping[str, str], common: Mapping[str, Any], issuer: Issuer, signer: Signer
) -> Settings:
    """The settings of a gateway before these services, which refuses nobody for asking much or failing."""
    return Settings(
        **common,
        issuer=ISSUER,
        audience=AUDIENCE,
        issuer_key=json.dumps(issuer.public),
        internal_private_key=json.dumps(signer.key.as_dict(private=True)),
        upstreams=upstreams,
        breaker_failures=10_000,
        rate_limit_requests=1_000_000,
    )


@pytest.fixture(scope="session")
def gateway(system: Mapping[str, Api]) -> Api:
    return system["gateway"]


@pytest_asyncio.fixture(scope="session")
async def http() -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(timeout=20) as client:
        yield client


@pytest.fixture(scope="session")
def populate(system: Mapping[str, Api], http: httpx2.AsyncClient) -> Populate:
    """Makes customers of whom every service knows something: `await populate("ann")`."""
    teller, numbers = Teller(system, http), count(12_345_678)

    async def make_one(name: str) -> Person:
        return await make(teller, name, next(numbers))

    return make_one
