"""Finding the route of a request without trying one after the other, which costs more than answering it."""

from collections import defaultdict
from collections.abc import Iterable
from typing import TypeAlias

from fastapi import Request
from fastapi.routing import RouteContext
from starlette.types import ASGIApp, Receive, Scope, Send

from crm_shared.problems import MethodNotAllowed
from crm_shared.web.routing import Route

Key: TypeAlias = tuple[str, int, str]

_FOUND = "crm.route"


class Routes:
    """Looks a request up by its method, the depth of its path and the noun in it, as in /v1/<noun>/….

    A path without parameters goes before those with some: /v1/customers/batch is nobody's id, whatever the
    method.
    """

    def __init__(self, routes: Iterable[RouteContext]) -> None:
        self._routes: defaultdict[Key, list[RouteContext]] = defaultdict(list)
        self._fixed: set[str] = set()
        for route in sorted(routes, key=has_parameters):
            if not has_parameters(route):
                self._fixed.add(route.path_format or "")
            for method in route.methods or ():
                self._routes[_key(method, route.path_format or "")].append(route)

    def find(self, scope: Scope) -> RouteContext | None:
        """The request's route, whose parameters are put into its scope; raises MethodNotAllowed."""
        path = scope["path"]
        for route in self._routes.get(_key(scope["method"], path), ()):
            match = route.path_regex.match(path)
            if match:
                if path in self._fixed and has_parameters(route):
                    raise MethodNotAllowed
                scope["path_params"] = match.groupdict()
                scope["route"] = route.original_route
                scope["endpoint"] = route.endpoint
                return route
        return None


class Dispatcher:
    """In the place of the framework's search; what is not found (unknown paths) is its to answer."""

    def __init__(self, routes: Routes, otherwise: ASGIApp) -> None:
        self._routes = routes
        self._otherwise = otherwise

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        found = None
        if scope["type"] == "http":
            found = scope[_FOUND] if _FOUND in scope else self._routes.find(scope)
        await (self._otherwise if found is None else found.app)(scope, receive, send)


class Shortcut:
    """Calls routes that have a plan of their own without the framework's layers around them.

    What they raise is answered by the middleware around us, just as the framework's would. It is the
    framework that knows what replaces dependencies, and which methods a path has instead.
    """

    def __init__(self, app: ASGIApp, *, routes: Routes) -> None:
        self._app = app
        self._routes = routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not scope["app"].dependency_overrides:
            try:
                found = self._routes.find(scope)
            except MethodNotAllowed:
                found = None
            else:
                scope[_FOUND] = found
            original = found.original_route if found is not None else None
            if isinstance(original, Route) and original.direct is not None:
                response = await original.direct(Request(scope, receive))
                await response(scope, receive, send)
                return
        await self._app(scope, receive, send)


def has_parameters(route: RouteContext) -> bool:
    return "{" in (route.path_format or "")


def _key(method: str, path: str) -> Key:
    steps = path.split("/", 3)
    return method, path.count("/"), steps[2] if len(steps) > 2 else ""
