"""Idempotency keys: the reply of a write, stored in the write's own transaction, answers every retry."""

import re
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import LargeBinary, func, literal, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from crm_shared.database import Json, SharedBase
from crm_shared.problems import BadRequest, Conflict, Problem, Unprocessable

_VALID = re.compile(r"[\x20-\x7e]{1,255}")


class IdempotencyKeyMissing(BadRequest):
    """This operation moves value: it wants an `Idempotency-Key`, so that a retry can never do it twice."""


class InvalidIdempotencyKey(BadRequest):
    """An `Idempotency-Key` has 1 to 255 printable ASCII characters."""


class IdempotencyKeyInUse(Conflict):
    """The first request with this key is still being dealt with: try again in a moment."""


class IdempotencyKeyReused(Unprocessable):
    """This key already belongs to a request with another body."""


class ReplyErased(Problem):
    """The request was done; its reply held personal data and has been erased."""

    status = 410


class IdempotencyKey(SharedBase):
    """A request that had its effect, and what was answered."""

    __tablename__ = "idempotency_keys"

    principal: Mapped[str] = mapped_column(primary_key=True)
    method: Mapped[str] = mapped_column(primary_key=True)
    route: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    fingerprint: Mapped[bytes] = mapped_column(LargeBinary)
    status: Mapped[int]
    headers: Mapped[Json]
    body: Mapped[bytes | None] = mapped_column(LargeBinary)
    """None once it has been erased."""
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


async def claim(session: AsyncSession, claim: Claim) -> StoredReply | None:
    """The stored reply, or None for the first request with its key, which is then its own until it ends.

    Raises InvalidIdempotencyKey, IdempotencyKeyInUse, IdempotencyKeyReused, ReplyErased.
    """
    if not _VALID.fullmatch(claim.key):
        raise InvalidIdempotencyKey
    scope = "\x1f".join((claim.principal, claim.method, claim.route, claim.key))
    ours = func.pg_try_advisory_xact_lock(func.hashtextextended(scope, 0))
    # One round trip: the lock is tried whether or not a reply is stored.
    attempt = select(ours.label("ours")).subquery()
    row = (
        await session.execute(
            select(attempt.c.ours, IdempotencyKey)
            .select_from(attempt)
            .outerjoin(
                IdempotencyKey,
                (IdempotencyKey.principal == literal(claim.principal))
                & (IdempotencyKey.method == literal(claim.method))
                & (IdempotencyKey.route == literal(claim.route))
                & (IdempotencyKey.key == literal(claim.key)),
            )
        )
    ).one()
    stored: IdempotencyKey | None = row[1]
    if stored is None:
        if not row.ours:
            raise IdempotencyKeyInUse
        return None
    if stored.fingerprint != claim.fingerprint:
        raise IdempotencyKeyReused
    if stored.body is None:
        raise ReplyErased
    return StoredReply(stored.status, stored.headers, stored.body)


async def remember(session: AsyncSession, claim: Claim, reply: StoredReply, *, at: datetime) -> None:
    """Store the reply in the effect's transaction.

    Raises IdempotencyKeyInUse when another request with this key committed after ours had looked: the whole
    transaction must then be undone.
    """
    stored = await session.scalar(
        insert(IdempotencyKey)
        .values(
            principal=claim.principal,
            method=claim.method,
            route=claim.route,
            key=claim.key,
            fingerprint=claim.fingerprint,
            status=reply.status,
            headers=reply.headers,
            body=reply.body,
            created_at=at,
        )
        .on_conflict_do_nothing()
        .returning(IdempotencyKey.key)
    )
    if stored is None:
        raise IdempotencyKeyInUse
