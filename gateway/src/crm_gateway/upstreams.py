"""The services behind the gateway: each with its connections, its deadline and its circuit breaker."""

import asyncio
import math
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Protocol

from crm_gateway.breaker import Breaker
from crm_gateway.connections import Connection, ConnectionLost, ConnectionStale, Crowded, Pool
from crm_gateway.errors import UpstreamTimeout, UpstreamUnavailable
from crm_gateway.settings import Settings


class Upload(Protocol):
    """The rest of a request's body, still coming in."""

    async def pump(self, connection: Connection, deadline: asyncio.Timeout) -> None:
        """Write it as it comes; the service's deadline stands still while the client is waited for."""


@dataclass(frozen=True, slots=True)
class Patience:
    """With an operation that may take longer than others."""

    seconds: float
    listened_to: Callable[[], AbstractAsyncContextManager[None]]
    """Ends a wait when the client, for whom one waits, has gone."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole response."""

    status: int
    body: bytes


class Upstream:
    """One service."""

    def __init__(self, service: str, base_url: str, settings: Settings) -> None:
        self.service = service
        self.timeout = settings.upstream_timeout
        self.breaker = Breaker(settings.breaker_failures, settings.breaker_cooldown, self.timeout)
        self._pool = Pool(
            base_url, limit=settings.upstream_connections, keep_alive=settings.upstream_keep_alive
        )
        # What may take minutes takes no turn from what takes milliseconds.
        self._streams = Pool(
            base_url, limit=settings.upstream_streams, keep_alive=settings.upstream_keep_alive
        )
        self.authority = self._pool.authority

    @asynccontextmanager
    async def exchange(
        self, head: bytes, *, safe: bool, upload: Upload | None = None, patience: Patience | None = None
    ) -> AsyncIterator[Connection]:
        """Send a request; once the response's head is there, the connection is yielded to read its body from.

        `head` ends with as much of the body as is there already. A `safe` request is repeated once when a
        kept connection turns out to be dead; one with patience waits longer, and has a queue of its own.
        Raises UpstreamUnavailable, UpstreamTimeout.
        """
        pool = self._pool if patience is None else self._streams
        # What a request with a body takes is up to its body too, a batch of a thousand items or a client that
        # sends slowly: that only reads are late is the service's own doing.
        with self._reporting(late_is_failed=upload is None and patience is None):
            await pool.enter(until=asyncio.get_running_loop().time() + self.timeout)
            async with asyncio.timeout(patience.seconds if patience else self.timeout) as deadline:
                listened_to = patience.listened_to if patience else nullcontext
                repeatable = safe and upload is None
                connection = await self._send(pool, head, repeatable, upload, deadline, listened_to)
        try:
            yield connection
        finally:
            pool.release(connection)

    async def get(self, head: bytes, *, until: float) -> Answer:
        """A whole response by a deadline in the loop's time; raises UpstreamUnavailable, UpstreamTimeout."""
        # Of who has waited for a turn, the service gets only the rest of the time.
        with self._reporting(late_is_failed=not self._pool.crowded):
            await self._pool.enter(until=until)
            async with asyncio.timeout_at(until) as deadline:
                connection = await self._send(self._pool, head, True, None, deadline)
                try:
                    return Answer(connection.status, await connection.read_all())
                finally:
                    self._pool.release(connection)

    async def read(self, connection: Connection, patience: Patience | None = None) -> bytes:
        """More of a response's body, empty at its end; raises UpstreamUnavailable, UpstreamTimeout."""
        try:
            if connection.complete:
                return await connection.read()
            async with asyncio.timeout(patience.seconds if patience else self.timeout):
                return await connection.read()
        except (TimeoutError, ConnectionLost) as error:
            if patience is None or isinstance(error, ConnectionLost):
                self.breaker.failed()
            raise self._problem(error) from error

    def close(self) -> None:
        self._pool.close()
        self._streams.close()

    @contextmanager
    def _reporting(self, *, late_is_failed: bool) -> Iterator[None]:
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
        except Crowded as error:
            self.breaker.abandoned()
            raise UpstreamUnavailable(
                f"All connections to the service {self.service} are busy.",
                service=self.service,
                headers={"retry-after": "1"},
            ) from error
        except (OSError, ConnectionLost) as error:
            if isinstance(error, TimeoutError) and not late_is_failed:
                self.breaker.abandoned()
            else:
                self.breaker.failed()
            raise self._problem(error) from error
        except BaseException:
            self.breaker.abandoned()
            raise
        self.breaker.succeeded()

    async def _send(
        self,
        pool: Pool,
        head: bytes,
        repeatable: bool,
        upload: Upload | None,
        deadline: asyncio.Timeout,
        listened_to: Callable[[], AbstractAsyncContextManager[None]] = nullcontext,
    ) -> Connection:
        """The connection once the response's head is there; who fails has left the pool."""
        try:
            try:
                return await self._attempt(await pool.connection(), head, upload, deadline, listened_to)
            except ConnectionStale:
                if not repeatable:
                    raise
            connection = await pool.connection(fresh=True)
            return await self._attempt(connection, head, upload, deadline, listened_to)
        except BaseException:
            pool.leave()
            raise

    async def _attempt(
        self,
        connection: Connection,
        head: bytes,
        upload: Upload | None,
        deadline: asyncio.Timeout,
        listened_to: Callable[[], AbstractAsyncContextManager[None]],
    ) -> Connection:
        try:
            connection.begin(head)
            if upload is not None:
                await upload.pump(connection, deadline)
            async with listened_to():
                await connection.answer()
        except BaseException:
            connection.close()
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
