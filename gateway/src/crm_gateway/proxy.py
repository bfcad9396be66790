"""Handing a request to the service that owns it, and the response back: as bytes, passed on as they come."""

import logging
import re
from contextlib import nullcontext
from functools import partial

from starlette.types import Receive, Scope, Send

from crm_gateway.connections import Connection
from crm_gateway.errors import AmbiguousRequest, ClientGone, UpstreamTimeout, UpstreamUnavailable
from crm_gateway.incoming import Incoming, Upload, listened_to
from crm_gateway.upstreams import Patience, Upstream
from crm_shared import tracing
from crm_shared.web.context import Context

log = logging.getLogger(__name__)

_TARGET = re.compile(rb"[!-~]+")
# Of one hop only, or said by the gateway itself.
_DROPPED = frozenset(
    {
        b"connection",
        b"date",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-connection",
        b"ratelimit",
        b"ratelimit-policy",
        b"server",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
        b"x-request-id",
    }
)


def request_line(method: str, target: bytes, upstream: Upstream) -> bytes:
    return b"%b %b HTTP/1.1\r\nhost: %b\r\n" % (method.encode(), target, upstream.authority)


def own_headers(scope: Scope, authorization: bytes) -> bytes:
    """What the gateway itself says to a service: who calls, and which request and trace this belongs to."""
    headers = b"x-request-id: %b\r\n" % Context.of(scope).request_id.encode()
    if authorization:
        headers += b"authorization: %b\r\n" % authorization
    traceparent = tracing.current()
    if traceparent is not None:
        headers += b"traceparent: %b\r\n" % traceparent.encode()
    return headers


async def forward(
    scope: Scope,
    receive: Receive,
    send: Send,
    *,
    upstream: Upstream,
    incoming: Incoming,
    authorization: bytes,
    deadline: float | None,
) -> None:
    """Hand it on, and the answer back; `deadline` is the operation's own, in seconds.

    Raises ClientGone, UpstreamUnavailable, UpstreamTimeout, and what `receive` raises.
    """
    method: str = scope["method"]
    query: bytes = scope["query_string"]
    path: bytes = scope["raw_path"]
    target = b"%b?%b" % (path, query) if query else path
    if not _TARGET.fullmatch(target):
        raise AmbiguousRequest("The path or the query holds characters that have no place there.")
    # A service need not know HEAD: it is asked as by GET, and our server leaves the body out.
    asked = "GET" if method == "HEAD" else method
    head = bytearray(request_line(asked, target, upstream))
    head += own_headers(scope, authorization)
    for name, value in incoming.passed_on:
        head += b"%b: %b\r\n" % (name, value)
    if incoming.chunked:
        head += b"transfer-encoding: chunked\r\n"
    elif incoming.content_length is not None:
        head += b"content-length: %d\r\n" % incoming.content_length
    head += b"\r\n"
    patience = Patience(deadline, partial(listened_to, receive)) if deadline is not None else None
    upload = None
    if incoming.has_body:
        upload = Upload(receive, chunked=incoming.chunked, upstream_timeout=deadline or upstream.timeout)
        head += await upload.ahead()
    async with upstream.exchange(
        bytes(head), safe=asked == "GET", upload=upload, patience=patience
    ) as connection:
        await _pass_back(connection, upstream, receive, send, patience)


async def _pass_back(
    connection: Connection, upstream: Upstream, receive: Receive, send: Send, patience: Patience | None
) -> None:
    headers = [header for header in connection.headers if header[0] not in _DROPPED]
    await send({"type": "http.response.start", "status": connection.status, "headers": headers})
    try:
        # What is there as a whole, as most answers are, costs no look at the client; while some of a request
        # is still to come, it would be taken for the client's farewell.
        whole = connection.complete or connection.cut_short
        async with nullcontext() if whole else listened_to(receive):
            more = True
            while more:
                chunk = await upstream.read(connection, patience)
                more = not connection.complete
                await send({"type": "http.response.body", "body": chunk, "more_body": more})
    except ClientGone:
        log.info("the client went away")
    except (UpstreamTimeout, UpstreamUnavailable) as problem:
        # The status is on its way: what is left is to stop before the end, so that the server hangs up.
        log.warning("a response broke off", extra={"upstream": upstream.service, "reason": problem.code()})
