"""The route that all services use: it checks who calls and what was sent before any of it is parsed."""

from collections.abc import Callable, Coroutine, Iterator, Sequence
from typing import Any
from urllib.parse import unquote_to_bytes

import orjson
from fastapi import Request, Response, params
from fastapi.dependencies.models import Dependant
from fastapi.dependencies.utils import get_flat_params
from fastapi.routing import APIRoute

from crm_shared.problems import BadRequest, Fault, InvalidRequest, NotAcceptable, UnsupportedMediaType
from crm_shared.settings import ServiceSettings
from crm_shared.web import bodies
from crm_shared.web.context import Context, Marker
from crm_shared.web.session import Permission, committed

Handler = Callable[[Request], Coroutine[Any, Any, Response]]

_JSON = "application/json"
_ANSWERED = {"*/*", "application/*", _JSON, "application/problem+json"}


class WrongContentType(UnsupportedMediaType): ...


class MalformedPath(BadRequest):
    """What a path escapes with `%` is UTF-8."""


class JsonRequest(Request):
    """A request whose JSON is parsed strictly (no NaN, no lone surrogates) and fast."""

    async def json(self) -> Any:
        return orjson.loads(await self.body())


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
        handle = super().get_route_handler()
        self.markers += _markers(self.dependant)
        self.permission = next((one for one in self.markers if isinstance(one, Permission)), None)
        self.query_names = {
            field.alias
            for field in get_flat_params(self.dependant)
            if isinstance(field.field_info, params.Query)
        }
        media_type = getattr(self.body_field.field_info, "media_type", _JSON) if self.body_field else None
        is_form = self.body_field is not None and isinstance(self.body_field.field_info, params.Form)
        self.body_type = None if is_form else media_type

        async def guarded(request: Request) -> Response:
            request = JsonRequest(request.scope, request.receive)
            context = Context.of(request.scope)
            context.route = self.path_format
            if self.permission is not None:
                self.permission.check(context)
            self._check_parameters(request)
            if self.body_type is not None:
                await self._check_body(request, self.body_type)
            return _unchanged(request, await self.answer(request, context, handle))

        return guarded

    async def answer(self, request: Request, context: Context, handle: Handler) -> Response:
        return await committed(context, handle(request))

    def _check_parameters(self, request: Request) -> None:
        if "\0" in request.scope["path"]:
            raise bodies.NulCharacter("A path cannot hold U+0000.")
        _check_path(request.scope["raw_path"])
        accept = request.headers.get("accept")
        if accept is not None and not any(
            part.split(";", 1)[0].strip().lower() in _ANSWERED for part in accept.split(",")
        ):
            raise NotAcceptable("Answers are application/json; problems are application/problem+json.")
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
        sent = request.headers.get("content-type", "").split(";", 1)[0].strip().lower()
        if media_type != _JSON:
            if sent != media_type:
                raise WrongContentType(f"Send {media_type}.")
            return
        if sent != _JSON and not (sent.startswith("application/") and sent.endswith("+json")):
            raise WrongContentType("Send application/json.")
        settings: ServiceSettings = request.app.state.settings
        bodies.check(body, settings.max_json_depth)


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
