"""Idempotency keys: the reply of a write, stored in the write's own transaction, answers every retry."""

import re
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import DateTime, Index, LargeBinary, Uuid, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from crm_shared.database import Json, SharedBase
from crm_shared.prepared import Prepared, Row, as_rows, rows_from
from crm_shared.problems import BadRequest, Conflict, Gone, Problem, Unprocessable

_KEPT_HEADERS = ("content-type", "etag", "location")
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

    @classmethod
    def of(cls, status: int, headers: Mapping[str, str], body: bytes) -> "StoredReply":
        """Of an answer, without the headers that are of the one request alone."""
        return cls(status, {name: headers[name] for name in _KEPT_HEADERS if name in headers}, body)


class AlreadyAnswered(Exception):
    """The request was answered before, under the same key: not an error, the route gives that reply again."""

    def __init__(self, reply: StoredReply) -> None:
        super().__init__("a reply is stored")
        self.reply = reply


class Kept(NamedTuple):
    """A reply to store, and where its request went, ids and all."""

    claim: Claim
    reply: StoredReply
    path: str


_SCOPE = ("principal", "method", "route", "key")
_CLAIM = Prepared(
    text(
        # One round trip: the lock is tried whether or not a reply is stored. Lateral, so that each key is
        # looked up: a plan made while there were few would read them all, and is kept.
        f"""
    SELECT * FROM (
        SELECT given.*, stored.*, pg_try_advisory_xact_lock(
            hashtextextended(concat_ws(chr(31), principal, method, route, key), 0)
        ) AS ours
        FROM {rows_from("asked", "principal text, method text, route text, key text")}
        LEFT JOIN LATERAL (
            SELECT fingerprint, status, headers, body FROM idempotency_keys AS each
            WHERE each.principal = given.principal AND each.method = given.method
                AND each.route = given.route AND each.key = given.key
            LIMIT 1
        ) AS stored ON true
    ) AS found
    WHERE fingerprint IS NOT NULL OR NOT ours
    """
    )
)
_KEPT = """principal text, method text, route text, key text, fingerprint text, status bigint, headers jsonb,
    body text, customer_ids uuid[]"""
_REMEMBER = Prepared(
    text(
        f"""
    WITH stored AS (
        INSERT INTO idempotency_keys (principal, method, route, key, fingerprint, status, headers, body,
            customer_ids, created_at)
        SELECT principal, method, route, key, decode(fingerprint, 'base64'), status, headers,
            decode(body, 'base64'), customer_ids, :at
        FROM {rows_from("kept", _KEPT)}
        ON CONFLICT DO NOTHING
        RETURNING key
    )
    SELECT count(*) AS stored FROM stored
    """
    ).bindparams(bindparam("at", type_=DateTime(timezone=True)))
)


async def claim(session: AsyncSession, claim: Claim) -> StoredReply | None:
    """The stored reply, or None for the first request with its key, which is then its own until it ends.

    Raises InvalidIdempotencyKey, IdempotencyKeyInUse, IdempotencyKeyReused, ReplyErased.
    """
    [found] = await claim_many(session, [claim])
    if isinstance(found, Problem):
        raise found
    return found


async def claim_many(session: AsyncSession, claims: Sequence[Claim]) -> list[StoredReply | Problem | None]:
    """As `claim`, for each of several requests that share a transaction; what it would raise is given."""
    valid = [claim for claim in claims if _VALID.fullmatch(claim.key)]
    rows: Sequence[Row] = ()
    if valid:
        asked = [dict(zip(_SCOPE, scope, strict=True)) for scope in {_scope(claim) for claim in valid}]
        rows = await _CLAIM.fetch(session, {"asked": as_rows(asked)})
    known = {tuple(row[name] for name in _SCOPE): row for row in rows}
    found: list[StoredReply | Problem | None] = []
    taken: set[tuple[str, ...]] = set()
    for claim in claims:
        scope = _scope(claim)
        found.append(_reply(claim, known.get(scope), scope in taken))
        taken.add(scope)
    return found


def _scope(claim: Claim) -> tuple[str, str, str, str]:
    return claim.principal, claim.method, claim.route, claim.key


def _reply(claim: Claim, row: Row | None, taken: bool) -> StoredReply | Problem | None:
    """`taken`: another request of the same transaction has the key."""
    if not _VALID.fullmatch(claim.key):
        return InvalidIdempotencyKey()
    if row is None:
        return IdempotencyKeyInUse() if taken else None
    if row["fingerprint"] is None:
        return IdempotencyKeyInUse()
    if row["fingerprint"] != claim.fingerprint:
        return IdempotencyKeyReused()
    if row["body"] is None:
        return ReplyErased()
    return StoredReply(row["status"], row["headers"], row["body"])


async def remember(
    session: AsyncSession, claim: Claim, reply: StoredReply, *, path: str = "", at: datetime
) -> None:
    """Store the reply in the effect's transaction; `path`: where the request went, ids and all.

    Raises IdempotencyKeyInUse when another request with this key committed after ours had looked: the whole
    transaction must then be undone.
    """
    await remember_many(session, [Kept(claim, reply, path)], at=at)


async def remember_many(session: AsyncSession, kept: Sequence[Kept], *, at: datetime) -> None:
    """As `remember`, for several requests that share a transaction."""
    if not kept:
        return
    rows = [
        {
            **dict(zip(_SCOPE, _scope(claim), strict=True)),
            "fingerprint": b64encode(claim.fingerprint).decode(),
            "status": reply.status,
            "headers": reply.headers,
            "body": b64encode(reply.body).decode(),
            "customer_ids": _ids(path.encode(errors="replace"), reply.body),
        }
        for claim, reply, path in kept
    ]
    [row] = await _REMEMBER.fetch(session, {"kept": as_rows(rows), "at": at})
    if row["stored"] < len(rows):
        raise IdempotencyKeyInUse


def _ids(*texts: bytes) -> list[str]:
    return list({match.decode() for text in texts for match in _UUID.findall(text)})
