"""What a carrier is: somebody who takes letters and says of each what became of it."""

from collections.abc import AsyncIterator, Sequence
from typing import Protocol

from crm_loyalty.care.messages import MAILBOX, Letter, Outcome


class Carrier(Protocol):
    """A way by which messages leave."""

    name: str

    def carry(self, letters: Sequence[Letter]) -> AsyncIterator[tuple[Letter, Outcome]]:
        """Send each letter and say at once how that ended; never raises for what is wrong outside."""
        ...


class Mailbox:
    """Sends nothing: the message stays where `GET /v1/care/mailbox` shows it."""

    name = MAILBOX

    async def carry(self, letters: Sequence[Letter]) -> AsyncIterator[tuple[Letter, Outcome]]:
        for letter in letters:
            yield letter, Outcome()
