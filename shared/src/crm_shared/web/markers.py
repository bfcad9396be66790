"""What a route can say of itself beside its path and its parameters."""

from typing import ClassVar


class Marker:
    """Something a route says of itself among its dependencies, read once when the route is made.

    Only what is `solved` is left for the framework to call at each request.
    """

    solved: ClassVar[bool] = False


class Label(Marker):
    """One that is only read: there is nothing to do at a request."""

    async def __call__(self) -> None:
        return None
