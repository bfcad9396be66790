"""API keys of partners' systems: kept as digests, rotated without a gap, revoked within half a minute."""

import hmac
import re
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from crm_gateway.errors import (
    ApiKeyAlreadyIssued,
    ApiKeyNotFound,
    ApiKeyRevoked,
    ExpiryInThePast,
    InvalidCredentials,
)
from crm_gateway.models import ApiKey
from crm_gateway.schemas import ApiKeyIn
from crm_shared.callers import Caller, Role, Scope
from crm_shared.ids import derived, uuid7
from crm_shared.pages import Key, Listing, PageRequest, paginate

PREFIX = "crm_live_"
TRUSTED_FOR = timedelta(seconds=30)
"""How long a gateway process goes on believing that a key has not been revoked."""
_FORM = re.compile(PREFIX + r"(?P<id>[0-9a-f]{32})_(?P<secret>[A-Za-z0-9_-]{43})")
_NOBODY = bytes(32)


@dataclass(frozen=True)
class Issued:
    """A new key and the text that its owner must keep."""

    row: ApiKey
    key: str


async def issue(
    session: AsyncSession, body: ApiKeyIn, *, by: str, at: datetime, idempotency_key: str | None = None
) -> Issued:
    """A new key. A repeated request is a conflict: the secret is nowhere to be shown again."""
    if body.expires_at is not None and body.expires_at <= at:
        raise ExpiryInThePast("A key must expire later than now.")
    key_id = derived("api-key", by, idempotency_key) if idempotency_key is not None else uuid7()
    return await _insert(
        session,
        key_id,
        at=at,
        owner=body.owner,
        name=body.name,
        roles=sorted(body.roles),
        scopes=sorted(body.scopes),
        created_by=by,
        expires_at=body.expires_at,
    )


async def rotate(
    session: AsyncSession,
    key_id: UUID,
    *,
    grace: timedelta,
    by: str,
    at: datetime,
    idempotency_key: str | None = None,
) -> Issued:
    """A new key like the old one, as long-lived; the old one stays good for the time of grace."""
    old = await get(session, key_id, lock=True)
    if old.revoked_at is not None:
        raise ApiKeyRevoked(api_key_id=str(key_id))
    new_id = derived("api-key", by, key_id, idempotency_key) if idempotency_key is not None else uuid7()
    issued = await _insert(
        session,
        new_id,
        at=at,
        owner=old.owner,
        name=old.name,
        roles=old.roles,
        scopes=old.scopes,
        created_by=by,
        expires_at=old.expires_at and at + (old.expires_at - old.created_at),
    )
    old.expires_at = min(at + grace, old.expires_at or at + grace)
    return issued


async def _insert(session: AsyncSession, key_id: UUID, *, at: datetime, **values: object) -> Issued:
    secret = secrets.token_urlsafe(32)
    row = await session.scalar(
        insert(ApiKey)
        .values(id=key_id, digest=_digest(secret), created_at=at, **values)
        .on_conflict_do_nothing()
        .returning(ApiKey)
    )
    if row is None:
        raise ApiKeyAlreadyIssued(api_key_id=str(key_id))
    return Issued(row, f"{PREFIX}{key_id.hex}_{secret}")


async def get(session: AsyncSession, key_id: UUID, *, lock: bool = False) -> ApiKey:
    row = await session.get(ApiKey, key_id, with_for_update=lock)
    if row is None:
        raise ApiKeyNotFound(api_key_id=str(key_id))
    return row


async def list_(session: AsyncSession, *, page: PageRequest, owner: str | None = None) -> Listing[ApiKey]:
    statement = select(ApiKey) if owner is None else select(ApiKey).where(ApiKey.owner == owner)
    return await paginate(session, statement, [Key(ApiKey.id)], page=page, filters=owner)


async def revoke(session: AsyncSession, key_id: UUID, *, at: datetime) -> ApiKey:
    """After half a minute at most no gateway accepts the key; revoking twice changes nothing."""
    row = await get(session, key_id, lock=True)
    row.revoked_at = row.revoked_at or at
    return row


async def verify(session: AsyncSession, key: str, *, at: datetime) -> tuple[Caller, datetime]:
    """Whose key it is, and until when that may be believed; raises InvalidCredentials."""
    form = _FORM.fullmatch(key)
    row = await session.get(ApiKey, UUID(form["id"])) if form else None
    genuine = hmac.compare_digest(_digest(form["secret"] if form else ""), row.digest if row else _NOBODY)
    if row is None or not genuine:
        raise InvalidCredentials("The API key is not one of ours.")
    if row.revoked_at is not None:
        raise InvalidCredentials("The API key has been revoked.")
    if row.expires_at is not None and row.expires_at <= at:
        raise InvalidCredentials("The API key has expired.")
    # Read at most every half minute per gateway process, so this costs no request anything.
    row.last_used_at = at
    until = at + TRUSTED_FOR
    roles, scopes = frozenset(map(Role, row.roles)), frozenset(map(Scope, row.scopes))
    caller = Caller(f"partner:{row.owner}", roles, scopes)
    return caller, until if row.expires_at is None else min(until, row.expires_at)


def _digest(secret: str) -> bytes:
    """Plain SHA-256: the secret has 256 bits of its own, so there is nothing to stretch."""
    return sha256(secret.encode()).digest()
