"""How much a request may send and how long it may take: the usual, or what its route has an allowance for."""

import asyncio
from types import TracebackType

from fastapi import params

from crm_shared.problems import PayloadTooLarge
from crm_shared.web.markers import Label

DEADLINE = 10.0
"""Seconds for a request as a whole, its answer's last byte included."""


class Allowance(Label):
    """More than the usual: bytes of a body, seconds for the request; None is the usual."""

    def __init__(self, body: int | None = None, deadline: float | None = None) -> None:
        self.body = body
        self.deadline = deadline


def allowance(body: int | None = None, deadline: float | None = None) -> params.Depends:
    """For a route that takes a bigger body than others, or more time.

    A bigger body is read as a stream, from `request.stream()`: nothing holds the whole of it, and it is
    counted while it comes. The deadline is for everything, the last byte of a streamed answer included: what
    streams for as long as somebody listens ends itself a little sooner. Both are in the OpenAPI document,
    where the gateway finds them.
    """
    return params.Depends(Allowance(body, deadline))


class Limits:
    """What one request may take; the usual, until its route is found."""

    def __init__(self, declared: int, body: int, deadline: float) -> None:
        self.declared = declared
        """The length of the body as its sender says it; 0 when nothing is said."""
        self.usual_body = body
        self.body = body
        self.deadline = deadline
        self._time = asyncio.timeout(deadline)
        self._began = 0.0

    async def __aenter__(self) -> "Limits":
        self._began = asyncio.get_running_loop().time()
        await self._time.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._time.__aexit__(kind, error, traceback)

    @property
    def expired(self) -> bool:
        return self._time.expired()

    def settle(self, body: int | None, deadline: float | None) -> None:
        """The route is found: its allowance counts. Raises PayloadTooLarge before a byte is read."""
        if body is not None:
            self.body = body
        if deadline is not None:
            self.deadline = deadline
            self._time.reschedule(self._began + deadline)
        if self.declared > self.body:
            raise self.too_large()

    def too_large(self) -> PayloadTooLarge:
        return PayloadTooLarge(f"A body may have {self.body} bytes.", headers={"Connection": "close"})
