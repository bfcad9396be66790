"""What all tests share: one PostgreSQL with every service's database, one client per service."""

import asyncio
from collections.abc import AsyncIterator, Callable, Generator, Iterator, Mapping
from contextlib import AsyncExitStack
from functools import cache
from importlib import import_module
from pathlib import Path
from uuid import UUID

import httpx2
import pytest
import pytest_asyncio
from fastapi import FastAPI
from hypothesis import HealthCheck, settings
from sqlalchemy.ext.asyncio import AsyncEngine
from tests.chance import TIMES
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from crm_local.postgres import temporary_postgres
from crm_local.provisioning import SERVICES, Databases, provision
from crm_shared import migrations
from crm_shared.callers import STAFF, Role, Scope
from crm_shared.database import Sessions, create_engine, create_sessions
from crm_shared.settings import ServiceSettings
from crm_shared.testing import FrozenClock, Signer, reading, rolled_back, truncate
from crm_shared.web.session import provide

TOGETHER = {"api", "capabilities", "local", "messaging"}
"""Folders whose tests share something that is dear to start or busy by itself: one process has all of it."""
APART = {"test_schemathesis.py"}
"""Files of such folders that another process may as well have: they are long enough to start it anew."""
# How fast the machine is decides no test, and by day nor does chance: a change is judged by the same
# examples as the one before, and the night looks for new ones. A fixture that all examples share is meant to
# be shared.
settings.register_profile(
    "crm",
    deadline=None,
    derandomize=TIMES == 1,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.load_profile("crm")

APIS = ("profiles", "segmentation", "tickets", "loyalty")

ClientFactory = Callable[..., httpx2.AsyncClient]


class Sharing(LoadScopeScheduling):
    """Tests go one by one to whichever process is free, but what belongs together goes to one."""

    def _split_scope(self, nodeid: str) -> str:
        # Not by marks of groups: since pytest 9.2 they no longer reach the process that shares the tests out.
        path = Path(nodeid.partition("::")[0])
        folder = path.parts[1]
        if folder not in TOGETHER:
            return nodeid
        return path.name if path.name in APART else folder


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Sharing:
    return Sharing(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Say how long each test may take."""
    within = float(config.getini("timeout")) * TIMES
    for item in items:
        if item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(within))


class InternalToken(httpx2.Auth):
    """Signs each request anew, as the gateway would at the instant of the test's clock."""

    def __init__(
        self, signer: Signer, clock: FrozenClock, roles: tuple[Role, ...], customer_id: UUID | None, pii: bool
    ) -> None:
        self._signer, self._clock, self._roles, self._customer_id = signer, clock, roles, customer_id
        self._scopes = (Scope.PII_READ,) if pii else ()

    def auth_flow(self, request: httpx2.Request) -> Generator[httpx2.Request, httpx2.Response, None]:
        token = self._signer.token(
            self._roles, at=self._clock.now(), customer_id=self._customer_id, scopes=self._scopes
        )
        request.headers.setdefault("Authorization", f"Bearer {token}")
        yield request


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """The administrator's address of a PostgreSQL that is thrown away, so it need not be durable."""
    with temporary_postgres(["fsync=off", "full_page_writes=off"]) as server:
        yield server.url()


@pytest_asyncio.fixture(scope="session")
async def addresses(postgres_url: str) -> Mapping[str, Databases]:
    """Each service's migrated database: the owner's address and the serving role's."""
    databases = await provision(postgres_url)

    async def migrate(name: str) -> None:
        await migrations.upgrade(f"crm_{name}", databases[name].owner_url, app_role=f"{name}_app")

    for name in SERVICES:
        await migrate(name)
    return databases


@pytest.fixture(scope="session")
def signer() -> Signer:
    return Signer()


@pytest.fixture
def clock() -> FrozenClock:
    return FrozenClock()


def settings_of(name: str, address: Databases, signer: Signer) -> ServiceSettings:
    """The service's settings for an app under test: its own database as the serving role, no broker."""
    settings_class = import_module(f"crm_{name}.settings").Settings
    settings: ServiceSettings = settings_class(
        database_url=address.app_url,
        kafka_bootstrap_servers="127.0.0.1:1",
        internal_public_key=signer.public_key,
        cursor_secret="cursors of the tests, thirty-two bytes and more",
        suppression_secret="suppression of the tests, thirty-two bytes and more",
        unsubscribe_secret="unsubscribing in the tests, thirty-two bytes and more",
        pool_size=20,
        statement_timeout=60.0,  # how fast the machine is decides no test
    )
    return settings


@pytest_asyncio.fixture(scope="session")
async def engines(
    addresses: Mapping[str, Databases], signer: Signer
) -> AsyncIterator[dict[str, AsyncEngine]]:
    """Each service's pool, as the role that serves."""
    made = {name: create_engine(settings_of(name, addresses[name], signer)) for name in APIS}
    yield made
    await asyncio.gather(*(engine.dispose() for engine in made.values()))


@pytest.fixture(scope="session")
def apps(addresses: Mapping[str, Databases], signer: Signer) -> Callable[[str], FastAPI]:
    """Each service's app, made once and without its lifespan: tests hand it sessions and a clock."""

    @cache
    def app(name: str) -> FastAPI:
        made: FastAPI = import_module(f"crm_{name}.app").create_app(
            settings_of(name, addresses[name], signer)
        )
        return made

    return app


@pytest_asyncio.fixture
async def databases(engines: dict[str, AsyncEngine]) -> AsyncIterator[dict[str, Sessions]]:
    """Sessions of each service; what a test commits is gone after it."""
    async with AsyncExitStack() as stack:
        yield {name: await stack.enter_async_context(rolled_back(engine)) for name, engine in engines.items()}


@pytest_asyncio.fixture
async def committed(
    engines: dict[str, AsyncEngine], addresses: Mapping[str, Databases], signer: Signer
) -> AsyncIterator[dict[str, Sessions]]:
    """Sessions of each service that commit for real, for races; every table is emptied afterwards."""
    yield {name: create_sessions(engine) for name, engine in engines.items()}
    for name in APIS:
        owner = create_engine(
            settings_of(name, Databases(addresses[name].owner_url, addresses[name].owner_url), signer)
        )
        await truncate(owner)
        await owner.dispose()


@pytest.fixture
def stored(request: pytest.FixtureRequest) -> dict[str, Sessions]:
    """The sessions a test works with: `committed` if it asks for that, else `databases`."""
    # Not async itself: pytest cannot set up another async fixture from within one.
    found: dict[str, Sessions] = request.getfixturevalue(
        "committed" if "committed" in request.fixturenames else "databases"
    )
    return found


@pytest_asyncio.fixture
async def client(
    apps: Callable[[str], FastAPI], signer: Signer, clock: FrozenClock, stored: dict[str, Sessions]
) -> AsyncIterator[ClientFactory]:
    """Makes clients: `client("tickets")` calls as staff, `client("tickets", Role.PARTNER)` as a partner.

    A test that asks for `committed` talks to really committing sessions, every other one to `databases`.
    """
    async with AsyncExitStack() as stack:

        def make(
            service: str, *roles: Role, customer_id: UUID | None = None, pii: bool = True
        ) -> httpx2.AsyncClient:
            app = apps(service)
            app.state.clock = clock
            provide(app, stored[service], reading(stored[service]))
            opened = httpx2.AsyncClient(
                transport=httpx2.ASGITransport(app, raise_app_exceptions=False),
                base_url=f"http://{service}",
                auth=InternalToken(signer, clock, roles or STAFF, customer_id, pii),
            )
            stack.push_async_callback(opened.aclose)
            return opened

        yield make


@pytest.fixture
def profiles(client: ClientFactory) -> httpx2.AsyncClient:
    return client("profiles")


@pytest.fixture
def segmentation(client: ClientFactory) -> httpx2.AsyncClient:
    return client("segmentation")


@pytest.fixture
def tickets(client: ClientFactory) -> httpx2.AsyncClient:
    return client("tickets")


@pytest.fixture
def loyalty(client: ClientFactory) -> httpx2.AsyncClient:
    return client("loyalty")
