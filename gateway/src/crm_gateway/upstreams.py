"""The services behind the gateway: each with its connections, its deadline and its circuit breaker."""

import asyncio
import math
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Protocol

from crm_gateway.breaker import Breaker
from crm_gateway.connections import Connection, ConnectionLost, Pool
from crm_gateway.errors import UpstreamTimeout, UpstreamUnavailable
from crm_gateway.settings import Settings


class Upload(Protocol):
    """A request's body that is still coming in."""

    async def pump(self, connection: Connection, deadline: asyncio.Timeout) -> None:
        """Write it as it comes; the service's deadline stands still while the client is waited for."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole response."""

    status: int
    body: bytes


class Upstream:
    """One service."""

    def __init__(self, service: str, base_url: str, settings: Settings) -> None:
        self.service = service
        self.breaker = Breaker(settings.breaker_failures, settings.breaker_cooldown)
        self.timeout = settings.upstream_timeout
        self._pool = Pool(
            base_url, limit=settings.upstream_connections, keep_alive=settings.upstream_keep_alive
        )
        self.authority = self._pool.authority

    @asynccontextmanager
    async def exchange(
        self, head: bytes, *, safe: bool, upload: Upload | None = None
    ) -> AsyncIterator[Connection]:
        """Send a request; once the response's head is there, the connection is yielded to read its body from.

        A `safe` request is repeated once when a kept connection turns out to be dead. Raises
        UpstreamUnavailable, UpstreamTimeout.
        """
        with self._reporting():
            async with asyncio.timeout(self.timeout) as deadline:
                connection = await self._send(head, safe and upload is None, upload, deadline)
        try:
            yield connection
        finally:
            self._pool.release(connection)

    async def get(self, head: bytes, *, until: float) -> Answer:
        """A whole response by a deadline in the loop's time; raises UpstreamUnavailable, UpstreamTimeout."""
        with self._reporting():
            async with asyncio.timeout_at(until) as deadline:
                connection = await self._send(head, True, None, deadline)
                try:
                    return Answer(connection.status, await connection.read_all())
                finally:
                    self._pool.release(connection)

    async def read(self, connection: Connection) -> bytes:
        """More of a response's body, empty at its end; raises UpstreamUnavailable, UpstreamTimeout."""
        try:
            if connection.complete:
                return await connection.read()
            async with asyncio.timeout(self.timeout):
                return await connection.read()
        except (TimeoutError, ConnectionLost) as error:
            self.breaker.failed()
            raise self._problem(error) from error

    def close(self) -> None:
        self._pool.close()

    @contextmanager
    def _reporting(self) -> Iterator[None]:
        """Ask the breaker, tell it how it went, and tell the caller what went wrong."""
        wait = self.breaker.refuses_for()
        if wait:
            raise UpstreamUnavailable(
                f"The service {self.service} keeps failing and is left alone for a moment.",
                service=self.service,
                headers={"retry-after": str(math.ceil(wait))},
            )
        try:
            yield
        except (OSError, ConnectionLost) as error:
            self.breaker.failed()
            raise self._problem(error) from error
        except BaseException:
            self.breaker.abandoned()
            raise
        self.breaker.succeeded()

    async def _send(
        self, head: bytes, repeatable: bool, upload: Upload | None, deadline: asyncio.Timeout
    ) -> Connection:
        connection = await self._pool.acquire()
        try:
            connection.begin(head)
            if upload is not None:
                await upload.pump(connection, deadline)
            await connection.answer()
        except ConnectionLost:
            self._pool.release(connection)
            stale = connection.exchanges > 1 and not connection.touched
            if not (stale and repeatable):
                raise
        except BaseException:
            self._pool.release(connection)
            raise
        else:
            return connection
        return await self._send_anew(head)

    async def _send_anew(self, head: bytes) -> Connection:
        connection = await self._pool.acquire(fresh=True)
        try:
            connection.begin(head)
            await connection.answer()
        except BaseException:
            self._pool.release(connection)
            raise
        return connection

    def _problem(self, error: OSError | ConnectionLost) -> UpstreamTimeout | UpstreamUnavailable:
        if isinstance(error, TimeoutError):
            return UpstreamTimeout(
                f"The service {self.service} did not answer in time.", service=self.service
            )
        return UpstreamUnavailable(
            f"The service {self.service} does not answer.",
            service=self.service,
            headers={"retry-after": "1"},
        )


Upstreams = Mapping[str, Upstream]


def create_upstreams(settings: Settings) -> Upstreams:
    return {service: Upstream(service, url, settings) for service, url in settings.upstreams.items()}
