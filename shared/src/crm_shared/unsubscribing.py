"""Links by which whoever gets a message withdraws from such messages with one click (RFC 8058).

Whoever sends messages makes them with the secret that profiles checks them with: a link names the customer,
the purpose and the channel and is signed, so that nobody can make or change one. It stands in a message as

    List-Unsubscribe: <https://crm.example/v1/unsubscribe/{token}>
    List-Unsubscribe-Post: List-Unsubscribe=One-Click
"""

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as InvalidBase64
from typing import NamedTuple
from uuid import UUID

from crm_shared.permissions import ContactChannel

PATH = "/v1/unsubscribe/"
ONE_CLICK = "List-Unsubscribe=One-Click"

_SIGNATURE = 16
_ID = 16


class Subscription(NamedTuple):
    """What somebody withdraws from."""

    customer_id: UUID
    purpose: str
    channel: ContactChannel


def path(subscription: Subscription, secret: bytes) -> str:
    """The link behind the gateway's address; the same one makes the same link, and it lasts."""
    return PATH + _token(subscription, secret)


def read(token: str, secret: bytes) -> Subscription | None:
    """What the token was made for; None: it is not valid."""
    try:
        raw = urlsafe_b64decode(token.encode("ascii") + b"=" * (-len(token) % 4))
        channel, _, purpose = raw[_SIGNATURE + _ID :].decode("ascii").partition(":")
        found = Subscription(UUID(bytes=raw[_SIGNATURE : _SIGNATURE + _ID]), purpose, ContactChannel(channel))
    except (InvalidBase64, ValueError):
        return None
    # Compared as a whole: base64 has several ways to write the same bytes.
    return found if hmac.compare_digest(token, _token(found, secret)) else None


def _token(subscription: Subscription, secret: bytes) -> str:
    told = subscription.customer_id.bytes + f"{subscription.channel}:{subscription.purpose}".encode("ascii")
    signature = hmac.digest(secret, b"unsubscribe:" + told, "sha256")[:_SIGNATURE]
    return urlsafe_b64encode(signature + told).rstrip(b"=").decode("ascii")
