"""The outbox: events wait in the transaction that caused them until the relay has sent them."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Identity, Index, Insert, Select, insert, text
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from crm_shared import tracing
from crm_shared.contracts.base import Event
from crm_shared.database import SharedBase
from crm_shared.ids import row_id, uuid7
from crm_shared.prepared import Prepared, as_rows, rows_from
from crm_shared.problems import PayloadTooLarge

MAX_EVENT_BYTES = 64 * 1024
"""CloudEvents intermediaries must forward events up to this size, and none above it."""


class EventTooLarge(PayloadTooLarge):
    """The state after this change is more than one event can carry."""


class Outbox(SharedBase):
    """One event, kept for weeks after it was sent: a broker that lost everything can be filled again."""

    __tablename__ = "outbox"
    __table_args__ = (
        Index("ix_outbox_unsent", "seq", postgresql_where=text("sent_at IS NULL")),
        Index("ix_outbox_key", "key"),
        Index("ix_outbox_time", "time", postgresql_using="brin"),
    )
    # `seq` is the database's and nobody asks for it, so rows of one flush go out as one batch.
    __mapper_args__ = {"eager_defaults": False}

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    seq: Mapped[int] = mapped_column(Identity(always=True, cache=1), unique=True)
    type: Mapped[str]
    key: Mapped[str]
    subject: Mapped[str]
    version: Mapped[int]
    data: Mapped[str]
    time: Mapped[datetime]
    traceparent: Mapped[str | None]
    causation_id: Mapped[str | None]
    actor: Mapped[str | None]
    sent_at: Mapped[datetime | None]


class Author(NamedTuple):
    """Who causes something, in which trace: told where one session writes for several requests."""

    actor: str | None
    traceparent: str | None


class Broker(SharedBase):
    """The cluster that `sent_at` speaks of: another id means that nothing has been sent."""

    __tablename__ = "broker"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    cluster_id: Mapped[str]
    seen_at: Mapped[datetime]


def publish(
    session: AsyncSession, event: Event, *, at: datetime, cause: Event | None = None, id: UUID | None = None
) -> None:
    """Put the event in the caller's transaction; the worker sends it once that commits.

    `at` is when it happened. `cause` is the event that led to it: trace and actor are inherited. `id` is
    given only where the same event must come out with the same id twice, or somebody needs it before.
    """
    session.add(Outbox(**_row(author_of(session), event, cause, at, id or uuid7())))


class News(NamedTuple):
    """An event to publish; `cause` and `id` as `publish` has them, `at` where it differs from the others'.

    `author`: where it is not the session's.
    """

    event: Event
    cause: Event | None = None
    id: UUID | None = None
    at: datetime | None = None
    author: Author | None = None


def author_of(session: AsyncSession) -> Author:
    """Of what a session writes for one request or one worker."""
    return Author(session.info.get("actor"), tracing.current())


async def publish_many(session: AsyncSession, news: Sequence[News], *, at: datetime) -> None:
    """Publish each event in their order: for sets, one statement whatever their number."""
    if not news:
        return
    await session.flush()  # what was published before goes before
    await _INSERT.fetch(session, {"events": rows(session, news, at=at)})


def rows(session: AsyncSession, news: Sequence[News], *, at: datetime) -> str:
    """What INSERT is given; whoever carries it along in a larger statement flushes the session before."""
    ours = author_of(session)
    return as_rows(
        [
            _row(author or ours, event, cause, own or at, id or row_id())
            for event, cause, id, own, author in news
        ]
    )


def _row(author: Author, event: Event, cause: Event | None, at: datetime, id: UUID) -> dict[str, object]:
    return {
        "id": id,
        "type": event.type,
        "key": event.key,
        "subject": event.subject,
        "version": event.version,
        "data": fitting(event.type, event.data),
        "time": at,
        "traceparent": cause.envelope.traceparent if cause else author.traceparent,
        "causation_id": str(cause.id) if cause else None,
        "actor": cause.envelope.actor if cause else author.actor,
    }


def fitting(type_: str, data: str) -> str:
    """The data as they are; raises EventTooLarge."""
    if len(data) > MAX_EVENT_BYTES // 4 and len(data.encode()) > MAX_EVENT_BYTES:
        raise EventTooLarge(f"{type_} would be longer than {MAX_EVENT_BYTES} bytes.")
    return data


_ROW = """id uuid, type text, key text, subject text, version bigint, data text, time timestamptz,
    traceparent text, causation_id text, actor text"""
# The table and not the class: the ORM would take the rows for values of its own.
_TABLE = SharedBase.metadata.tables[Outbox.__tablename__]


def publishing(rows: Select[Any]) -> Insert:
    """Publish from the rows of another statement, as a part of it: they have the names of the columns."""
    given = rows.selected_columns
    return insert(_TABLE).from_select(list(given.keys()), rows, include_defaults=False)


INSERT = f"""
    INSERT INTO outbox (id, type, key, subject, version, data, time, traceparent, causation_id, actor)
    SELECT given.* FROM {rows_from("events", _ROW)}
"""
"""SQL that puts the set of `events` into the outbox, in their order."""
_INSERT = Prepared(text(INSERT))
