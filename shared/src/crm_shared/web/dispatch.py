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


class Dispatcher:
    """Looks a request up by its method, the depth of its path and the noun in it, as in /v1/<noun>/….

    A path without parameters goes before those with some: /v1/customers/batch is nobody's id, whatever the
    method. What is not found so (other methods, unknown paths) is the framework's to answer.
    """

    def __init__(self, routes: Iterable[RouteContext], otherwise: ASGIApp) -> None:
        self._otherwise = otherwise
        self._routes: defaultdict[Key, list[RouteContext]] = defaultdict(list)
        self._fixed: set[str] = set()
        for route in sorted(routes, key=has_parameters):
            if not has_parameters(route):
                self._fixed.add(route.path_format or "")
            for method in route.methods or ():
                self._routes[_key(method, route.path_format or "")].append(route)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            path = scope["path"]
            for route in self._routes.get(_key(scope["method"], path), ()):
                match = route.path_regex.match(path)
                if match:
                    if path in self._fixed and has_parameters(route):
                        raise MethodNotAllowed
                    scope["path_params"] = match.groupdict()
                    scope["route"] = route.original_route
                    scope["endpoint"] = route.endpoint
                    await _call(route, scope, receive, send)
                    return
        await self._otherwise(scope, receive, send)


async def _call(route: RouteContext, scope: Scope, receive: Receive, send: Send) -> None:
    """By the route's own plan if it has one; what replaces dependencies is known to the framework alone."""
    original = route.original_route
    if isinstance(original, Route) and original.direct is not None and not scope["app"].dependency_overrides:
        response = await original.direct(Request(scope, receive))
        await response(scope, receive, send)
    else:
        await route.app(scope, receive, send)


def has_parameters(route: RouteContext) -> bool:
    return "{" in (route.path_format or "")


def _key(method: str, path: str) -> Key:
    steps = path.split("/", 3)
    return method, path.count("/"), steps[2] if len(steps) > 2 else ""
