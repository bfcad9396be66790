"""The route that all services use: it checks who calls and what was sent before any of it is parsed."""

from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator, Sequence
from contextlib import aclosing
from typing import Any, TypeVar
from urllib.parse import unquote_to_bytes

import orjson
from fastapi import Request, Response, params
from fastapi.dependencies.models import Dependant
from fastapi.dependencies.utils import get_flat_params
from fastapi.routing import APIRoute
from starlette.requests import ClientDisconnect
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from crm_shared.problems import BadRequest, Fault, InvalidRequest
from crm_shared.settings import ServiceSettings
from crm_shared.web import bodies, direct
from crm_shared.web.context import Context
from crm_shared.web.limits import Allowance
from crm_shared.web.markers import Marker
from crm_shared.web.media import GIVES_JSON, JSON, Gives, Takes, WrongContentType, sent_type
from crm_shared.web.session import Permission, committed

Handler = Callable[[Request], Coroutine[Any, Any, Response]]
_Marker = TypeVar("_Marker", bound=Marker)


class MalformedPath(BadRequest):
    """What a path escapes with `%` is UTF-8."""


class JsonRequest(Request):
    """A request whose JSON is parsed strictly (no NaN, no lone surrogates) and fast."""

    async def body(self) -> bytes:
        """The whole of it: the framework's generators take several times as long over a small one."""
        if not hasattr(self, "_body"):
            chunks: list[bytes] = []
            more = True
            while more:
                message = await self.receive()
                if message["type"] == "http.disconnect":
                    raise ClientDisconnect
                chunks.append(message.get("body", b""))
                more = message.get("more_body", False)
            self._body = b"".join(chunks)
        return self._body

    async def json(self) -> Any:
        if not hasattr(self, "_json"):
            self._json = orjson.loads(await self.body())
        return self._json


class Route(APIRoute):
    """Refuses what it can refuse cheaply, in this order: callers, parameters, media types, bodies.

    Answers once the transaction that the route asked for is committed.
    """

    def __init__(
        self,
        path: str,
        endpoint: Callable[..., Any],
        *,
        dependencies: Sequence[params.Depends] | None = None,
        **options: Any,
    ) -> None:
        self.markers: list[Marker] = []
        solved = []
        for dependency in dependencies or ():
            if isinstance(dependency.dependency, Marker):
                self.markers.append(dependency.dependency)
            if not isinstance(dependency.dependency, Marker) or dependency.dependency.solved:
                solved.append(dependency)
        super().__init__(path, endpoint, dependencies=solved, **options)

    def get_route_handler(self) -> Handler:
        plan = direct.plan(self.dependant)
        self.markers += _markers(self.dependant)
        self.permission = self._said(Permission)
        self.allowance = self._said(Allowance) or Allowance()
        self.takes = self._said(Takes)
        self.gives = self._said(Gives) or GIVES_JSON
        self.reads_stream = self.body_field is None and (
            self.takes is not None or self.allowance.body is not None
        )
        self.query_names = {
            field.alias
            for field in get_flat_params(self.dependant)
            if isinstance(field.field_info, params.Query)
        }
        media_type = getattr(self.body_field.field_info, "media_type", JSON) if self.body_field else None
        is_form = self.body_field is not None and isinstance(self.body_field.field_info, params.Form)
        self.body_type = None if is_form else media_type

        self.direct = None if plan is None else self._guarded(plan)
        return self._guarded(super().get_route_handler())

    def _guarded(self, handle: Handler) -> Handler:
        async def guarded(request: Request) -> Response:
            if not isinstance(request, JsonRequest):
                request = JsonRequest(request.scope, request.receive)
            context = Context.of(request.scope)
            context.route = self.path_format
            if self.permission is not None:
                self.permission.check(context)
            context.limits.settle(self.allowance.body, self.allowance.deadline)
            self._check_parameters(request)
            if b"accept" in context.headers:
                self.gives.check(request)
            if self.takes is not None:
                self.takes.check(request)
            if self.body_type is not None:
                await self._check_body(request, self.body_type)
            response = await self.answer(request, context, handle)
            if b"if-none-match" in context.headers:
                response = _unchanged(request, response)
            return _Closing(response) if isinstance(response, StreamingResponse) else response

        return guarded

    def _said(self, kind: type[_Marker]) -> _Marker | None:
        return next((one for one in self.markers if isinstance(one, kind)), None)

    async def answer(self, request: Request, context: Context, handle: Handler) -> Response:
        return await committed(context, handle(request))

    def _check_parameters(self, request: Request) -> None:
        if "\0" in request.scope["path"]:
            raise bodies.NulCharacter("A path cannot hold U+0000.")
        _check_path(request.scope["raw_path"])
        if not request.scope["query_string"]:
            return
        faults: list[Fault] = []
        for name, value in request.query_params.multi_items():
            if name not in self.query_names:
                faults.append(
                    {"pointer": _shown(name), "code": "unknown", "message": "There is no such parameter."}
                )
            elif "\0" in value:
                faults.append({"pointer": name, "code": "nul", "message": "Text cannot hold U+0000."})
        if faults:
            raise InvalidRequest("The request has parameters that do not fit.", errors=faults[:100])

    async def _check_body(self, request: Request, media_type: str) -> None:
        body = await request.body()
        if not body:
            return
        sent = sent_type(request)
        if media_type != JSON:
            if sent != media_type:
                raise WrongContentType(f"Send {media_type}.")
            return
        if sent != JSON and not (sent.startswith("application/") and sent.endswith("+json")):
            raise WrongContentType("Send application/json.")
        settings: ServiceSettings = request.app.state.settings
        bodies.check(body, settings.max_json_depth)


class _Closing(Response):
    """A streamed answer whose source is closed when it ends, also where nobody listens to its end.

    An async generator that is only dropped would be cleaned up at some later time, with what it holds.
    """

    def __init__(self, response: StreamingResponse) -> None:
        self._response = response
        self.background = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        source = self._response.body_iterator
        if isinstance(source, AsyncGenerator):
            async with aclosing(source):
                await self._response(scope, receive, send)
        else:
            await self._response(scope, receive, send)


def _check_path(raw: bytes) -> None:
    """The server decodes leniently: names that differ in broken bytes alone would become one name."""
    if b"%" in raw:
        try:
            unquote_to_bytes(raw).decode()
        except UnicodeDecodeError:
            raise MalformedPath from None


def _shown(name: str) -> str:
    """A name that somebody made up, as it may stand in an answer."""
    return name[:100].replace("\0", "\N{REPLACEMENT CHARACTER}")


def _unchanged(request: Request, response: Response) -> Response:
    """A 304 in the place of what the caller has already."""
    known = request.headers.get("if-none-match")
    etag = response.headers.get("etag")
    if known is None or etag is None or request.method != "GET" or response.status_code != 200:
        return response
    tags = {tag.strip().removeprefix("W/") for tag in known.split(",")}
    return Response(status_code=304, headers={"etag": etag}) if tags & {etag, "*"} else response


def _markers(dependant: Dependant) -> Iterator[Marker]:
    """Those that a parameter's annotation brings, as in `Annotated[Caller, allow(...)]`."""
    for child in dependant.dependencies:
        if isinstance(child.call, Marker):
            yield child.call
        yield from _markers(child)
