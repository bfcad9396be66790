"""Long work shows how far it is, goes on where a dead worker left it, and ends in a result or a problem."""

import asyncio
from datetime import timedelta

import pytest

from crm_shared import jobs
from crm_shared.database import Json, Sessions
from crm_shared.jobs import (
    LEASE,
    MAX_ATTEMPTS,
    MAX_DEATHS,
    Job,
    JobNotFound,
    JobOut,
    Jobs,
    JobState,
    LeaseLost,
    RunningJob,
)
from crm_shared.problems import Conflict
from crm_shared.testing import FrozenClock


class Killed(BaseException):
    """Ends a worker as a signal would: nobody catches it."""


class NothingToDo(Conflict): ...


async def queued(sessions: Sessions, clock: FrozenClock, **params: object) -> JobOut:
    async with sessions.begin() as session:
        return JobOut.of(jobs.start(session, "count", params, at=clock.now()))


async def current(sessions: Sessions, job: JobOut) -> JobOut:
    async with sessions() as session:
        return JobOut.of(await jobs.get(session, job.id, kind="count"))


async def test_a_job_goes_on_where_a_killed_worker_left_it(sessions: Sessions, clock: FrozenClock) -> None:
    steps: list[int] = []
    work = Jobs()

    @work.on("count")
    async def count(sessions: Sessions, job: RunningJob) -> Json:
        for step in range(job.checkpoint.get("next", 0), 5):
            if step == 3 and not steps[3:]:
                steps.append(-1)
                raise Killed
            async with sessions.begin() as session:
                steps.append(step)
                await job.progress(session, done=step + 1, total=5, checkpoint={"next": step + 1})
        return {"steps": 5}

    job = await queued(sessions, clock)
    with pytest.raises(Killed):
        await jobs.run(sessions, work, clock)
    assert (await current(sessions, job)).state is JobState.RUNNING
    assert not await jobs.run(sessions, work, clock), "its lease has not run out yet"

    clock.advance(LEASE)
    assert await jobs.run(sessions, work, clock)
    assert steps == [0, 1, 2, -1, 3, 4]
    ended = await current(sessions, job)
    assert ended.state is JobState.SUCCEEDED
    assert ended.progress.done == ended.progress.total == 5
    assert ended.result == {"steps": 5}


async def test_who_lost_the_lease_can_change_nothing_more(sessions: Sessions, clock: FrozenClock) -> None:
    work = Jobs()
    held: list[RunningJob] = []

    @work.on("count")
    async def hold(sessions: Sessions, job: RunningJob) -> Json:
        held.append(job)
        if len(held) == 1:
            raise Killed
        return {}

    await queued(sessions, clock)
    with pytest.raises(Killed):
        await jobs.run(sessions, work, clock)
    clock.advance(LEASE + timedelta(seconds=1))
    await jobs.run(sessions, work, clock)
    async with sessions() as session:
        with pytest.raises(LeaseLost):
            await held[0].progress(session, done=99)


async def test_a_problem_ends_the_job_and_shows_in_it(sessions: Sessions, clock: FrozenClock) -> None:
    work = Jobs()

    @work.on("count")
    async def refuse(sessions: Sessions, job: RunningJob) -> Json:
        raise NothingToDo("There is nobody to count.")

    job = await queued(sessions, clock)
    await jobs.run(sessions, work, clock)
    ended = await current(sessions, job)
    assert ended.state is JobState.FAILED
    assert ended.problem is not None
    assert ended.problem["detail"] == "There is nobody to count."


async def test_a_fault_is_tried_again_and_given_up_in_the_end(sessions: Sessions, clock: FrozenClock) -> None:
    work = Jobs()
    attempts: list[int] = []

    @work.on("count")
    async def stumble(sessions: Sessions, job: RunningJob) -> Json:
        attempts.append(1)
        raise ZeroDivisionError

    job = await queued(sessions, clock)
    for _ in range(MAX_ATTEMPTS + 2):
        await jobs.run(sessions, work, clock)
        clock.advance(LEASE)
    assert len(attempts) == MAX_ATTEMPTS
    assert (await current(sessions, job)).state is JobState.FAILED


