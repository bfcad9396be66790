"""The sender: claims messages, has carriers take them with no transaction open, and marks each."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence

from crm_loyalty.care import messages
from crm_loyalty.care.messages import Letter, Outcome
from crm_loyalty.carriers.ports import Carrier, Mailbox, finish, uninterrupted
from crm_loyalty.carriers.sms import SmsCarrier
from crm_loyalty.carriers.smtp import SmtpCarrier
from crm_loyalty.settings import Settings
from crm_shared.clock import Clock
from crm_shared.database import Sessions, unavailable
from crm_shared.permissions import ContactChannel

log = logging.getLogger(__name__)

BATCH = 100
"""So many, by so many lanes, are sent within the time for which they are claimed, even by a slow server."""

Sender = Callable[[Sessions, Clock], Awaitable[bool]]
_Ended = asyncio.Queue[tuple[Letter, Outcome]]
_PAUSE = 0.5


def carriers_of(settings: Settings) -> Mapping[str, Carrier]:
    """By which carrier each channel's messages go; what is not set up goes to the mailbox."""
    email: Carrier = Mailbox()
    sms: Carrier = Mailbox()
    if settings.smtp_url:
        email = SmtpCarrier(settings.smtp_url.get_secret_value(), settings.mail_from)
    if settings.sms_gateway_url and settings.sms_gateway_secret:
        sms = SmsCarrier(settings.sms_gateway_url, settings.sms_gateway_secret.get_secret_value())
    return {ContactChannel.EMAIL: email, ContactChannel.SMS: sms}


def sender(carriers: Mapping[str, Carrier]) -> Sender:
    """One turn of the worker: whether there was anything to send."""

    async def turn(sessions: Sessions, clock: Clock) -> bool:
        sent = [await send(sessions, channel, carrier, clock) for channel, carrier in carriers.items()]
        return any(sent)

    return turn


async def send(sessions: Sessions, channel: str, carrier: Carrier, clock: Clock) -> int:
    """Send what is queued for the channel, a batch at most, and say how many there were.

    Cancelled, it still marks what has left; what nobody has sent yet goes out when its lease is over.
    """
    async with sessions.begin() as session:
        letters = await messages.claim(session, channel, at=clock.now(), limit=BATCH)
    if letters:
        ended = _Ended()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(_mark(sessions, ended, len(letters), carrier.name, clock))
            await carrier.carry(letters, lambda letter, outcome: ended.put_nowait((letter, outcome)))
    return len(letters)


async def _mark(sessions: Sessions, ended: _Ended, number: int, carrier: str, clock: Clock) -> None:
    """Mark letters as they end, all together that ended while others were being marked."""
    try:
        while number:
            together = [await ended.get(), *_waiting(ended)]
            await uninterrupted(_settle(sessions, together, carrier, clock))
            number -= len(together)
    except asyncio.CancelledError:
        # The carrier has ended before us, and told of all that it had sent.
        if left := list(_waiting(ended)):
            await finish(_settle(sessions, left, carrier, clock))
        raise


def _waiting(ended: _Ended) -> Iterator[tuple[Letter, Outcome]]:
    while not ended.empty():
        yield ended.get_nowait()


async def _settle(
    sessions: Sessions, ended: Sequence[tuple[Letter, Outcome]], carrier: str, clock: Clock
) -> None:
    """Until it is written: what was sent and is not marked goes out again when its lease is over."""
    over = clock.now() + messages.LEASE
    while True:
        try:
            async with sessions.begin() as session:
                await messages.settle(session, ended, carrier=carrier, at=clock.now())
            return
        except Exception as error:
            # Whatever the driver may raise as the database goes away: raised on, it would break off all
            # that are on their way, and what had arrived would go out again.
            if not unavailable(error) or clock.now() >= over:
                raise
            log.warning("messages that were sent wait for the database", extra={"number": len(ended)})
        await asyncio.sleep(_PAUSE)
