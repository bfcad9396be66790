"""Who is calling: the internal token that the gateway signs and every service verifies."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import cached_property
from hashlib import sha256
from uuid import UUID

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OKPKey

from crm_shared.problems import BadRequest, Unauthorized

ISSUER = "crm-gateway"
AUDIENCE = "crm-internal"
LIFETIME = timedelta(seconds=60)
_LEEWAY = timedelta(seconds=5)
_MAX_TOKEN_BYTES = 8192
_CACHED_TOKENS = 10_000


class Role(StrEnum):
    """What somebody is allowed to do here."""

    CUSTOMER = "customer"
    AGENT = "agent"
    SUPERVISOR = "supervisor"
    MANAGER = "manager"
    PARTNER = "partner"
    ADMIN = "admin"


STAFF = (Role.AGENT, Role.SUPERVISOR, Role.MANAGER, Role.ADMIN)
"""Who serves customers."""
READERS = (*STAFF, Role.PARTNER)
"""Who may read of any customer; a route that customers may call for their own data adds their role."""
MANAGERS = (Role.MANAGER, Role.ADMIN)
"""Who decides by which rules customers are served."""
SUPERVISORS = (Role.SUPERVISOR, *MANAGERS)
"""Who decides on what others ask for."""


class Scope(StrEnum):
    """What somebody may see or touch beyond their role."""

    PII_READ = "pii:read"
    EVENTS_READ = "events:read"


class InvalidToken(Unauthorized):
    """The token is not one of ours, not meant for us, or not valid now."""


class CredentialsAmbiguous(BadRequest):
    """One request has one author: send one `Authorization` or one `X-Api-Key`, not several."""


@dataclass(frozen=True)
class Caller:
    """The verified author of a request; `customer_id` is set for role customer only."""

    subject: str
    roles: frozenset[Role]
    scopes: frozenset[Scope] = field(default_factory=frozenset)
    customer_id: UUID | None = None

    @cached_property
    def sees_personal_data(self) -> bool:
        """Whether they get contact points as they are; customers get their own."""
        return Scope.PII_READ in self.scopes or self.roles == {Role.CUSTOMER}

    @cached_property
    def rights(self) -> bytes:
        """All that they may do and see, to tell it from what others may."""
        return " ".join(sorted({*self.roles, *self.scopes})).encode()

    def has(self, roles: Iterable[Role]) -> bool:
        return not self.roles.isdisjoint(roles)


def import_key(text: str) -> OKPKey:
    """An Ed25519 key from a JWK in JSON or from PEM; raises ValueError, without a word of what was given."""
    try:
        key = OKPKey.import_key(json.loads(text) if text.lstrip().startswith("{") else text)
    except (ValueError, TypeError, KeyError, JoseError) as error:
        raise ValueError("is no Ed25519 key, JWK in JSON or PEM") from error
    if key.curve_name != "Ed25519":
        raise ValueError("is no Ed25519 key but one of another curve")
    return key


def mint(caller: Caller, private_key: OKPKey, *, at: datetime) -> str:
    """The internal token for a caller: good for a minute, for our services only."""
    claims: dict[str, object] = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": caller.subject,
        "roles": sorted(caller.roles),
        "scopes": sorted(caller.scopes),
        "iat": int(at.timestamp()),
        "exp": int((at + LIFETIME).timestamp()),
    }
    if caller.customer_id is not None:
        claims["customer_id"] = str(caller.customer_id)
    return jwt.encode(
        {"alg": "Ed25519", "typ": "crm-internal+jwt"}, claims, private_key, algorithms=["Ed25519"]
    )


class Verifier:
    """Checks internal tokens; one that was good is remembered by its hash until it expires."""

    def __init__(self, public_key: str) -> None:
        key = import_key(public_key)
        if key.is_private:
            raise ValueError("must not hold the private part: only the gateway signs")
        self._key = key
        self._verified: dict[bytes, tuple[datetime, Caller]] = {}

    def verify(self, token: str, *, at: datetime) -> Caller:
        """The caller that the token names; InvalidToken says why not."""
        if len(token) > _MAX_TOKEN_BYTES:
            raise InvalidToken("The token is longer than 8 KiB.")
        digest = sha256(token.encode()).digest()
        known = self._verified.get(digest)
        if known is None:
            known = self._check(token, at)
            if len(self._verified) >= _CACHED_TOKENS:
                self._verified.clear()
            self._verified[digest] = known
        expires_at, caller = known
        if at >= expires_at + _LEEWAY:
            raise InvalidToken("The token has expired.")
        return caller

    def _check(self, token: str, at: datetime) -> tuple[datetime, Caller]:
        try:
            decoded = jwt.decode(token, self._key, algorithms=["Ed25519"])
        except (JoseError, ValueError) as error:
            raise InvalidToken("The token is not signed by the gateway.") from error
        claims = decoded.claims
        if decoded.header.get("typ") != "crm-internal+jwt" or claims.get("iss") != ISSUER:
            raise InvalidToken("The token was not issued by the gateway.")
        if claims.get("aud") != AUDIENCE:
            raise InvalidToken("The token is meant for somebody else.")
        try:
            expires_at = datetime.fromtimestamp(claims["exp"], UTC)
            issued_at = datetime.fromtimestamp(claims["iat"], UTC)
            caller = Caller(
                subject=str(claims["sub"]),
                roles=frozenset(map(Role, claims["roles"])),
                scopes=frozenset(map(Scope, claims["scopes"])),
                customer_id=UUID(claims["customer_id"]) if "customer_id" in claims else None,
            )
        except (KeyError, TypeError, ValueError, OverflowError, OSError) as error:
            raise InvalidToken("The token's claims are incomplete.") from error
        if issued_at > at + _LEEWAY:
            raise InvalidToken("The token is not valid yet.")
        return expires_at, caller
