"""A request as it came in: its headers sorted into what the gateway reads and what it hands on, its body."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from starlette.types import Receive, Scope

from crm_gateway.connections import Connection
from crm_gateway.errors import AmbiguousRequest, ClientGone
from crm_shared.callers import CredentialsAmbiguous

_READ = frozenset({b"authorization", b"x-api-key", b"content-length", b"transfer-encoding", b"connection"})
# Of one hop only (RFC 9110, 7.6.1), or written anew for the next one, or what a caller could pretend to be.
_DROPPED = frozenset(
    {
        b"cookie",
        b"expect",
        b"forwarded",
        b"host",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"traceparent",
        b"trailer",
        b"upgrade",
        b"x-real-ip",
        b"x-request-id",
    }
)
_DROPPED_PREFIXES = (b"x-forwarded-", b"x-crm-", b"x-internal-")

_AHEAD = 64 * 1024

Headers = list[tuple[bytes, bytes]]


@dataclass(slots=True)
class Incoming:
    """What the headers of a request say."""

    authorization: bytes | None
    api_key: bytes | None
    content_length: int | None
    chunked: bool
    passed_on: Headers

    @classmethod
    def of(cls, scope: Scope) -> "Incoming":
        """Raises AmbiguousRequest, CredentialsAmbiguous."""
        read: dict[bytes, list[bytes]] = {}
        passed_on: Headers = []
        for header in scope["headers"]:
            name = header[0]
            if name in _READ:
                read.setdefault(name, []).append(header[1])
            elif name not in _DROPPED and not name.startswith(_DROPPED_PREFIXES):
                passed_on.append(header)
        if b"connection" in read:
            one_hop = {token.strip().lower() for value in read[b"connection"] for token in value.split(b",")}
            passed_on = [header for header in passed_on if header[0] not in one_hop]
        credentials = [*read.get(b"authorization", ()), *read.get(b"x-api-key", ())]
        if len(credentials) > 1:
            raise CredentialsAmbiguous
        return cls(
            authorization=credentials[0] if b"authorization" in read else None,
            api_key=credentials[0] if b"x-api-key" in read else None,
            content_length=_length(read),
            chunked=b"transfer-encoding" in read,
            passed_on=passed_on,
        )

    @property
    def signed(self) -> bool:
        return self.authorization is not None or self.api_key is not None

    @property
    def has_body(self) -> bool:
        return self.chunked or bool(self.content_length)


@asynccontextmanager
async def listened_to(receive: Receive) -> AsyncIterator[None]:
    """Ends what is inside with ClientGone as soon as the client hangs up; its body is in by then."""
    loop = asyncio.get_running_loop()

    async def watch(stay: asyncio.Timeout) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        stay.reschedule(loop.time())

    try:
        async with asyncio.timeout(None) as stay:
            watching = asyncio.create_task(watch(stay))
            try:
                yield
            finally:
                watching.cancel()
    except TimeoutError as error:
        if stay.expired():
            raise ClientGone from error
        raise


def header(scope: Scope, name: bytes) -> bytes:
    """A header's value, empty when it was not sent."""
    return next((value for each, value in scope["headers"] if each == name), b"")


def _length(read: dict[bytes, list[bytes]]) -> int | None:
    """The body's length; raises AmbiguousRequest unless all would see the body end at one place."""
    lengths, encodings = read.get(b"content-length", []), read.get(b"transfer-encoding", [])
    if len(lengths) + len(encodings) > 1:
        raise AmbiguousRequest("A body has one length, or it is chunked; not both.")
    if encodings and encodings[0].strip().lower() != b"chunked":
        raise AmbiguousRequest("The only transfer encoding is chunked.")
    if lengths and not lengths[0].isdigit():
        raise AmbiguousRequest("The body's length is not a number.")
    return int(lengths[0]) if lengths else None


class Upload:
    """The body of a request on its way to a service: its start held, the rest only passed on."""

    def __init__(self, receive: Receive, *, chunked: bool, upstream_timeout: float) -> None:
        self._receive = receive
        self._chunked = chunked
        self._upstream_timeout = upstream_timeout
        self._more = True

    async def ahead(self) -> bytes:
        """The whole body if it is short, else its start; raises ClientGone.

        Read before the service is turned to: who sends a little and then nothing must not keep a connection
        to it from others.
        """
        start = bytearray()
        while self._more and len(start) < _AHEAD:
            start += await self._next()
        return self._framed(bytes(start))

    async def pump(self, connection: Connection, deadline: asyncio.Timeout) -> None:
        """Write the rest as it comes, until the service has answered. Raises ClientGone."""
        loop = asyncio.get_running_loop()
        while self._more and not connection.answered and not connection.closed:
            # A client may take its time, within the whole request's deadline: the service is not to blame.
            deadline.reschedule(None)
            chunk = await self._next()
            deadline.reschedule(loop.time() + self._upstream_timeout)
            await connection.write(self._framed(chunk))
        connection.cut_short = self._more

    async def _next(self) -> bytes:
        message = await self._receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        self._more = message.get("more_body", False)
        body: bytes = message.get("body", b"")
        return body

    def _framed(self, chunk: bytes) -> bytes:
        if not self._chunked:
            return chunk
        framed = b"%x\r\n%b\r\n" % (len(chunk), chunk) if chunk else b""
        return framed if self._more else framed + b"0\r\n\r\n"
