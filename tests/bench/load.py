"""The load generator: so many clients on kept connections, each asking again as soon as it has its answer.

A request costs it some twenty microseconds, so that one process is enough for what is measured here; its own
share of a core is part of every result.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import psutil
from tests.bench.measuring import Measure, percentile, processor_seconds

from crm_local.ports import HOST

WARM_UP = 1.0


class Asked(NamedTuple):
    """A request as bytes, and what its answer must contain."""

    request: bytes
    expected: bytes


Ask = Callable[[], Asked]


@dataclass
class Tally:
    """What all clients have seen so far."""

    ask: Ask
    status: bytes
    well: Callable[[bytes], bool]
    latencies: list[float] = field(default_factory=list)
    right: int = 0
    wrong: str = ""
    over: bool = False

    def count(self, began: float, status: bytes, body: bytes, expected: bytes) -> None:
        self.latencies.append(time.perf_counter() - began)
        if status == self.status and expected in body and self.well(body):
            self.right += 1
        else:
            self.wrong = self.wrong or f"answered {status.decode()}: {body[:200].decode(errors='replace')}"


class _Client(asyncio.Protocol):
    """One connection; what it reads of HTTP is the status, the length and the body."""

    def __init__(self, tally: Tally) -> None:
        self.gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._tally = tally
        self._transport: asyncio.Transport
        self._buffer = b""
        self._began = 0.0
        self._expected = b""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport
        self._ask()

    def _ask(self) -> None:
        request, self._expected = self._tally.ask()
        self._buffer = b""
        self._began = time.perf_counter()
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, found, body = self._buffer.partition(b"\r\n\r\n")
        if not found:
            return
        _, _, length = head.lower().partition(b"\r\ncontent-length:")
        if len(body) < int(length.partition(b"\r\n")[0]):
            return
        self._tally.count(self._began, head[9:12], body, self._expected)
        if self._tally.over:
            self._transport.close()
        else:
            self._ask()

    def connection_lost(self, error: Exception | None) -> None:
        if not self._tally.over:
            self._tally.wrong = self._tally.wrong or f"the server hung up: {error!r}"
        if not self.gone.done():
            self.gone.set_result(None)


@dataclass(frozen=True)
class Loaded:
    """What a run came to, and how many requests had their effect, timed or not."""

    measure: Measure
    done: int


async def closed_loop(
    port: int,
    ask: Ask,
    *,
    clients: int,
    seconds: float,
    status: int = 200,
    well: Callable[[bytes], bool] = bool,
    measured: Sequence[psutil.Process],
) -> Loaded:
    """Load a server for so many seconds after a short warm-up; nothing is cut off at the end."""
    loop = asyncio.get_running_loop()
    tally = Tally(ask, str(status).encode(), well)
    connections = [
        (await loop.create_connection(lambda: _Client(tally), HOST, port))[1] for _ in range(clients)
    ]
    await asyncio.sleep(WARM_UP)
    tally.latencies.clear()
    used, own, began = processor_seconds(measured), time.process_time(), time.perf_counter()
    await asyncio.sleep(seconds)
    used, own, elapsed = (
        processor_seconds(measured) - used,
        time.process_time() - own,
        time.perf_counter() - began,
    )
    latencies = list(tally.latencies)
    tally.over = True
    await asyncio.wait([connection.gone for connection in connections], timeout=15)
    if tally.wrong or not latencies:
        return Loaded(Measure.failed(tally.wrong or "nothing was answered"), tally.right)
    p50, p99 = (percentile(latencies, share) or 0.0 for share in (0.50, 0.99))
    measure = Measure(
        rate=len(latencies) / elapsed,
        p50=p50 * 1000,
        p99=p99 * 1000,
        cpu=used * 1000 / len(latencies),
        generator=own / elapsed,
    )
    return Loaded(measure, tally.right)


def get(path: str, token: str, expected: bytes) -> Asked:
    head = f"GET {path} HTTP/1.1\r\nhost: {HOST}\r\nauthorization: Bearer {token}\r\n\r\n"
    return Asked(head.encode(), expected)


def post(path: str, token: str, body: bytes, key: str, expected: bytes) -> Asked:
    head = (
        f"POST {path} HTTP/1.1\r\nhost: {HOST}\r\nauthorization: Bearer {token}\r\nidempotency-key: {key}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return Asked(head.encode() + body, expected)
