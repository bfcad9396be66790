"""What happens to every request, whatever answers it: ids, limits, a deadline, logs, metrics, problems."""

import asyncio
import logging
import re
import sys
from contextlib import suppress
from time import perf_counter

from opentelemetry.trace import SpanKind
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from crm_shared import logs
from crm_shared.callers import Caller, CredentialsAmbiguous, InvalidToken, Verifier
from crm_shared.clock import Clock
from crm_shared.database import in_words
from crm_shared.ids import request_id
from crm_shared.metrics import Metrics
from crm_shared.problems import GatewayTimeout, InternalError, Problem, UnsupportedMediaType
from crm_shared.settings import ServiceSettings
from crm_shared.tracing import Tracer
from crm_shared.web.context import Context
from crm_shared.web.limits import DEADLINE, Limits
from crm_shared.web.problems import problem_of, respond

log = logging.getLogger(__name__)

_DRAINED_SECONDS = 1.0
_DRAINED_BYTES = 64 * 1024 * 1024
_LENGTH_DIGITS = 18
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{8,128}")
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_SECURITY = (
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"referrer-policy", b"no-referrer"),
)


class DeadlineExceeded(GatewayTimeout):
    """The answer took too long; whether there was an effect is not known, so repeat it with the same key."""


class EncodedBody(UnsupportedMediaType):
    """Request bodies are taken as they are, not compressed."""


class RequestMiddleware:
    """Frames each request; everything inside may raise what it likes."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        settings: ServiceSettings,
        metrics: Metrics,
        tracer: Tracer,
        deadline: float = DEADLINE,
    ) -> None:
        self._app = app
        self._max_body_bytes = settings.max_body_bytes
        self._problem_base_url = settings.problem_base_url
        self._metrics = metrics
        self._tracer = tracer
        self._deadline = deadline

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = perf_counter()
        headers: dict[bytes, bytes] = dict(reversed(scope["headers"]))
        limits = Limits(_declared(headers), self._max_body_bytes, self._deadline)
        context = Context(_request_id(headers), self._problem_base_url, limits, headers)
        context.enter(scope)
        traceparent = headers.get(b"traceparent", b"").decode("latin-1")
        exchange = _Exchange(context, receive, send)
        with (
            self._tracer.continued(traceparent, scope["method"], SpanKind.SERVER) as span,
            logs.facts(request_id=context.request_id),
        ):
            try:
                await self._answer(scope, headers, limits, exchange)
            finally:
                duration = perf_counter() - started
                self._report(scope, context, exchange.status, duration)
                if span is not None:
                    span.update_name(f"{scope['method']} {context.route or ''}".rstrip())
                    span.set_attribute("http.response.status_code", exchange.status)
                    span.set_attribute("http.route", context.route or "")

    async def _answer(
        self, scope: Scope, headers: dict[bytes, bytes], limits: Limits, exchange: "_Exchange"
    ) -> None:
        try:
            if headers.get(b"content-encoding", b"identity").lower() != b"identity":
                raise EncodedBody
            async with limits:
                await self._app(scope, exchange.receive, exchange.send)
        except ClientDisconnect:
            log.info("the client went away")  # nobody is left to be answered
        except Exception as error:
            if isinstance(error, TimeoutError) and limits.expired:
                problem: Problem = DeadlineExceeded(f"There was no answer within {limits.deadline:g} s.")
            else:
                problem = problem_of(error)
            if isinstance(problem, InternalError):
                log.error("request failed", exc_info=error)
            elif problem.status >= 500:
                log.warning("request failed", extra={"code": problem.code(), "error": in_words(error)})
            if exchange.started:
                raise  # too late for a problem: the server must break the connection off
            await respond(problem, scope)(scope, exchange.receive, exchange.send)

    def _report(self, scope: Scope, context: Context, status: int, duration: float) -> None:
        method = scope["method"] if scope["method"] in _METHODS else "OTHER"
        route = context.route or "unmatched"
        self._metrics.answered(method, route, status, duration)
        logs.say(
            log,
            "request answered",
            {
                "method": method,
                "route": route,
                "status": status,
                "duration_ms": round(duration * 1000, 2),
                "principal": context.caller.subject if context.caller else None,
            },
        )


class Authentication:
    """Finds out who calls from the gateway's token; whether they may is the route's business."""

    def __init__(self, app: ASGIApp, *, verifier: Verifier) -> None:
        self._app = app
        self._verifier = verifier

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            sent = [value for name, value in scope["headers"] if name == b"authorization"]
            if len(sent) > 1:
                raise CredentialsAmbiguous
            if sent:
                Context.of(scope).caller = self._caller(scope, sent[0].decode("latin-1"))
        await self._app(scope, receive, send)

    def _caller(self, scope: Scope, authorization: str) -> Caller:
        clock: Clock = scope["app"].state.clock
        scheme, _, token = authorization.partition(" ")
        try:
            if scheme.lower() != "bearer":
                raise InvalidToken("Send the token as: Authorization: Bearer <token>.")
            return self._verifier.verify(token.strip(), at=clock.now())
        except InvalidToken as invalid:
            invalid.headers["WWW-Authenticate"] = 'Bearer error="invalid_token"'
            raise


class _Exchange:
    """One request and its response: counts the body that comes in, watches what goes out."""

    def __init__(self, context: Context, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self._limits = context.limits
        self._received = 0
        self._request_id = (b"x-request-id", context.request_id.encode())
        self.status = 499
        """As it was sent; 499, as nginx has it, when the client went away before."""
        self.started = False

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request":
            self._received += len(message.get("body", b""))
            if self._received > self._limits.body:
                raise self._limits.too_large()
        return message

    @property
    def _much_is_left(self) -> bool:
        """Whether more is still to come than one would read only to keep the connection."""
        return (
            self._received > self._limits.body
            or self._limits.declared - self._received > self._limits.usual_body
        )

    async def _drain(self) -> None:
        """Read on for a moment and forget it.

        Who is still sending when the connection closes is told of a broken connection instead of the answer.
        """
        left = _DRAINED_BYTES
        with suppress(TimeoutError):
            async with asyncio.timeout(_DRAINED_SECONDS):
                while left > 0:
                    message = await self._receive()
                    left -= len(message.get("body", b""))
                    if not message.get("more_body", False):
                        return

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.started = True
            self.status = message["status"]
            headers = list(message.get("headers", ()))
            present = {name for name, _ in headers}
            headers.append(self._request_id)
            if self.status >= 400 and self._much_is_left:
                await self._drain()
                if b"connection" not in present:
                    headers.append((b"connection", b"close"))
            headers.extend(header for header in _SECURITY if header[0] not in present)
            message = {**message, "headers": headers}
        await self._send(message)


def _declared(headers: dict[bytes, bytes]) -> int:
    """The body's length as the headers have it."""
    length = headers.get(b"content-length", b"0")
    if len(length) > _LENGTH_DIGITS:
        return sys.maxsize  # int() refuses a number of thousands of digits as a fault of ours
    return int(length) if length.isdigit() else 0


def _request_id(headers: dict[bytes, bytes]) -> str:
    """The caller's own, when it can do no harm in a log."""
    given = headers.get(b"x-request-id", b"").decode("latin-1")
    return given if _REQUEST_ID.fullmatch(given) else request_id()
