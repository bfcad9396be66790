"""A gateway on a real socket, before services that are real servers with nothing behind them."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest
import pytest_asyncio
import uvicorn
from aiohttp import web
from fastapi import FastAPI
from joserfc import jwt
from joserfc.jwk import ECKey, Key, KeySet, OKPKey, RSAKey

from crm_gateway.app import create_app
from crm_gateway.openapi import merge
from crm_gateway.settings import Settings
from crm_local.provisioning import Databases
from crm_shared.callers import Caller, Role, Verifier
from crm_shared.testing import FrozenClock

ISSUER = "https://issuer.example"
AUDIENCE = "crm"
SERVICES = ("profiles", "segmentation", "tickets", "loyalty")

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Issuer:
    """Issues tokens like a company's sign-in, and whatever a forger would."""

    clock: FrozenClock
    keys: dict[str, Key]

    @property
    def public(self) -> dict[str, Any]:
        document: Any = KeySet(list(self.keys.values())).as_dict(private=False)
        return dict(document)

    def claims(self, **changes: object) -> dict[str, Any]:
        """Good ones; a change to None takes a claim away."""
        now = int(self.clock.now().timestamp())
        claims: dict[str, object] = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": "alice",
            "iat": now,
            "exp": now + 3600,
            "roles": ["agent"],
            "scope": "pii:read",
        }
        return {name: value for name, value in (claims | changes).items() if value is not None}

    def token(
        self, alg: str = "Ed25519", *, header: Mapping[str, Any] | None = None, **claims: object
    ) -> str:
        key = self.keys[alg]
        described = {"alg": alg, "typ": "at+jwt", "kid": key.kid, **(header or {})}
        described = {name: value for name, value in described.items() if value is not None}
        return jwt.encode(described, self.claims(**claims), key, algorithms=[alg], default_type=None)


