"""The sender: claims messages, has carriers take them with no transaction open, and marks each."""

from collections.abc import Awaitable, Callable, Mapping

from crm_loyalty.care import messages
from crm_loyalty.carriers.ports import Carrier, Mailbox
from crm_loyalty.carriers.sms import SmsCarrier
from crm_loyalty.carriers.smtp import SmtpCarrier
from crm_loyalty.settings import Settings
from crm_shared.clock import Clock
from crm_shared.database import Sessions
from crm_shared.permissions import ContactChannel

BATCH = 20
"""So many are sent well within the time for which they are claimed."""

Sender = Callable[[Sessions, Clock], Awaitable[bool]]


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
        sent = 0
        for channel, carrier in carriers.items():
            sent += await send(sessions, channel, carrier, clock)
        return sent > 0

    return turn


async def send(sessions: Sessions, channel: str, carrier: Carrier, clock: Clock) -> int:
    """Send what is queued for the channel, a batch at most, and say how many there were."""
    async with sessions.begin() as session:
        letters = await messages.claim(session, [channel], at=clock.now(), limit=BATCH)
    if not letters:
        return 0
    async for letter, outcome in carrier.carry(letters):
        async with sessions.begin() as session:
            await messages.settle(session, letter, outcome, carrier=carrier.name, at=clock.now())
    return len(letters)
