"""What a carrier is: somebody who takes letters and says of each what became of it."""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from typing import Protocol

from crm_loyalty.care.messages import LEASE, MAILBOX, Letter, Outcome

LANES = 8
"""So many letters are on their way at once, each by a connection of its own."""
TIMEOUT = 20.0
"""Seconds that one letter may take."""
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
    """Let lanes take letters one after the other; what is left when they or their time end is not sent."""
    waiting, late = deque(letters), list[Letter]()

    def stop() -> None:
        late.extend(waiting)
        waiting.clear()

    stopping = asyncio.get_running_loop().call_later(_NO_MORE_AFTER, stop)
    try:
        async with asyncio.TaskGroup() as tasks:
            for _ in range(min(LANES, len(letters))):
                tasks.create_task(lane(waiting))
    finally:
        stopping.cancel()
    for letter in (*waiting, *late):
        tell(letter, Outcome("carrier_unreachable"))
