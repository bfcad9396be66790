"""What a carrier is: somebody who takes letters and says of each what became of it."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Protocol

from crm_loyalty.care.messages import LEASE, MAILBOX, Letter, Outcome

LANES = 8
"""So many letters are on their way at once, each by a connection of its own."""
TIMEOUT = 20.0
"""Seconds that one letter may take."""
FINISH_WITHIN = 4.0
"""Seconds for what is on its way, and as many for marking it, once the worker is told to stop."""
_NO_MORE_AFTER = LEASE.total_seconds() - 3 * TIMEOUT
"""When others may soon take the letters."""

Tell = Callable[[Letter, Outcome], None]
Lane = Callable[[deque[Letter]], Coroutine[None, None, None]]


class Carrier(Protocol):
    """A way by which messages leave."""

    name: str

    async def carry(self, letters: Sequence[Letter], tell: Tell) -> None:
        """Send each letter and tell at once how that ended; never raises for what is wrong outside."""
        ...


class Mailbox:
    """Sends nothing: the message stays where `GET /v1/care/mailbox` shows it."""

    name = MAILBOX

    async def carry(self, letters: Sequence[Letter], tell: Tell) -> None:
        for letter in letters:
            tell(letter, Outcome())


async def by_lanes(letters: Sequence[Letter], tell: Tell, lane: Lane) -> None:
    """Let lanes take letters one after the other; what is left when they or their time end is not sent.

    Cancelled, they take no more, and tell how those ended that are on their way.
    """
    waiting, late = deque(letters), list[Letter]()

    def stop() -> None:
        late.extend(waiting)
        waiting.clear()

    async def run() -> None:
        async with asyncio.TaskGroup() as tasks:
            for _ in range(min(LANES, len(letters))):
                tasks.create_task(lane(waiting))

    stopping = asyncio.get_running_loop().call_later(_NO_MORE_AFTER, stop)
    try:
        await uninterrupted(run(), told_to_stop=stop)
    finally:
        stopping.cancel()
    for letter in (*waiting, *late):
        tell(letter, Outcome("carrier_unreachable"))


async def uninterrupted(
    work: Coroutine[None, None, None], *, told_to_stop: Callable[[], None] = lambda: None
) -> None:
    """Run it to its end; cancelled meanwhile, give it some seconds more."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        told_to_stop()
        await finish(task)
        raise


async def finish(work: Awaitable[None]) -> None:
    """Let it end within those seconds, however it ends: for whoever is cancelled already."""
    task = asyncio.ensure_future(work)
    await asyncio.wait((task,), timeout=FINISH_WITHIN)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
