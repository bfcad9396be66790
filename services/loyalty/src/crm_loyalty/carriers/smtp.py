"""E-mail by SMTP: some connections for a batch, a Message-ID that stays however often it is tried."""

import asyncio
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from functools import partial
from urllib.parse import unquote, urlsplit

import aiosmtplib

from crm_loyalty.care.messages import Letter, Outcome
from crm_loyalty.carriers.ports import TIMEOUT, Tell, by_lanes
from crm_shared.unsubscribing import ONE_CLICK

_PERMANENT = 500


class SmtpCarrier:
    """`smtp://` goes on by STARTTLS where the server offers it, `smtps://` is TLS from the start."""

    name = "smtp"

    def __init__(self, url: str, sender: str) -> None:
        self._parts = urlsplit(url)
        self._sender = sender

    async def carry(self, letters: Sequence[Letter], tell: Tell) -> None:
        await by_lanes(letters, tell, partial(self._lane, tell))

    async def _lane(self, tell: Tell, waiting: deque[Letter]) -> None:
        """Send by one connection, as long as it lasts and there are letters."""
        client = self._client()
        try:
            async with asyncio.timeout(TIMEOUT):
                await client.connect()
            while waiting and client.is_connected:
                letter = waiting.popleft()
                tell(letter, await self._send(client, letter))
        except (aiosmtplib.SMTPException, OSError):
            return  # there is no connection; nothing was sent
        except asyncio.CancelledError:
            client.close()  # who did not answer in time is not bidden farewell
            raise
        finally:
            with suppress(aiosmtplib.SMTPException, OSError):
                await client.quit()

    async def _send(self, client: aiosmtplib.SMTP, letter: Letter) -> Outcome:
        try:
            message = message_of(letter, self._sender)
        except (MessageError, ValueError, IndexError):
            return Outcome("address_invalid", final=True)
        try:
            async with asyncio.timeout(TIMEOUT):
                await client.send_message(message)
        except aiosmtplib.SMTPRecipientsRefused as refused:
            return _refused(min(each.code for each in refused.recipients))
        except aiosmtplib.SMTPResponseException as refused:
            return _refused(refused.code)
        except (aiosmtplib.SMTPException, OSError):
            client.close()
            return Outcome("carrier_unreachable")
        return Outcome()

    def _client(self) -> aiosmtplib.SMTP:
        parts, tls = self._parts, self._parts.scheme == "smtps"
        return aiosmtplib.SMTP(
            hostname=parts.hostname or "127.0.0.1",
            port=parts.port or (465 if tls else 587),
            username=unquote(parts.username) if parts.username else None,
            password=unquote(parts.password) if parts.password else None,
            use_tls=tls,
            timeout=TIMEOUT,
        )


def message_of(letter: Letter, sender: str) -> EmailMessage:
    """The e-mail; raises what the library does of an address that is none."""
    message = EmailMessage(policy=SMTP)
    message["From"] = sender
    message["To"] = Address(addr_spec=letter.address)
    message["Subject"] = letter.subject
    message["Message-ID"] = f"<{letter.id}@{sender.rpartition('@')[2].strip('> ') or 'localhost'}>"
    message["Auto-Submitted"] = "auto-generated"
    if letter.unsubscribe_url:
        message["List-Unsubscribe"] = f"<{letter.unsubscribe_url}>"
        message["List-Unsubscribe-Post"] = ONE_CLICK
    message.set_content(letter.body)
    if letter.html:
        message.add_alternative(letter.html, subtype="html")
    return message


def _refused(code: int) -> Outcome:
    return Outcome(f"smtp_{code}", final=code >= _PERMANENT)
