"""Finding the route of a request without trying one after the other, which costs more than answering it."""

from collections import defaultdict
from collections.abc import Iterable
from typing import TypeAlias

from fastapi.routing import RouteContext
from starlette.types import ASGIApp, Receive, Scope, Send

Key: TypeAlias = tuple[str, int, str]


class Dispatcher:
    """Looks a request up by its method, the depth of its path and the noun in it, as in /v1/<noun>/….

    What is not found so (other methods, unknown paths) is the framework's to answer.
    """

    def __init__(self, routes: Iterable[RouteContext], otherwise: ASGIApp) -> None:
        self._otherwise = otherwise
        self._routes: defaultdict[Key, list[RouteContext]] = defaultdict(list)
        for route in routes:
            for method in route.methods or ():
                self._routes[_key(method, route.path_format or "")].append(route)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            path = scope["path"]
            for route in self._routes.get(_key(scope["method"], path), ()):
                match = route.path_regex.match(path)
                if match:
                    scope["path_params"] = match.groupdict()
                    scope["route"] = route.original_route
                    scope["endpoint"] = route.endpoint
                    await route.app(scope, receive, send)
                    return
        await self._otherwise(scope, receive, send)


def _key(method: str, path: str) -> Key:
    steps = path.split("/", 3)
    return method, path.count("/"), steps[2] if len(steps) > 2 else ""
