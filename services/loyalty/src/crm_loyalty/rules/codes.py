"""Codes of coupons, invitations and referrals: unguessable, of signs that differ, checked against slips."""

import hmac
from hashlib import sha256
from uuid import UUID

from stdnum.iso7064 import mod_37_2

ALPHABET = "23456789ABCDEFGHJKMNPQRSTUVWXYZ"
"""No 0 and O, no 1, I and L. Their number is a prime: so ISO 7064's pure system finds every wrong sign and
every two that changed places."""

LENGTH = 18
"""Seventeen random signs, 84 bits, and the check digit."""

HINT = 4
"""So many last signs tell a code from others."""
_GROUP = 6


def code_of(key: bytes, id: UUID) -> str:
    """A thing's code, made of its id by a secret key: nobody can make it who has only the database."""
    number = int.from_bytes(hmac.digest(key, id.bytes, "sha256"), "big")
    signs = ""
    for _ in range(LENGTH - 1):
        number, index = divmod(number, len(ALPHABET))
        signs += ALPHABET[index]
    return signs + mod_37_2.calc_check_digit(signs, ALPHABET)


def normal(typed: str) -> str | None:
    """The code without what people put between its signs; None: no code looks like this."""
    code = "".join(typed.upper().replace("-", "").split())
    return code if len(code) == LENGTH and mod_37_2.is_valid(code, ALPHABET) else None


def shown(code: str) -> str:
    """In groups, as people read it."""
    return "-".join(code[start : start + _GROUP] for start in range(0, LENGTH, _GROUP))


def shown_again(key: bytes, id: UUID, kept: bytes) -> str | None:
    """The code whose digest is kept, as people read it; None: it was made by another key than this one."""
    code = code_of(key, id)
    return shown(code) if digest(code) == kept else None


def digest(code: str) -> bytes:
    """What is kept of a code: with 84 random bits in it, nobody can try them all."""
    return sha256(code.encode()).digest()
