"""What every reply carries, a refusal too: the caller's quota, and leave for the pages that may call."""

from collections.abc import Iterable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from crm_gateway.addresses import Addresses
from crm_gateway.limits import Limits, Verdict

METHODS = b"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"
_ALLOWED = (
    b"authorization, content-type, idempotency-key, if-match, if-none-match, traceparent, x-api-key,"
    b" x-request-id"
)
_EXPOSED = (
    b"ETag, Location, X-Request-Id, RateLimit, RateLimit-Policy, Retry-After, Deprecation, Sunset,"
    b" Idempotency-Replayed"
)
_MAX_AGE = b"7200"
_KEY = "crm.quota"


def preflight() -> list[tuple[bytes, bytes]]:
    """The headers that tell an allowed origin how it may call."""
    return [
        (b"access-control-allow-methods", METHODS),
        (b"access-control-allow-headers", _ALLOWED),
        (b"access-control-max-age", _MAX_AGE),
    ]


def show_quota(scope: Scope, verdict: Verdict) -> None:
    """The verdict whose figures this request's reply carries."""
    scope[_KEY] = verdict


class Replies:
    """Outermost, so that no reply leaves without."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        limits: Limits,
        public_limits: Limits,
        addresses: Addresses,
        origins: Iterable[str],
    ) -> None:
        self._app = app
        self._limits = limits
        self._addresses = addresses
        self._origins = frozenset(origin.encode() for origin in origins)
        self._policies = {one.name: (b"ratelimit-policy", _policy(one)) for one in (limits, public_limits)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope[_KEY] = None

        async def send_with(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *self._headers(scope)]
            await send(message)

        await self._app(scope, receive, send_with)

    def _headers(self, scope: Scope) -> list[tuple[bytes, bytes]]:
        verdict: Verdict = scope[_KEY] or self._limits.take(self._addresses.of(scope), cost=0)
        left = b'"%b";r=%d;t=%d' % (verdict.policy.encode(), verdict.remaining, verdict.seconds)
        headers = [self._policies[verdict.policy], (b"ratelimit", left)]
        if self._origins:
            headers.append((b"vary", b"origin"))
            for name, value in scope["headers"]:
                if name == b"origin" and value in self._origins:
                    headers.append((b"access-control-allow-origin", value))
                    headers.append((b"access-control-expose-headers", _EXPOSED))
        return headers


def _policy(limits: Limits) -> bytes:
    return b'"%b";q=%d;w=%d' % (limits.name.encode(), limits.requests, limits.window)
