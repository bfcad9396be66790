"""Housekeeping: what is past its retention is deleted, a little at a time, and what waits is counted."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, delete, func, select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import InstrumentedAttribute

from crm_shared.clock import Clock
from crm_shared.database import Sessions, SharedBase
from crm_shared.dead_letters import WAITING, DeadLetter
from crm_shared.due import DueRow
from crm_shared.idempotency import IdempotencyKey
from crm_shared.inbox import Inbox
from crm_shared.metrics import Metrics
from crm_shared.outbox import Outbox
from crm_shared.settings import ServiceSettings

IDEMPOTENCY_DAYS = 30

_AT_ONCE = 1000
_COUNT_AT_MOST = 100_000


@dataclass(frozen=True)
class Figure:
    """A number of a service's own that Prometheus is shown, read every few seconds."""

    name: str
    help: str
    read: Callable[[AsyncSession, datetime], Awaitable[float]]


async def delete_old(sessions: Sessions, settings: ServiceSettings, *, at: datetime) -> int:
    """Delete what nobody can need any more, in transactions short enough to disturb nobody; says how many."""
    return (
        await _delete(
            sessions,
            Outbox,
            Outbox.time,
            _before(at, settings.outbox_retention_days),
            Outbox.sent_at.is_not(None),
        )
        + await _delete(sessions, Inbox, Inbox.received_at, _before(at, settings.inbox_retention_days))
        + await _delete(sessions, IdempotencyKey, IdempotencyKey.created_at, _before(at, IDEMPOTENCY_DAYS))
    )


def _before(at: datetime, days: int) -> datetime:
    return at - timedelta(days=days)


async def _delete(
    sessions: Sessions,
    table: type[SharedBase],
    since: InstrumentedAttribute[datetime],
    before: datetime,
    *conditions: ColumnElement[bool],
) -> int:
    key = tuple_(*table.__table__.primary_key)
    old = (
        select(*table.__table__.primary_key)
        .where(since < before, *conditions)
        .order_by(since)
        .limit(_AT_ONCE)
    )
    statement = delete(table).where(key.in_(old)).returning(since)
    total = 0
    while True:
        async with sessions.begin() as session:
            count = len((await session.execute(statement)).all())
        total += count
        if count < _AT_ONCE:
            return total


async def measure(sessions: Sessions, metrics: Metrics, clock: Clock) -> None:
    """Show what waits: unsent events, dead letters, overdue work."""
    unsent = select(Outbox.seq).where(Outbox.sent_at.is_(None)).limit(_COUNT_AT_MOST).subquery()
    oldest = select(Outbox.time).where(Outbox.sent_at.is_(None)).order_by(Outbox.seq).limit(1)
    letters = select(func.count()).where(DeadLetter.state.in_(WAITING))
    async with sessions() as session:
        metrics.outbox_unpublished.set(await session.scalar(select(func.count()).select_from(unsent)) or 0)
        unsent_since = await session.scalar(oldest)
        metrics.dead_letters.set(await session.scalar(letters) or 0)
        due_since = await session.scalar(select(func.min(DueRow.try_at)))
    now = clock.now()
    metrics.outbox_oldest_unpublished.set(_age(unsent_since, now))
    metrics.due_overdue.set(_age(due_since, now))


async def read(sessions: Sessions, figures: Sequence[Figure], *, at: datetime) -> dict[str, float]:
    """What the service's own figures are now."""
    if not figures:
        return {}
    async with sessions() as session:
        return {figure.name: await figure.read(session, at) for figure in figures}


def _age(since: datetime | None, now: datetime) -> float:
    return max(0.0, (now - since).total_seconds()) if since else 0.0
