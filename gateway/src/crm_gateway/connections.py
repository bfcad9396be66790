"""HTTP/1.1 to the services over kept connections: bytes in, bytes out, a tenth of a general client's cost."""

import asyncio
import ssl
from collections import deque
from urllib.parse import urlsplit

import httptools

_HIGH_WATER = 256 * 1024


class ConnectionLost(Exception):
    """The service hung up, or spoke something else than HTTP, before its response was complete."""


class ConnectionStale(ConnectionLost):
    """A kept connection had been closed by the service, it seems: not a byte of a response came."""


class Crowded(Exception):
    """All connections to the service stayed busy."""


class Connection(asyncio.Protocol):
    """One connection, used for one exchange after another by one task at a time."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport
        self._parser = httptools.HttpResponseParser(self)
        self._waiter: asyncio.Future[None] | None = None
        self._write_paused = False
        self._read_paused = False
        self._exchanging = False
        self._exchanges = 0
        self.idle_since = 0.0
        self.closed = False
        self._forget()

    def _forget(self) -> None:
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self._chunks: deque[bytes] = deque()
        self._buffered = 0
        self._until_close = True
        self._keep_alive = False
        self.cut_short = False
        """Whether the request was not sent to its end: what followed would be taken for its rest."""
        self._touched = False
        self.answered = False
        self.complete = False

    def begin(self, head: bytes) -> None:
        """Start an exchange with the request's head, and its body if that is short."""
        self._forget()
        self._exchanging = True
        self._exchanges += 1
        self._transport.write(head)

    async def write(self, data: bytes) -> None:
        self._transport.write(data)
        while self._write_paused and not self.closed:
            await self._wait()

    async def answer(self) -> None:
        """Wait for the response's head; raises ConnectionLost, ConnectionStale."""
        while not self.answered:
            if self.closed:
                raise ConnectionLost if self._touched or self._exchanges == 1 else ConnectionStale
            await self._wait()

    async def read(self) -> bytes:
        """What has come of the body, at least a byte of it; empty at its end. Raises ConnectionLost."""
        while not self._chunks:
            if self.complete:
                return b""
            if self.closed:
                raise ConnectionLost
            await self._wait()
        data = self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)
        self._chunks.clear()
        self._buffered = 0
        if self._read_paused and not self.closed:
            self._read_paused = False
            self._transport.resume_reading()
        return data

    async def read_all(self) -> bytes:
        """The rest of the body; raises ConnectionLost."""
        data = await self.read()
        if self.complete and not self._chunks:
            return data
        parts = [data]
        while part := await self.read():
            parts.append(part)
        return b"".join(parts)

    def finish(self) -> bool:
        """End the exchange; whether the connection is good for another one."""
        self._exchanging = False
        if self.complete and not self.closed and not self.cut_short and self._keep_alive:
            self.idle_since = self._loop.time()
            return True
        self.close()
        return False

    def close(self) -> None:
        self.closed = True
        self._transport.abort()

    async def _wait(self) -> None:
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        if not self._exchanging or self.complete:
            self.close()  # nobody asked
            return
        self._touched = True
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self.close()
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        if self.answered and self._until_close and exc is None:
            self.complete = True
        self._wake()

    def pause_writing(self) -> None:
        self._write_paused = True

    def resume_writing(self) -> None:
        self._write_paused = False
        self._wake()

    def on_message_begin(self) -> None:
        if self.complete:
            raise ConnectionLost  # a second answer to one request

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        if name in (b"content-length", b"transfer-encoding"):
            if not self._until_close:
                raise ConnectionLost  # where the body ends could be understood in two ways
            self._until_close = False
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        self.status = self._parser.get_status_code()
        self.answered = self.status >= 200
        self._keep_alive = self._parser.should_keep_alive()

    def on_body(self, body: bytes) -> None:
        self._chunks.append(body)
        self._buffered += len(body)
        if self._buffered > _HIGH_WATER and not self._read_paused:
            self._read_paused = True
            self._transport.pause_reading()

    def on_message_complete(self) -> None:
        if self.answered:
            self.complete = True
        else:
            self.headers, self._until_close = [], True  # a 1xx: the response is still to come


class Pool:
    """The connections to one service, so many at most; who comes when all are busy waits for its turn.

    The turn is taken apart from the connection, for the wait tells nothing about the service.
    """

    def __init__(self, base_url: str, *, limit: int, keep_alive: float) -> None:
        url = urlsplit(base_url)
        self._host = url.hostname or ""
        self._port = url.port or (443 if url.scheme == "https" else 80)
        self._tls = ssl.create_default_context() if url.scheme == "https" else None
        self.authority = url.netloc.encode("ascii")
        self._keep_alive = keep_alive
        self._slots = asyncio.Semaphore(limit)
        self._idle: list[Connection] = []

    @property
    def crowded(self) -> bool:
        """Whether who comes now must wait."""
        return self._slots.locked()

    async def enter(self, *, until: float) -> None:
        """Take a turn, which must be left again; raises Crowded when there is none by then."""
        try:
            async with asyncio.timeout_at(until):
                await self._slots.acquire()
        except TimeoutError as error:
            raise Crowded from error

    def leave(self) -> None:
        self._slots.release()

    async def connection(self, *, fresh: bool = False) -> Connection:
        """A connection for who has a turn; raises OSError when there is nobody to connect to."""
        return (None if fresh else self._reuse()) or await self._connect()

    def release(self, connection: Connection) -> None:
        """Leave, and keep the connection for others if it is good for that."""
        self.leave()
        if connection.finish():
            self._idle.append(connection)

    def close(self) -> None:
        while self._idle:
            self._idle.pop().close()

    def _reuse(self) -> Connection | None:
        oldest = asyncio.get_running_loop().time() - self._keep_alive
        while self._idle:
            connection = self._idle.pop()
            if not connection.closed and connection.idle_since >= oldest:
                return connection
            connection.close()
        return None

    async def _connect(self) -> Connection:
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(Connection, self._host, self._port, ssl=self._tls)
        return connection