@dataclass
class Seen:
    """One request as a service received it."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes


@dataclass
class Service:
    """A service on loopback that remembers what it was asked."""

    name: str
    url: str = ""
    seen: list[Seen] = field(default_factory=list)
    answer: Answer | None = None

    async def handle(self, request: web.Request) -> web.StreamResponse:
        if self.answer is not None:
            return await self.answer(request)
        body = await request.read()
        self.seen.append(Seen(request.method, request.raw_path, request.headers, body))
        return web.json_response({"service": self.name, "path": request.raw_path})


@asynccontextmanager
async def serving(handle: Answer) -> AsyncIterator[str]:
    """A server for one handler; yields its address."""
    app = web.Application(client_max_size=1 << 30)
    app.router.add_route("*", "/{tail:.*}", handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server = site._server
    assert isinstance(server, asyncio.Server)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def running(app: FastAPI) -> AsyncIterator[str]:
    """The app as a real server on loopback; yields its address."""
    # Named as TCP, or asyncio leaves Nagle's algorithm on: each answer on a kept connection then waits 40 ms.
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.bind(("127.0.0.1", 0))
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            http="httptools",
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=1,
            proxy_headers=False,
        )
    )
    task = asyncio.create_task(server.serve([listening]))
    while not server.started:
        assert not task.done(), "the gateway does not start"
        await asyncio.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        await task
        listening.close()


@pytest.fixture(scope="session")
def issuer_keys() -> dict[str, Key]:
    return {
        "Ed25519": OKPKey.generate_key("Ed25519", {"kid": "ed"}),
        "RS256": RSAKey.generate_key(2048, {"kid": "rsa"}),
        "ES256": ECKey.generate_key("P-256", {"kid": "ec"}),
    }


@pytest.fixture
def issuer(clock: FrozenClock, issuer_keys: dict[str, Key]) -> Issuer:
    return Issuer(clock, issuer_keys)


@asynccontextmanager
async def alive() -> AsyncIterator[dict[str, Service]]:
    """The four services, each on a port of its own."""
    async with AsyncExitStack() as stack:
        made = {name: Service(name) for name in SERVICES}
        for service in made.values():
            service.url = await stack.enter_async_context(serving(service.handle))
        yield made


@pytest_asyncio.fixture
async def services() -> AsyncIterator[dict[str, Service]]:
    async with alive() as made:
        yield made


def operation(
    operation_id: str, *, public: bool = False, body: int | None = None, deadline: float | None = None
) -> dict[str, Any]:
    described: dict[str, Any] = {"operationId": operation_id, "responses": {}}
    if body is not None:
        described["x-max-body-bytes"] = body
    if deadline is not None:
        described["x-deadline"] = deadline
    return described | {"security": [] if public else [{"bearer": []}]}


def documents() -> dict[str, dict[str, Any]]:
    """What the services of these tests offer."""
    summaries = {
        f"/v1/customers/{{customer_id}}/summary/{name}": {"get": operation(f"get_{name}_summary")}
        for name in SERVICES
    }
    paths: dict[str, dict[str, Any]] = {name: {} for name in SERVICES}
    for path, item in summaries.items():
        paths[path.rsplit("/", 1)[1]][path] = item
    paths["profiles"] |= {
        "/v1/customers": {"get": operation("list_customers"), "post": operation("create_customer")},
        "/v1/customers/batch": {"post": operation("create_customers")},
        "/v1/customers/{customer_id}": {
            "get": operation("get_customer"),
            "patch": operation("change_customer"),
        },
        "/v1/imports": {"post": operation("start_import", body=64 * 1024 * 1024, deadline=30)},
        "/v1/imports/{import_id}/progress": {"get": operation("watch_import", deadline=30)},
        "/v1/exports/{export_id}": {"get": operation("get_export", deadline=0.3)},
        "/v1/forms/{form_id}": {
            "get": operation("get_form", public=True),
            "post": operation("send_form", public=True),
            "delete": operation("delete_form"),
        },
    }
    paths["tickets"] |= {"/v1/customers/{customer_id}/tickets": {"get": operation("list_customer_tickets")}}
    keys = {
        "/v1/api-keys": {"get": operation("list_api_keys"), "post": operation("issue_api_key")},
        "/v1/api-keys/{api_key_id}": {
            "get": operation("get_api_key"),
            "delete": operation("revoke_api_key"),
        },
        "/v1/api-keys/{api_key_id}/rotate": {"post": operation("rotate_api_key")},
    }
    return {name: {"paths": item} for name, item in (paths | {"gateway": keys}).items()}


@dataclass
class Gateway:
    """A running gateway, and what it signs with."""

    url: str
    client: httpx2.AsyncClient
    issuer: Issuer
    clock: FrozenClock
    verifier: Verifier

    def bearer(self, *roles: Role, **claims: Any) -> dict[str, str]:
        """Headers of a caller with these roles, by default an agent."""
        names = [role.value for role in roles or (Role.AGENT,)]
        return {"authorization": f"Bearer {self.issuer.token(roles=names, **claims)}"}

    def caller(self, seen: Seen) -> Caller:
        """Whom the service was told that it serves."""
        scheme, _, token = seen.headers["Authorization"].partition(" ")
        assert scheme == "Bearer"
        return self.verifier.verify(token, at=self.clock.now())

    async def raw(self, request: bytes) -> bytes:
        """Everything that comes back for these bytes, until the gateway hangs up or falls silent."""
        host, port = self.url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(request)
        received = b""
        try:
            async with asyncio.timeout(1):
                while data := await reader.read(65536):
                    received += data
        except TimeoutError:
            pass
        writer.close()
        return received


@asynccontextmanager
async def started(
    database_url: str, services: Mapping[str, Service], issuer: Issuer, **changes: Any
) -> AsyncIterator[Gateway]:
    """A gateway before these services, with other settings than usual."""
    private = OKPKey.generate_key("Ed25519", auto_kid=True)
    public = private.as_pem(private=False).decode()
    values: dict[str, Any] = {
        "database_url": database_url,
        "kafka_bootstrap_servers": "127.0.0.1:1",
        "internal_public_key": public,
        "internal_private_key": json.dumps(private.as_dict(private=True)),
        "cursor_secret": "cursors of the tests, thirty-two bytes and more",
        "internal_port": 0,
        "issuer": ISSUER,
        "audience": AUDIENCE,
        "upstreams": {name: service.url for name, service in services.items()},
        "pool_size": 2,
        **changes,
    }
    if "jwks_url" not in values:
        values["issuer_key"] = json.dumps(issuer.public)
    app = create_app(Settings(**values), document=merge(documents()), clock=issuer.clock)
    async with running(app) as url, httpx2.AsyncClient(base_url=url, timeout=20) as client:
        yield Gateway(url, client, issuer, issuer.clock, Verifier(public))


StartGateway = Callable[..., Awaitable[Gateway]]


@pytest_asyncio.fixture
async def start_gateway(
    addresses: Mapping[str, Databases], services: dict[str, Service], issuer: Issuer
) -> AsyncIterator[StartGateway]:
    """Starts gateways with other settings than usual."""
    async with AsyncExitStack() as stack:

        async def start(**changes: Any) -> Gateway:
            made = started(addresses["gateway"].app_url, services, issuer, **changes)
            return await stack.enter_async_context(made)

        yield start


@pytest_asyncio.fixture
async def gateway(start_gateway: StartGateway) -> Gateway:
    return await start_gateway()


Standing = tuple[Gateway, dict[str, Service]]


@pytest_asyncio.fixture(scope="session")
async def lasting(addresses: Mapping[str, Databases], issuer_keys: dict[str, Key]) -> AsyncIterator[Standing]:
    """A gateway and services for all tests that leave nothing behind in them."""
    issuer = Issuer(FrozenClock(), issuer_keys)
    async with (
        alive() as services,
        started(addresses["gateway"].app_url, services, issuer, breaker_failures=10_000) as gateway,
    ):
        yield gateway, services


@pytest.fixture
def standing(lasting: Standing) -> Standing:
    """The lasting gateway, with every service well again and nothing seen."""
    for service in lasting[1].values():
        service.answer = None
        service.seen.clear()
    return lasting


@pytest.fixture
def customer() -> UUID:
    return uuid4()
