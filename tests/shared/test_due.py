"""Due work happens at its instant, once, in order, and a failure disturbs nothing else."""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from crm_shared import due
from crm_shared.database import Sessions
from crm_shared.due import Due, DueRow, DueWork
from crm_shared.ids import uuid7
from crm_shared.inbox import Inbox
from crm_shared.testing import FrozenClock

MINUTE = timedelta(minutes=1)


def recording(work: DueWork, kind: str, done: list[UUID], poison: UUID | None = None) -> None:
    @work.on(kind)
    async def record(session: AsyncSession, due: Sequence[Due], *, at: datetime) -> None:
        for item in due:
            if item.ref == poison:
                raise ValueError("this one cannot be done")
            assert item.at <= at
        done.extend(item.ref for item in due)


async def plan(sessions: Sessions, kind: str, instants: dict[UUID, datetime]) -> None:
    async with sessions.begin() as session:
        await due.schedule(session, kind, instants)


async def test_work_is_done_at_its_instant_and_not_before(sessions: Sessions, clock: FrozenClock) -> None:
    done: list[UUID] = []
    work = DueWork()
    recording(work, "test", done)
    early, late = uuid7(), uuid7()
    await plan(sessions, "test", {late: clock.at + 2 * MINUTE, early: clock.at + MINUTE})

    assert await due.run(sessions, work, clock) == 0
    clock.advance(MINUTE)
    assert await due.run(sessions, work, clock) == 1
    assert done == [early]
    clock.advance(MINUTE)
    await due.run(sessions, work, clock)
    assert done == [early, late]
    assert await due.run(sessions, work, clock) == 0


async def test_what_is_due_is_done_oldest_first(sessions: Sessions, clock: FrozenClock) -> None:
    done: list[UUID] = []
    work = DueWork()
    recording(work, "test", done)
    refs = [uuid7() for _ in range(10)]
    await plan(sessions, "test", {ref: clock.at - index * MINUTE for index, ref in enumerate(refs)})
    while await due.run(sessions, work, clock, limit=3):
        pass
    assert done == list(reversed(refs))


async def test_a_failure_is_put_off_alone_and_stays_visible(sessions: Sessions, clock: FrozenClock) -> None:
    done: list[UUID] = []
    poison = uuid7()
    work = DueWork()
    recording(work, "test", done, poison)
    others = [uuid7() for _ in range(3)]
    await plan(sessions, "test", dict.fromkeys([poison, *others], clock.at))

    await due.run(sessions, work, clock)

    assert sorted(done) == sorted(others)
    async with sessions() as session:
        (left,) = await session.scalars(select(DueRow))
    assert left.ref == poison
    assert left.attempts == 1
    assert left.at == clock.at
    assert left.try_at > clock.at
    assert "cannot be done" in (left.error or "")


async def test_planning_again_moves_the_instant_and_cancelling_takes_it_away(
    sessions: Sessions, clock: FrozenClock
) -> None:
    done: list[UUID] = []
    work = DueWork()
    recording(work, "test", done)
    moved, cancelled = uuid7(), uuid7()
    await plan(sessions, "test", {moved: clock.at, cancelled: clock.at})
    await plan(sessions, "test", {moved: clock.at + MINUTE})
    async with sessions.begin() as session:
        await due.cancel(session, "test", [cancelled])
    assert await due.run(sessions, work, clock) == 0
    clock.advance(MINUTE)
    await due.run(sessions, work, clock)
    assert done == [moved]


async def test_work_may_plan_itself_anew(sessions: Sessions, clock: FrozenClock) -> None:
    work = DueWork()
    done: list[datetime] = []

    @work.on("daily")
    async def again(session: AsyncSession, items: Sequence[Due], *, at: datetime) -> None:
        done.append(at)
        await due.schedule(session, "daily", {item.ref: item.at + MINUTE for item in items})

    await plan(sessions, "daily", {uuid7(): clock.at})
    await due.run(sessions, work, clock)
    clock.advance(MINUTE)
    await due.run(sessions, work, clock)
    assert done == [clock.at - MINUTE, clock.at]


async def test_two_workers_never_do_the_same_thing_twice(
    committed_sessions: Sessions, clock: FrozenClock
) -> None:
    sessions = committed_sessions
    work = DueWork()

    @work.on("test")
    async def note(session: AsyncSession, items: Sequence[Due], *, at: datetime) -> None:
        # The inbox's primary key refuses a second effect for the same ref.
        session.add_all(
            Inbox(consumer="due", source="test", event_id=item.ref, received_at=at) for item in items
        )

    await plan(sessions, "test", {uuid7(): clock.at for _ in range(200)})

    async def worker() -> int:
        total = 0
        while done := await due.run(sessions, work, clock, limit=7):
            total += done
        return total

    assert sum(await asyncio.gather(*(worker() for _ in range(4)))) == 200
    async with sessions() as session:
        assert len(list(await session.scalars(select(Inbox)))) == 200


async def test_who_plans_anew_does_not_wait_for_the_worker_that_is_at_it(
    committed_sessions: Sessions, clock: FrozenClock
) -> None:
    sessions = committed_sessions
    work = DueWork()
    claimed, free, new = uuid7(), uuid7(), uuid7()

    @work.on("test")
    async def meet_somebody(session: AsyncSession, items: Sequence[Due], *, at: datetime) -> None:
        async with asyncio.timeout(5), sessions.begin() as other:
            await due.reschedule(other, "test", dict.fromkeys([claimed, free, new], at + MINUTE))

    await plan(sessions, "test", {claimed: clock.at, free: clock.at + 2 * MINUTE})

    assert await due.run(sessions, work, clock) == 1

    async with sessions() as session:
        left = {row.ref: row.at for row in await session.scalars(select(DueRow))}
    assert left == dict.fromkeys([free, new], clock.at + MINUTE), "what was claimed is the worker's"