async def test_a_job_that_kills_every_worker_is_given_up(sessions: Sessions, clock: FrozenClock) -> None:
    work = Jobs()

    @work.on("count")
    async def die(sessions: Sessions, job: RunningJob) -> Json:
        raise Killed

    job = await queued(sessions, clock)
    for _ in range(MAX_DEATHS):
        with pytest.raises(Killed):
            await jobs.run(sessions, work, clock)
        clock.advance(LEASE)
    assert await jobs.run(sessions, work, clock)
    ended = await current(sessions, job)
    assert ended.state is JobState.FAILED
    assert ended.problem is not None
    assert not await jobs.run(sessions, work, clock)


async def test_workers_may_die_as_often_as_they_like_if_the_job_gets_on(
    sessions: Sessions, clock: FrozenClock
) -> None:
    work = Jobs()
    steps = MAX_DEATHS + 5

    @work.on("count")
    async def count(sessions: Sessions, job: RunningJob) -> Json:
        done = job.checkpoint.get("done", 0)
        if done == steps:
            return {}
        async with sessions.begin() as session:
            await job.progress(session, done=done + 1, checkpoint={"done": done + 1})
        raise Killed

    job = await queued(sessions, clock)
    for _ in range(steps):
        with pytest.raises(Killed):
            await jobs.run(sessions, work, clock)
        clock.advance(LEASE)
    assert await jobs.run(sessions, work, clock)
    assert (await current(sessions, job)).state is JobState.SUCCEEDED


async def test_a_job_of_another_kind_is_not_found(sessions: Sessions, clock: FrozenClock) -> None:
    job = await queued(sessions, clock)
    async with sessions() as session:
        with pytest.raises(JobNotFound):
            await jobs.get(session, job.id, kind="import")


async def test_who_does_a_job_that_is_to_start_over_can_keep_nothing(
    sessions: Sessions, clock: FrozenClock
) -> None:
    kept: list[str] = []
    work = Jobs()

    @work.on("count")
    async def count(sessions: Sessions, job: RunningJob) -> Json:
        kept.append(str(job.checkpoint.get("step", "from the beginning")))
        async with sessions.begin() as session:
            await job.progress(session, done=1, counts={"done": 1}, checkpoint={"step": 1})
        if len(kept) == 1:
            async with sessions.begin() as session:
                await jobs.start_over(session, [job.id])
        async with sessions.begin() as session:
            await job.progress(session, done=2)
        return {"done": 2}

    job = await queued(sessions, clock)
    assert await jobs.run(sessions, work, clock)
    over = await current(sessions, job)
    assert (over.state, over.progress.done, over.counts) == (JobState.QUEUED, 0, {})
    assert await jobs.run(sessions, work, clock)
    assert kept == ["from the beginning"] * 2
    assert (await current(sessions, job)).state is JobState.SUCCEEDED
    async with sessions.begin() as session:
        await jobs.start_over(session, [job.id])
    assert (await current(sessions, job)).state is JobState.SUCCEEDED


async def test_a_worker_that_lives_keeps_its_job_however_long_it_says_nothing(
    committed_sessions: Sessions, clock: FrozenClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "RENEW_EVERY", timedelta(milliseconds=20))
    work = Jobs()
    begun = 0

    @work.on("count")
    async def count(sessions: Sessions, job: RunningJob) -> Json:
        nonlocal begun
        begun += 1
        clock.advance(LEASE)
        async with asyncio.timeout(20):
            while await ended_lease(sessions, job):  # noqa: ASYNC110  (by another task)
                await asyncio.sleep(0.02)
        assert not await jobs.run(sessions, work, clock), "nobody else takes it up"
        return {}

    job = await queued(committed_sessions, clock)
    assert await jobs.run(committed_sessions, work, clock)
    assert (begun, (await current(committed_sessions, job)).state) == (1, JobState.SUCCEEDED)


async def ended_lease(sessions: Sessions, job: RunningJob) -> bool:
    async with sessions() as session:
        until = (await session.get_one(Job, job.id)).lease_until
    return until is None or until <= job.clock.now()
