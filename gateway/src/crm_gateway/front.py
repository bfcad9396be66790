"""The way of a request through the gateway: counted, routed, signed in, and handed to who answers it."""

from starlette.types import ASGIApp, Receive, Scope, Send

from crm_gateway import composition, proxy, routing
from crm_gateway.addresses import Addresses
from crm_gateway.errors import ConcurrencyExceeded, OriginNotAllowed, QuotaExceeded, UpstreamUnavailable
from crm_gateway.incoming import Incoming, header
from crm_gateway.limits import InFlight, Limits
from crm_gateway.pages import Page
from crm_gateway.replies import preflight, show_quota
from crm_gateway.routing import Operation, Table
from crm_gateway.settings import Settings
from crm_gateway.sign_in import Principal, SignIn, credential
from crm_gateway.upstreams import Upstreams
from crm_shared.clock import Clock
from crm_shared.web.context import Context

_UPSTREAM_FIRST = 1.0
"""So much sooner a service's own deadline comes, so that it is the service that says so."""
_JSON = (b"content-type", b"application/json")
_PROBLEM = (b"content-type", b"application/problem+json")


class Front:
    """Answers what is the gateway's alone, forwards what is a service's, leaves the rest to `app`."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        settings: Settings,
        table: Table,
        upstreams: Upstreams,
        limits: Limits,
        public_limits: Limits,
        addresses: Addresses,
        pages: dict[str, Page],
        clock: Clock,
    ) -> None:
        self._app = app
        self._settings = settings
        self._table = table
        self._upstreams = upstreams
        self._limits = limits
        self._public_limits = public_limits
        self._addresses = addresses
        self._in_flight = InFlight(settings.caller_concurrency)
        self._pages = pages
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        sign_in: SignIn = scope["app"].state.sign_in
        incoming = Incoming.of(scope)
        principal = self._known(sign_in, incoming)
        self._count(scope, principal, self._limits)
        if scope["method"] == "OPTIONS":
            await self._options(scope, send)
            return
        if scope["path"] in self._pages and scope["method"] in ("GET", "HEAD"):
            Context.of(scope).route = scope["path"]
            await self._pages[scope["path"]].answer(scope, send)
            return
        operation = self._table.find(scope["method"], scope["path"])
        context = Context.of(scope)
        context.route = operation.path
        context.limits.settle(
            operation.max_body_bytes, operation.deadline and operation.deadline + _UPSTREAM_FIRST
        )
        if operation.public and not incoming.signed:
            self._count(scope, None, self._public_limits)
        elif principal is None:
            principal = await sign_in.check(credential(incoming), at=self._clock.now())
            self._count(scope, principal, self._limits)
        who = self._who(scope, principal)
        if not self._in_flight.enter(who):
            raise ConcurrencyExceeded(
                f"{self._in_flight.limit} requests at once are allowed.", headers={"retry-after": "1"}
            )
        try:
            await self._answer(operation, principal, incoming, scope, receive, send)
        finally:
            self._in_flight.leave(who)

    def _known(self, sign_in: SignIn, incoming: Incoming) -> Principal | None:
        """Who it is, if that was found out not long ago: what is not known is counted by its address."""
        return sign_in.known(credential(incoming), at=self._clock.now()) if incoming.signed else None

    def _who(self, scope: Scope, principal: Principal | None) -> str:
        """Whose limits count."""
        return principal.caller.subject if principal else self._addresses.of(scope)

    def _count(self, scope: Scope, principal: Principal | None, limits: Limits) -> None:
        verdict = limits.take(self._who(scope, principal))
        show_quota(scope, verdict)
        if not verdict.allowed:
            raise QuotaExceeded(
                f"{limits.requests} requests in {limits.window} s are allowed.",
                headers={"retry-after": str(verdict.seconds)},
                violated_policies=[limits.name],
            )

    async def _answer(
        self,
        operation: Operation,
        principal: Principal | None,
        incoming: Incoming,
        scope: Scope,
        receive: Receive,
        send: Send,
    ) -> None:
        authorization = b""
        if principal is not None:
            Context.of(scope).caller = principal.caller
            authorization = principal.authorization
        if operation.path == composition.PATH:
            await self._compose(scope, authorization, send)
        elif operation.service == self._settings.service:
            await self._app(_signed(scope, incoming, authorization), receive, send)
        else:
            upstream = self._upstreams.get(operation.service)
            if upstream is None:
                raise UpstreamUnavailable(
                    f"The service {operation.service} is not part of this deployment.",
                    service=operation.service,
                )
            await proxy.forward(
                scope,
                receive,
                send,
                upstream=upstream,
                incoming=incoming,
                authorization=authorization,
                deadline=operation.deadline,
            )

    async def _compose(self, scope: Scope, authorization: bytes, send: Send) -> None:
        customer = composition.customer_id(scope)
        answer = await composition.compose_360(
            self._upstreams, scope, authorization, customer, timeout=self._settings.summary_timeout
        )
        length = (b"content-length", str(len(answer.body)).encode())
        kind = _JSON if answer.status == 200 else _PROBLEM
        await send({"type": "http.response.start", "status": answer.status, "headers": [kind, length]})
        await send({"type": "http.response.body", "body": answer.body})

    async def _options(self, scope: Scope, send: Send) -> None:
        """A browser's question whether a page may call, or anybody's what a path offers."""
        origin = header(scope, b"origin").decode("latin-1")
        if origin and header(scope, b"access-control-request-method"):
            if origin not in self._settings.cors_origins:
                raise OriginNotAllowed("Pages of this origin may not call the API.")
            headers = preflight()
        elif scope["path"] in self._pages:
            headers = [(b"allow", b"GET, HEAD, OPTIONS")]
        else:
            headers = [(b"allow", routing.allow(self._table.operations(scope["path"])).encode())]
        await send({"type": "http.response.start", "status": 204, "headers": headers})
        await send({"type": "http.response.body", "body": b""})


def _signed(scope: Scope, incoming: Incoming, authorization: bytes) -> Scope:
    """The request as the gateway's own API gets it: from a caller who has signed in, as with any service."""
    headers = list(incoming.passed_on)
    if authorization:
        headers.append((b"authorization", authorization))
    if incoming.content_length is not None:
        headers.append((b"content-length", str(incoming.content_length).encode()))
    method = "GET" if scope["method"] == "HEAD" else scope["method"]
    return {**scope, "headers": headers, "method": method}
