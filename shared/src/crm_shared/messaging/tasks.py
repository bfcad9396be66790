"""For loops that must outlive every trouble: pauses that grow, and tasks of which the first ends all."""

import asyncio
import random
from collections.abc import Coroutine
from typing import Any


class Backoff:
    """Longer pauses after each failure, up to a limit, a little random so that many do not come at once."""

    def __init__(self, first: float, longest: float) -> None:
        self._first = first
        self._longest = longest
        self._next = first

    def next(self) -> float:
        """The pause to make now, in seconds."""
        pause, self._next = self._next, min(self._next * 2, self._longest)
        return pause * random.uniform(0.75, 1.0)

    def reset(self) -> None:
        """All is well again."""
        self._next = self._first


async def race(*coroutines: Coroutine[Any, Any, None]) -> None:
    """Run all until the first ends or fails; the others are cancelled and have ended when this returns."""
    tasks = [asyncio.ensure_future(coroutine) for coroutine in coroutines]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        task.result()
