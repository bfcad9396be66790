"""Callers' tokens: a JWT of the issuer becomes a Caller, or is refused before it can do harm."""

import math
from base64 import urlsafe_b64decode
from binascii import Error as InvalidBase64
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import orjson
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import Key

from crm_gateway.errors import InvalidCredentials
from crm_gateway.jwks import Keys
from crm_shared.callers import Caller, Role, Scope

ALGORITHMS = ("RS256", "ES256", "Ed25519", "EdDSA")
"""EdDSA is what many issuers still call Ed25519 (RFC 9864)."""
LEEWAY = timedelta(seconds=60)
MAX_BYTES = 8192
_TYPES = frozenset({"jwt", "at+jwt"})
_MAX_SUBJECT = 255
_RESERVED = "partner:"
"""How the subjects of API keys begin: no token may take one's place."""


class Tokens:
    """Verifies the tokens of one issuer for one audience."""

    def __init__(self, keys: Keys, *, issuer: str, audience: str) -> None:
        self._keys = keys
        self._issuer = issuer
        self._audience = audience

    async def verify(self, token: str, *, at: datetime) -> tuple[Caller, datetime]:
        """Who it names, and until when.

        Raises InvalidCredentials, or SignInUnavailable without the issuer's keys.
        """
        if len(token) > MAX_BYTES:
            raise InvalidCredentials("The token is longer than 8 KiB.")
        kid = _checked_header(token)
        key = await self._keys.find(kid, at=at)
        if key is None:
            raise InvalidCredentials("The token names a key that the issuer does not have.")
        claims = _verified_claims(token, key)
        until = self._check(claims, at)
        return _caller(claims), until

    def _check(self, claims: dict[str, Any], at: datetime) -> datetime:
        if claims.get("iss") != self._issuer:
            raise InvalidCredentials("The token comes from another issuer.")
        audience = claims.get("aud")
        if self._audience not in (audience if isinstance(audience, list) else [audience]):
            raise InvalidCredentials("The token is meant for somebody else.")
        until = _instant(claims, "exp")
        if until is None:
            raise InvalidCredentials("The token never expires.")
        if at >= until + LEEWAY:
            raise InvalidCredentials("The token has expired.")
        for claim in ("nbf", "iat"):
            start = _instant(claims, claim)
            if start is not None and start > at + LEEWAY:
                raise InvalidCredentials("The token is not valid yet.")
        return until + LEEWAY


def _checked_header(token: str) -> str | None:
    """The key id of a header that holds nothing unexpected: looked at before any key is."""
    try:
        encoded, _, _ = token.split(".")
        header = orjson.loads(urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)))
    except (InvalidBase64, ValueError) as error:
        raise InvalidCredentials("The credentials are not a token.") from error
    if not isinstance(header, dict):
        raise InvalidCredentials("The credentials are not a token.")
    if header.get("alg") not in ALGORITHMS:
        raise InvalidCredentials("The token is signed in a way that is not accepted here.")
    if "crit" in header or "b64" in header:
        raise InvalidCredentials("The token asks for an extension that is not known here.")
    if str(header.get("typ")).lower().removeprefix("application/") not in _TYPES:
        raise InvalidCredentials("The token is of another type.")
    kid = header.get("kid")
    if kid is not None and not isinstance(kid, str):
        raise InvalidCredentials("The token's key id is not a text.")
    return kid


def _verified_claims(token: str, key: Key) -> dict[str, Any]:
    try:
        claims = jwt.decode(token, key, algorithms=list(ALGORITHMS)).claims
    except (JoseError, ValueError, TypeError) as error:
        raise InvalidCredentials("The token's signature is not the issuer's.") from error
    return claims


def _instant(claims: dict[str, Any], name: str) -> datetime | None:
    value = claims.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise InvalidCredentials(f"The token's {name} is not an instant.")
    try:
        return datetime.fromtimestamp(value, UTC)
    except (ValueError, OverflowError, OSError) as error:
        raise InvalidCredentials(f"The token's {name} is not an instant.") from error


def _caller(claims: dict[str, Any]) -> Caller:
    """Roles and scopes that are not ours are the business of other applications of the same issuer."""
    subject = claims.get("sub")
    if not isinstance(subject, str) or not subject.isprintable() or not 0 < len(subject) <= _MAX_SUBJECT:
        raise InvalidCredentials("The token's subject is missing or malformed.")
    if subject.startswith(_RESERVED):
        raise InvalidCredentials("The token's subject is an API key's.")
    roles = frozenset(role for role in Role if role.value in _texts(claims, "roles"))
    granted = {*_texts(claims, "scope"), *_texts(claims, "scopes")}
    scopes = frozenset(scope for scope in Scope if scope.value in granted)
    if Role.CUSTOMER not in roles:
        return Caller(subject, roles, scopes)
    try:
        return Caller(subject, roles, scopes, UUID(claims["customer_id"]))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InvalidCredentials("The token of a customer does not say which one.") from error


def _texts(claims: dict[str, Any], name: str) -> list[str]:
    """A claim that is a list of texts, or one text of words (RFC 8693's `scope`)."""
    value = claims.get(name, [])
    texts = value.split() if isinstance(value, str) else value
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise InvalidCredentials(f"The token's {name} is not a list of texts.")
    return texts
