"""The internal port: is it alive, is it ready, what does it measure, which version is it."""

import asyncio
import logging
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from http import HTTPStatus
from time import perf_counter
from types import FrameType
from urllib.parse import urlsplit

import orjson
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from crm_shared import schema
from crm_shared.metrics import Metrics
from crm_shared.settings import ServiceSettings

log = logging.getLogger(__name__)

Check = Callable[[], Awaitable[None]]
"""Returns when all is well and raises when it is not."""

_CHECK_TIMEOUT = 1.0
_REQUEST_TIMEOUT = 5.0
_LAG_INTERVAL = 0.5
_JSON = "application/json"


class NotReady(Exception):
    """What a check raises to say in words what is missing."""


class Health:
    """Answers on the internal port of a process, from the process's own event loop: if that hangs, it hangs.

    `ready` are the checks of /readyz; `alive` is for a process that can be stuck while its loop still turns.
    """

    def __init__(
        self,
        settings: ServiceSettings,
        metrics: Metrics,
        *,
        ready: Mapping[str, Check],
        alive: Mapping[str, Check] | None = None,
    ) -> None:
        self._settings = settings
        self._metrics = metrics
        self._ready = ready
        self._alive = alive or {}
        self._stopping = False

    def stop(self) -> None:
        """Say from now on that no new work is wanted here."""
        self._stopping = True

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """Answer on the internal port, and not be ready any more once SIGTERM has come."""
        server = await asyncio.start_server(
            self._connected, self._settings.internal_host, self._settings.internal_port, limit=16 * 1024
        )
        lag = asyncio.create_task(self._measure_lag())
        try:
            with self._told_of_sigterm():
                yield
        finally:
            lag.cancel()
            server.close()

    async def answer(self, target: str) -> tuple[int, str, bytes]:
        """Status, media type and body for a path."""
        url = urlsplit(target)
        verbose = "verbose" in url.query
        if url.path == "/livez":
            return await self._verdict(self._alive, verbose)
        if url.path == "/readyz":
            if self._stopping:
                return (
                    503,
                    _JSON,
                    orjson.dumps({"status": "not ready", "missing": {"process": "shutting down"}}),
                )
            return await self._verdict(self._ready, verbose)
        if url.path == "/metrics":
            return 200, "text/plain; version=0.0.4; charset=utf-8", self._metrics.render()
        if url.path == "/version":
            return 200, _JSON, orjson.dumps(self._version())
        return 404, _JSON, b'{"status":"there is /livez, /readyz, /metrics and /version"}'

    async def _verdict(self, checks: Mapping[str, Check], verbose: bool) -> tuple[int, str, bytes]:
        results = await asyncio.gather(*(_tried(check) for check in checks.values()))
        outcomes = dict(zip(checks, results, strict=True))
        missing = {name: outcome for name, outcome in outcomes.items() if outcome != "ok"}
        body: dict[str, object] = {"status": "not ready" if missing else "ok"}
        if missing:
            body["missing"] = missing
        if verbose:
            body["checks"] = outcomes
        return (503 if missing else 200), _JSON, orjson.dumps(body)

    def _version(self) -> dict[str, str]:
        return {
            "service": self._settings.service,
            "release": self._settings.release,
            "environment": self._settings.environment,
            "python": sys.version.split()[0],
        }

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request a connection: probes and scrapes need no more."""
        with suppress(OSError, ValueError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            async with asyncio.timeout(_REQUEST_TIMEOUT):
                head = await reader.readuntil(b"\r\n\r\n")
                method, target, _ = head.split(b"\r\n", 1)[0].decode("latin-1").split(" ", 2)
                status, media_type, body = await self.answer(target)
                headers = (
                    f"content-type: {media_type}\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
                )
                writer.write(f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n{headers}".encode())
                writer.write(b"" if method == "HEAD" else body)
                await writer.drain()
        writer.close()

    async def _measure_lag(self) -> None:
        while True:
            before = perf_counter()
            await asyncio.sleep(_LAG_INTERVAL)
            self._metrics.event_loop_lag.set(max(0.0, perf_counter() - before - _LAG_INTERVAL))

    @contextmanager
    def _told_of_sigterm(self) -> Iterator[None]:
        """Hear of SIGTERM before the server does, which keeps its own handler for it."""
        previous = signal.getsignal(signal.SIGTERM)

        def stop(number: int, frame: FrameType | None) -> None:
            self.stop()
            if callable(previous):
                previous(number, frame)

        if not callable(previous):
            yield  # nobody ends this process gracefully: it just ends
            return
        signal.signal(signal.SIGTERM, stop)
        try:
            yield
        finally:
            signal.signal(signal.SIGTERM, previous)


async def _tried(check: Check) -> str:
    result = (await asyncio.gather(asyncio.wait_for(check(), _CHECK_TIMEOUT), return_exceptions=True))[0]
    if result is None:
        return "ok"
    if isinstance(result, NotReady):
        return str(result)
    return (
        f"no answer within {_CHECK_TIMEOUT:g} s"
        if isinstance(result, TimeoutError)
        else type(result).__name__
    )


def database_answers(engine: AsyncEngine) -> Check:
    async def check() -> None:
        async with engine.connect() as connection:
            await connection.execute(text("SELECT 1"))

    return check


def migrations_at_head(engine: AsyncEngine, package: str) -> Check:
    """Whether the schema is the one this code expects; asked until it is, for it does not go back."""
    expected = schema.heads(package)
    reached = False

    async def check() -> None:
        nonlocal reached
        reached = reached or await schema.at_head(engine, expected)
        if not reached:
            raise NotReady(f"the schema is not at {', '.join(sorted(expected))}: run the migrations")

    return check
