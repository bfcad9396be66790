"""What is past its retention goes; what may still be needed stays."""

from datetime import UTC, datetime, timedelta

from sqlalchemy import func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from crm_shared.clock import SystemClock
from crm_shared.database import Sessions, SharedBase
from crm_shared.ids import uuid7
from crm_shared.inbox import Inbox
from crm_shared.messaging import housekeeping
from crm_shared.metrics import Metrics
from crm_shared.outbox import Outbox
from crm_shared.settings import ServiceSettings
from crm_shared.testing import Signer

NOW = datetime(2026, 3, 2, tzinfo=UTC)


def outbox_row(age: timedelta, *, sent: bool) -> Outbox:
    at = NOW - age
    return Outbox(
        type="a.b.c.v1", key="k", subject="s", version=1, data="{}", time=at, sent_at=at if sent else None
    )


async def count(session: AsyncSession, table: type[SharedBase]) -> int:
    return await session.scalar(select(func.count()).select_from(table)) or 0


def settings() -> ServiceSettings:
    return ServiceSettings(
        service="any",
        database_url="postgresql://nobody@nowhere/nothing",
        kafka_bootstrap_servers="nowhere:1",
        internal_public_key=Signer().public_key,
        cursor_secret="cursors of the tests, thirty-two bytes and more",
    )


async def test_sent_events_go_after_their_retention_unsent_ones_never(
    committed_sessions: Sessions,
) -> None:
    async with committed_sessions.begin() as session:
        session.add_all(
            [
                outbox_row(timedelta(days=29), sent=True),
                outbox_row(timedelta(days=29), sent=False),
                outbox_row(timedelta(days=27), sent=True),
            ]
        )
        keep = settings().inbox_retention_days
        rows = [
            {"consumer": "c", "source": "s", "event_id": uuid7(), "received_at": NOW - timedelta(days=days)}
            for days in [keep + 1] * 2500 + [keep - 1]
        ]
        await session.execute(insert(SharedBase.metadata.tables["inbox"]), rows)
    assert await housekeeping.delete_old(committed_sessions, settings(), at=NOW) == 2501
    async with committed_sessions() as session:
        assert await count(session, Outbox) == 2
        assert await count(session, Inbox) == 1


async def test_the_age_of_what_waits_is_shown(committed_sessions: Sessions) -> None:
    metrics = Metrics("any", "test")
    read = metrics.registry.get_sample_value
    await housekeeping.measure(committed_sessions, metrics, SystemClock())
    assert read("outbox_unpublished") == 0
    assert read("outbox_oldest_unpublished_seconds") == 0
    async with committed_sessions.begin() as session:
        session.add(outbox_row(timedelta(), sent=False))
    await housekeeping.measure(committed_sessions, metrics, SystemClock())
    assert read("outbox_unpublished") == 1
    assert (read("outbox_oldest_unpublished_seconds") or 0) > 0
    async with committed_sessions.begin() as session:
        await session.execute(update(Outbox).values(sent_at=NOW))
    await housekeeping.measure(committed_sessions, metrics, SystemClock())
    assert read("outbox_unpublished") == 0
