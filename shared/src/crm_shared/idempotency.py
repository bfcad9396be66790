"""Idempotency keys: the reply of a write, stored in the write's own transaction, answers every retry."""

import re
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Index, LargeBinary, Text, Uuid, bindparam, func, select
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from crm_shared.database import Json, SharedBase
from crm_shared.problems import BadRequest, Conflict, Gone, Unprocessable

_VALID = re.compile(r"[\x20-\x7e]{1,255}")
_UUID = re.compile(rb"[0-9A-Fa-f]{8}-?(?:[0-9A-Fa-f]{4}-?){3}[0-9A-Fa-f]{12}")


class IdempotencyKeyMissing(BadRequest):
    """This operation moves value: it wants an `Idempotency-Key`, so that a retry can never do it twice."""


class InvalidIdempotencyKey(BadRequest):
    """An `Idempotency-Key` has 1 to 255 printable ASCII characters."""


class IdempotencyKeyInUse(Conflict):
    """The first request with this key is still being dealt with: try again in a moment."""


class IdempotencyKeyReused(Unprocessable):
    """This key already belongs to a request with another body."""


class ReplyErased(Gone):
    """The request was done; its reply held personal data and has been erased."""


class IdempotencyKey(SharedBase):
    """A request that had its effect, and what was answered."""

    __tablename__ = "idempotency_keys"
    __table_args__ = (Index("ix_idempotency_keys_customer_ids", "customer_ids", postgresql_using="gin"),)

    principal: Mapped[str] = mapped_column(primary_key=True)
    method: Mapped[str] = mapped_column(primary_key=True)
    route: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    fingerprint: Mapped[bytes] = mapped_column(LargeBinary)
    status: Mapped[int]
    headers: Mapped[Json]
    body: Mapped[bytes | None] = mapped_column(LargeBinary)
    """None once it has been erased."""
    customer_ids: Mapped[list[UUID]] = mapped_column(ARRAY(Uuid))
    """Every id in reply or path, customers' among them: erasure finds by index what it could never scan."""
    created_at: Mapped[datetime] = mapped_column(index=True)


@dataclass(frozen=True)
class Claim:
    """Whose key for which operation, and the digest of what was asked."""

    principal: str
    method: str
    route: str
    key: str
    fingerprint: bytes


@dataclass(frozen=True)
class StoredReply:
    """What was answered the first time."""

    status: int
    headers: dict[str, str]
    body: bytes


_STORED = SharedBase.metadata.tables[IdempotencyKey.__tablename__]
# Made once: to make statements like these for each request costs more than to run them.
_ATTEMPT = select(
    func.pg_try_advisory_xact_lock(func.hashtextextended(bindparam("scope", type_=Text), 0)).label("ours")
).subquery()
_CLAIM = (
    # One round trip: the lock is tried whether or not a reply is stored.
    select(_ATTEMPT.c.ours, _STORED.c.fingerprint, _STORED.c.status, _STORED.c.headers, _STORED.c.body)
    .select_from(_ATTEMPT)
    .outerjoin(
        _STORED,
        (_STORED.c.principal == bindparam("principal"))
        & (_STORED.c.method == bindparam("method"))
        & (_STORED.c.route == bindparam("route"))
        & (_STORED.c.key == bindparam("key")),
    )
)
_REMEMBER = insert(_STORED).on_conflict_do_nothing().returning(_STORED.c.key)


async def claim(session: AsyncSession, claim: Claim) -> StoredReply | None:
    """The stored reply, or None for the first request with its key, which is then its own until it ends.

    Raises InvalidIdempotencyKey, IdempotencyKeyInUse, IdempotencyKeyReused, ReplyErased.
    """
    if not _VALID.fullmatch(claim.key):
        raise InvalidIdempotencyKey
    scope = "\x1f".join((claim.principal, claim.method, claim.route, claim.key))
    whose = {
        "scope": scope,
        "principal": claim.principal,
        "method": claim.method,
        "route": claim.route,
        "key": claim.key,
    }
    stored = (await session.execute(_CLAIM, whose)).one()
    if stored.fingerprint is None:
        if not stored.ours:
            raise IdempotencyKeyInUse
        return None
    if stored.fingerprint != claim.fingerprint:
        raise IdempotencyKeyReused
    if stored.body is None:
        raise ReplyErased
    return StoredReply(stored.status, stored.headers, stored.body)


async def remember(
    session: AsyncSession, claim: Claim, reply: StoredReply, *, path: str = "", at: datetime
) -> None:
    """Store the reply in the effect's transaction; `path`: where the request went, ids and all.

    Raises IdempotencyKeyInUse when another request with this key committed after ours had looked: the whole
    transaction must then be undone.
    """
    row = {
        "principal": claim.principal,
        "method": claim.method,
        "route": claim.route,
        "key": claim.key,
        "fingerprint": claim.fingerprint,
        "status": reply.status,
        "headers": reply.headers,
        "body": reply.body,
        "customer_ids": _ids(path.encode(errors="replace"), reply.body),
        "created_at": at,
    }
    if await session.scalar(_REMEMBER, row) is None:
        raise IdempotencyKeyInUse


def _ids(*texts: bytes) -> list[UUID]:
    found = {match.replace(b"-", b"").lower() for text in texts for match in _UUID.findall(text)}
    return [UUID(bytes=bytes.fromhex(digits.decode())) for digits in found]
