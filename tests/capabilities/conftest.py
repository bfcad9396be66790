"""What the platform can do, tried as its users would: through the gateway of a running system."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator
from contextlib import AsyncExitStack
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any
from uuid import UUID

import httpx2
import pytest
import pytest_asyncio
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from crm_local.system import System
from crm_shared.callers import Role
from crm_shared.ids import uuid7

Sign = Callable[..., httpx2.AsyncClient]
Until = Callable[[Callable[[], Awaitable[Any]]], Awaitable[Any]]

LIMITS = {"RATE_LIMIT_REQUESTS": "1000000", "CALLER_CONCURRENCY": "250"}
"""All tests call as the same few callers, and some call two hundred times at once."""


class MailServer:
    """A real SMTP server that keeps what the platform sends."""

    def __init__(self) -> None:
        self._messages: list[EmailMessage] = []

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        content = envelope.content
        assert isinstance(content, bytes)
        self._messages.append(message_from_bytes(content, policy=policy.default))
        return "250 OK"

    def to(self, address: str) -> list[EmailMessage]:
        return [each for each in self._messages if each["To"] == address]


class FreshKey(httpx2.Auth):
    """Gives each request that may need one an idempotency key, unless the test sends its own."""

    def auth_flow(self, request: httpx2.Request) -> Generator[httpx2.Request, httpx2.Response, None]:
        if request.method in ("POST", "PATCH"):
            request.headers.setdefault("Idempotency-Key", str(uuid7()))
        yield request


@pytest.fixture(scope="session")
def mail_controller() -> Iterator[Controller]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    controller = Controller(MailServer(), hostname="127.0.0.1", port=port)
    controller.start()
    yield controller
    controller.stop()


@pytest.fixture
def mail_server(mail_controller: Controller) -> MailServer:
    """To which the running system sends its e-mails."""
    server: MailServer = mail_controller.handler
    return server


@pytest.fixture(scope="session")
def system(tmp_path_factory: pytest.TempPathFactory, mail_controller: Controller) -> Iterator[System]:
    """All processes with nobody on file yet; tests share it, so each makes customers of its own."""
    settings = LIMITS | {"SMTP_URL": f"smtp://127.0.0.1:{mail_controller.port}"}
    with System.throwaway(tmp_path_factory.mktemp("system"), environment=settings).start() as started:
        yield started


@pytest_asyncio.fixture
async def sign_in(system: System) -> AsyncIterator[Sign]:
    """Clients of the gateway by role: `sign_in(Role.AGENT)`, `sign_in(Role.CUSTOMER, customer_id)`."""
    async with AsyncExitStack() as stack:

        def client(role: Role, customer_id: UUID | None = None) -> httpx2.AsyncClient:
            opened = httpx2.AsyncClient(
                base_url=system.address,
                headers={"Authorization": f"Bearer {system.token(role, customer_id)}"},
                auth=FreshKey(),
                timeout=15,
            )
            stack.push_async_callback(opened.aclose)
            return opened

        yield client


@pytest.fixture
def agent(sign_in: Sign) -> httpx2.AsyncClient:
    return sign_in(Role.AGENT)


@pytest.fixture
def manager(sign_in: Sign) -> httpx2.AsyncClient:
    return sign_in(Role.MANAGER)


@pytest.fixture
def admin(sign_in: Sign) -> httpx2.AsyncClient:
    return sign_in(Role.ADMIN)


async def insist(client: httpx2.AsyncClient, path: str, body: Any) -> httpx2.Response:
    """Post it, and again while the service is too busy, as one may whose writes are safe to repeat."""
    deadline = time.monotonic() + 60
    while (answer := await client.post(path, json=body)).status_code == 503:
        assert time.monotonic() < deadline, answer.text
        await asyncio.sleep(0.2)
    return answer


@pytest.fixture
def until() -> Until:
    """Waits for what events bring about: `await until(look)` gives the first true answer of `look`."""

    async def wait(look: Callable[[], Awaitable[Any]]) -> Any:
        deadline = time.monotonic() + 30
        while not (answer := await look()):
            assert time.monotonic() < deadline, "what was waited for did not come about"
            await asyncio.sleep(0.1)
        return answer

    return wait
