"""Finding the route of a request without trying one after the other, which costs more than answering it."""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, TypeAlias

from fastapi.routing import RouteContext
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from crm_shared.problems import MethodNotAllowed
from crm_shared.web.routing import JsonRequest, Route

Key: TypeAlias = tuple[str, int, str]

_FOUND = "crm.route"


class Found(NamedTuple):
    """A route, and how to call it."""

    path: re.Pattern[str]
    has_parameters: bool
    route: BaseRoute
    endpoint: Callable[..., Any] | None
    app: ASGIApp


class Routes:
    """Looks a request up by its method, the depth of its path and the noun in it, as in /v1/<noun>/….

    A path without parameters goes before those with some: /v1/customers/batch is nobody's id, whatever the
    method.
    """

    def __init__(self, routes: Iterable[RouteContext]) -> None:
        self._routes: defaultdict[Key, list[Found]] = defaultdict(list)
        self._fixed: set[str] = set()
        for route in sorted(routes, key=has_parameters):
            if not has_parameters(route):
                self._fixed.add(route.path_format or "")
            # Made once: each look at a route's context is a search of its own.
            found = Found(
                route.path_regex, has_parameters(route), route.original_route, route.endpoint, route.app
            )
            for method in route.methods or ():
                self._routes[_key(method, route.path_format or "")].append(found)

    def find(self, scope: Scope) -> Found | None:
        """The request's route, whose parameters are put into its scope; raises MethodNotAllowed."""
        path = scope["path"]
        for found in self._routes.get(_key(scope["method"], path), ()):
            match = found.path.match(path)
            if match:
                if found.has_parameters and path in self._fixed:
                    raise MethodNotAllowed
                scope["path_params"] = match.groupdict()
                scope["route"] = found.route
                scope["endpoint"] = found.endpoint
                return found
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
            route = found.route if found is not None else None
            if isinstance(route, Route) and route.direct is not None:
                response = await route.direct(JsonRequest(scope, receive))
                await response(scope, receive, send)
                return
        await self._app(scope, receive, send)


def has_parameters(route: RouteContext) -> bool:
    return "{" in (route.path_format or "")


def _key(method: str, path: str) -> Key:
    steps = path.split("/", 3)
    return method, path.count("/"), steps[2] if len(steps) > 2 else ""
