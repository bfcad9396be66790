"""For tests: a clock that stands, tokens, sessions that leave nothing behind, delivery without a broker."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TypeVar
from uuid import UUID

from joserfc.jwk import OKPKey
from sqlalchemy import Connection, event, select, text
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker
from sqlalchemy.orm import Session, SessionTransaction

from crm_shared import erasure, inbox
from crm_shared.callers import STAFF, Caller, Role, Scope, mint
from crm_shared.contracts.base import Envelope, Event
from crm_shared.database import Sessions
from crm_shared.ids import uuid7
from crm_shared.outbox import Outbox
from crm_shared.subscriptions import Subscriptions

E = TypeVar("E", bound=Event)


class FrozenClock:
    """Stands still at `at` until the test moves it."""

    def __init__(self, at: datetime = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)) -> None:
        self.at = at

    def now(self) -> datetime:
        return self.at

    def advance(self, by: timedelta) -> datetime:
        self.at += by
        return self.at


def fresh_key() -> dict[str, str]:
    """The headers of a write that repeats no other."""
    return {"Idempotency-Key": str(uuid7())}


@dataclass(frozen=True)
class Signer:
    """Plays the gateway: signs internal tokens with a key of its own."""

    key: OKPKey = field(default_factory=lambda: OKPKey.generate_key("Ed25519", auto_kid=True))

    @property
    def public_key(self) -> str:
        return self.key.as_pem(private=False).decode()

    def token(
        self,
        roles: Iterable[Role] = STAFF,
        *,
        at: datetime,
        subject: str = "tester",
        customer_id: UUID | None = None,
        scopes: Iterable[Scope] = (Scope.PII_READ,),
    ) -> str:
        caller = Caller(subject, frozenset(roles), frozenset(scopes), customer_id)
        return mint(caller, self.key, at=at)


@asynccontextmanager
async def rolled_back(engine: AsyncEngine) -> AsyncIterator[Sessions]:
    """Sessions whose commits are savepoints of a transaction that never commits."""
    async with engine.connect() as connection:
        outer = await connection.begin()
        yield async_sessionmaker(connection, expire_on_commit=False, join_transaction_mode="create_savepoint")
        await outer.rollback()


class _Reading(Session):
    """A session of which each transaction may only read."""


@event.listens_for(_Reading, "after_begin")
def _only_read(session: Session, transaction: SessionTransaction, connection: Connection) -> None:
    connection.exec_driver_sql("SET TRANSACTION READ ONLY")


def reading(sessions: Sessions) -> Sessions:
    """The same sessions for a GET, which can change nothing."""
    return async_sessionmaker(**sessions.kw | {"sync_session_class": _Reading})


async def truncate(engine: AsyncEngine) -> None:
    """Empty every table that tests write; what migrations put in as data stays (they mark it `seed`)."""
    async with engine.begin() as connection:
        rows = await connection.scalars(
            text(
                "SELECT quote_ident(tablename) FROM pg_tables WHERE schemaname = 'public'"
                " AND tablename <> 'alembic_version'"
                " AND obj_description(format('public.%I', tablename)::regclass) IS DISTINCT FROM 'seed'"
            )
        )
        if names := list(rows):
            await connection.execute(text(f"TRUNCATE {', '.join(names)} RESTART IDENTITY CASCADE"))


async def published(sessions: Sessions) -> list[Outbox]:
    """Every event in the outbox, in the order in which the relay would send them."""
    async with sessions() as session:
        return list(await session.scalars(select(Outbox).order_by(Outbox.seq)))


def arrived(event: E, *, time: datetime = datetime(2026, 3, 1, tzinfo=UTC)) -> E:
    """The event as a worker gets it, under an id of its own at each call."""
    envelope = Envelope(
        id=uuid7(),
        source=f"/crm/{event.service()}",
        type=event.type,
        subject=event.subject,
        key=event.key,
        time=time,
    )
    return event.received(event.model_dump_json(), envelope)


def envelope_of(row: Outbox) -> Envelope:
    service = row.type.split(".", 1)[0]
    return Envelope(
        id=row.id,
        source=f"/crm/{service}",
        type=row.type,
        subject=row.subject,
        key=row.key,
        time=row.time,
        traceparent=row.traceparent,
        causation_id=row.causation_id,
        actor=row.actor,
    )


async def deliver(
    source: Sessions,
    target: Sessions,
    subscriptions: Subscriptions,
    *,
    consumer: str = "test",
    at: datetime | None = None,
) -> list[Event]:
    """Hand what the source has published to the target's handlers in one transaction; repeats are skipped."""
    events: list[Event] = []
    for row in await published(source):
        subscription = subscriptions.find(row.type)
        if subscription is not None:
            events.append(subscription.event_class.received(row.data, envelope_of(row)))
    async with target.begin() as session:
        return await handle(session, subscriptions, events, consumer=consumer, at=at)


async def handle(
    session: AsyncSession,
    subscriptions: Subscriptions,
    events: list[Event],
    *,
    consumer: str = "test",
    at: datetime | None = None,
) -> list[Event]:
    """What a worker does with a poll: drop what it had and whom it must forget, handle the rest in groups."""
    instant = at or datetime.now(UTC)
    new = await inbox.claim(session, consumer, events, at=instant)
    kept = await erasure.admit(session, new)
    await subscriptions.dispatch(session, kept, at=instant)
    return kept
