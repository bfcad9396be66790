"""How much a request may send and how long it may take: the usual, or what its route has an allowance for."""

import asyncio
from types import TracebackType
from typing import Any

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
    """What one request may take; the usual, until its route is found.

    The deadline holds inside a `with`, just as with `asyncio.timeout`, whose way it goes for a third of the
    cost: the task is cancelled, and if nobody else cancelled it too, that ends here as a TimeoutError.
    """

    def __init__(self, declared: int, body: int, deadline: float) -> None:
        self.declared = declared
        """The length of the body as its sender says it; 0 when nothing is said."""
        self.usual_body = body
        self.body = body
        self.deadline = deadline
        self.expired = False
        self._task: asyncio.Task[Any]
        self._timer: asyncio.TimerHandle

    def __enter__(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        self._cancelled_before = task.cancelling()
        self._loop = asyncio.get_running_loop()
        self._began = self._loop.time()
        self._timer = self._loop.call_later(self.deadline, self._expire)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._timer.cancel()
        if self.expired:
            by_others = self._task.uncancel() > self._cancelled_before
            if kind is asyncio.CancelledError and not by_others:
                raise TimeoutError from error

    def _expire(self) -> None:
        self.expired = True
        self._task.cancel()

    def settle(self, body: int | None, deadline: float | None) -> None:
        """The route is found: its allowance counts. Raises PayloadTooLarge before a byte is read."""
        if body is not None:
            self.body = body
        if deadline is not None:
            self.deadline = deadline
            self._timer.cancel()
            self._timer = self._loop.call_at(self._began + deadline, self._expire)
        if self.declared > self.body:
            raise self.too_large()

    def too_large(self) -> PayloadTooLarge:
        return PayloadTooLarge(f"A body may have {self.body} bytes.", headers={"Connection": "close"})
