"""Text messages by an HTTP gateway.

    POST <SMS_GATEWAY_URL>
    Content-Type: application/json
    Idempotency-Key: <id of the message, the same however often it is tried>
    X-Signature: t=<seconds since 1970>,v1=<hex HMAC-SHA256 of "<t>.<body>" by SMS_GATEWAY_SECRET>

    {"id": "<id>", "to": "+34600000000", "text": "…"}

Any 2xx: the gateway has it, and will not send it twice for one key. 408, 425, 429 and 5xx: it is tried again.
Any other answer: it is never tried again. What becomes of it later the gateway may tell by
`POST /v1/care/messages/{id}/reports`.
"""

import hmac
import time
from collections import deque
from collections.abc import Sequence
from functools import partial

import aiohttp
import orjson

from crm_loyalty.care.messages import Letter, Outcome
from crm_loyalty.carriers.ports import TIMEOUT, Tell, by_lanes

_AGAIN = {408, 425, 429}


class SmsCarrier:
    """Posts each message to the gateway."""

    name = "sms_gateway"

    def __init__(self, url: str, secret: str) -> None:
        self._url = url
        self._secret = secret.encode()

    async def carry(self, letters: Sequence[Letter], tell: Tell) -> None:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=TIMEOUT)) as client:
            await by_lanes(letters, tell, partial(self._lane, client, tell))

    async def _lane(self, client: aiohttp.ClientSession, tell: Tell, waiting: deque[Letter]) -> None:
        while waiting:
            letter = waiting.popleft()
            tell(letter, await self._send(client, letter))

    async def _send(self, client: aiohttp.ClientSession, letter: Letter) -> Outcome:
        body = orjson.dumps({"id": str(letter.id), "to": letter.address, "text": letter.body})
        headers = {
            "Content-Type": "application/json",
            "Idempotency-Key": str(letter.id),
            "X-Signature": signature(self._secret, body, int(time.time())),
        }
        try:
            async with client.post(self._url, data=body, headers=headers, allow_redirects=False) as answer:
                status = answer.status
        except (aiohttp.ClientError, OSError):
            return Outcome("carrier_unreachable")
        if 200 <= status < 300:
            return Outcome()
        return Outcome(f"gateway_{status}", final=status < 500 and status not in _AGAIN)


def signature(secret: bytes, body: bytes, seconds: int) -> str:
    """By which the gateway sees that it is ours, and not somebody's copy of long ago."""
    signed = hmac.digest(secret, f"{seconds}.".encode() + body, "sha256").hex()
    return f"t={seconds},v1={signed}"
