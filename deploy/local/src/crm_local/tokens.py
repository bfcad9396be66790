"""Tokens for trying the system: the runner is the issuer whom the local gateway trusts."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from uuid import UUID

from joserfc import jwt
from joserfc.jwk import OKPKey

from crm_shared.callers import Role, Scope

ISSUER = "https://issuer.crm.local"
AUDIENCE = "crm"
LIFETIME = timedelta(hours=12)

# Whom the token of role customer speaks for, until somebody asks for a token of a customer who exists.
NOBODY_YET = UUID("00000000-0000-7000-8000-000000000001")

_STAFF = frozenset({Scope.PII_READ})
_SCOPES: Mapping[Role, frozenset[Scope]] = {
    Role.CUSTOMER: frozenset(),
    Role.AGENT: _STAFF,
    Role.SUPERVISOR: _STAFF,
    Role.MANAGER: _STAFF,
    Role.PARTNER: frozenset({Scope.EVENTS_READ}),
    Role.ADMIN: frozenset(Scope),
}


def public_part(key: Mapping[str, str]) -> dict[str, str]:
    """The key as others may see it."""
    return {name: value for name, value in key.items() if name != "d"}


def mint(
    issuer_key: Mapping[str, str],
    role: Role,
    *,
    at: datetime,
    lifetime: timedelta = LIFETIME,
    customer_id: UUID | None = None,
) -> str:
    """A token as a company's sign-in would issue it: for one role, with the scopes usual for it."""
    claims: dict[str, object] = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": f"local-{role}",
        "iat": int(at.timestamp()),
        "exp": int((at + lifetime).timestamp()),
        "roles": [role],
        "scopes": sorted(_SCOPES[role]),
    }
    if role is Role.CUSTOMER:
        claims["customer_id"] = str(customer_id or NOBODY_YET)
        claims["sub"] = claims["customer_id"]
    key = OKPKey.import_key({**issuer_key})
    header = {"alg": "Ed25519", "typ": "JWT", "kid": issuer_key["kid"]}
    return jwt.encode(header, claims, key, algorithms=["Ed25519"])
