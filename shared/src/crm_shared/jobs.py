"""Jobs: long work with a lease, a heartbeat and progress, taken over where a dead worker left it."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, JsonValue
from sqlalchemy import Index, Uuid, or_, select, text, update
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from crm_shared.clock import Clock
from crm_shared.database import Json, Sessions, SharedBase, enum_column, in_words, unavailable
from crm_shared.ids import uuid7
from crm_shared.problems import Conflict, NotFound, Problem

log = logging.getLogger(__name__)

LEASE = timedelta(seconds=30)
RENEW_EVERY = LEASE / 3
MAX_ATTEMPTS = 5
MAX_DEATHS = 20
"""So often it is taken up without getting on: what ends every worker that does it must not do so for ever."""


class JobState(StrEnum):
    """How far a job is."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


OPEN = (JobState.QUEUED, JobState.RUNNING)
"""The states of a job that has not ended."""


class JobNotFound(NotFound): ...


class JobEnded(Conflict):
    """There is nothing left to cancel."""


class LeaseLost(Exception):
    """Another worker has taken the job over: whoever gets this must stop and undo."""


class Job(SharedBase):
    """One piece of long work and how far it is."""

    __tablename__ = "jobs"
    __table_args__ = (
        Index("ix_jobs_open", "created_at", postgresql_where=text("state IN ('queued', 'running')")),
        Index("ix_jobs_customer_ids", "customer_ids", postgresql_using="gin"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    kind: Mapped[str]
    params: Mapped[Json]
    state: Mapped[JobState] = mapped_column(enum_column(JobState), default=JobState.QUEUED)
    done: Mapped[int] = mapped_column(default=0)
    total: Mapped[int | None]
    counts: Mapped[Json] = mapped_column(default=dict)
    checkpoint: Mapped[Json] = mapped_column(default=dict)
    """Where to go on after a takeover; written in the transaction of the work up to there."""
    result: Mapped[Json | None]
    problem: Mapped[Json | None]
    attempts: Mapped[int] = mapped_column(default=0)
    lease: Mapped[UUID | None]
    lease_until: Mapped[datetime | None]
    heartbeat_at: Mapped[datetime | None]
    created_at: Mapped[datetime]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    actor: Mapped[str | None]
    customer_ids: Mapped[list[UUID]] = mapped_column(ARRAY(Uuid))
    """Whom the job is about: it goes when one of them is erased."""


class ProgressOut(BaseModel):
    """How much is done; `total` is absent while it is not known."""

    done: int
    total: int | None = None


class JobOut(BaseModel):
    """Long work in the one shape that all have."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    kind: str
    state: JobState
    progress: ProgressOut
    counts: dict[str, int] = Field(description="what has become of the items so far")
    result: dict[str, JsonValue] | None = None
    problem: dict[str, JsonValue] | None = Field(
        default=None, description="why it failed, as a problem's members"
    )
    created_at: datetime
    started_at: datetime | None = None
    heartbeat_at: datetime | None = None
    finished_at: datetime | None = None

    @classmethod
    def of(cls, job: Job) -> "JobOut":
        return cls(
            progress=ProgressOut(done=job.done, total=job.total),
            **{name: getattr(job, name) for name in cls.model_fields if name != "progress"},
        )


@dataclass
class RunningJob:
    """What the function that does a job works with: its parameters, where to go on, and how to say so."""

    id: UUID
    lease: UUID
    params: Json
    checkpoint: Json
    clock: Clock
    actor: str | None = None
    """Who started it."""

    async def progress(
        self,
        session: AsyncSession,
        *,
        done: int,
        total: int | None = None,
        counts: dict[str, int] | None = None,
        checkpoint: Json | None = None,
    ) -> None:
        """Say how far it is, in the transaction of that work, and keep the lease; raises LeaseLost."""
        now = self.clock.now()
        values: Json = {"done": done, "heartbeat_at": now, "lease_until": now + LEASE}
        values |= {"total": total} if total is not None else {}
        values |= {"counts": counts} if counts is not None else {}
        values |= {"checkpoint": checkpoint, "attempts": 0} if checkpoint is not None else {}
        kept = await session.scalar(
            update(Job).where(Job.id == self.id, Job.lease == self.lease).values(values).returning(Job.id)
        )
        if kept is None:
            raise LeaseLost(str(self.id))


JobHandler = Callable[[Sessions, RunningJob], Awaitable[Json]]
"""Does the job in as many transactions as it likes, each with its `progress`, and returns the result."""


class Jobs:
    """Which function does which kind of job: filled by `@jobs.on(kind)`, handed to the worker."""

    def __init__(self) -> None:
        self._handlers: dict[str, JobHandler] = {}

    def on(self, kind: str) -> Callable[[JobHandler], JobHandler]:
        def register(handle: JobHandler) -> JobHandler:
            if kind in self._handlers:
                raise ValueError(f"{kind} already has a handler")
            self._handlers[kind] = handle
            return handle

        return register

    @property
    def kinds(self) -> list[str]:
        return sorted(self._handlers)

    def __getitem__(self, kind: str) -> JobHandler:
        return self._handlers[kind]


def start(
    session: AsyncSession, kind: str, params: Json, *, about: Collection[UUID] = (), at: datetime
) -> Job:
    """Queue a job in the caller's transaction; the worker takes it up once that commits.

    `about` are the customers of whom its parameters or its result tell something.
    """
    job = Job(
        id=uuid7(),
        kind=kind,
        params=params,
        state=JobState.QUEUED,
        done=0,
        counts={},
        checkpoint={},
        attempts=0,
        created_at=at,
        actor=session.info.get("actor"),
        customer_ids=sorted(about),
    )
    session.add(job)
    return job


async def get(session: AsyncSession, job_id: UUID, *, kind: str) -> Job:
    job = await session.get(Job, job_id)
    if job is None or job.kind != kind:
        raise JobNotFound(job_id=str(job_id))
    return job


async def cancel(session: AsyncSession, job_id: UUID, *, at: datetime) -> Job:
    """End the job where it is; whoever does it loses the lease, and with it what is not yet committed.

    Raises JobNotFound, JobEnded.
    """
    job = await session.get(Job, job_id, with_for_update=True, populate_existing=True)
    if job is None:
        raise JobNotFound(job_id=str(job_id))
    if job.state not in OPEN:
        raise JobEnded(f"The job has {job.state}.", job_id=str(job_id))
    job.state, job.lease, job.lease_until, job.finished_at = JobState.CANCELLED, None, None, at
    return job


async def start_over(session: AsyncSession, job_ids: Collection[UUID]) -> None:
    """Have those of the jobs that have not ended done from the beginning; who does one loses the lease."""
    beginning = {"done": 0, "counts": {}, "checkpoint": {}, "attempts": 0, "lease": None, "lease_until": None}
    await session.execute(
        update(Job)
        .where(Job.id.in_(job_ids), Job.state.in_(OPEN))
        .values(beginning | {"state": JobState.QUEUED})
        .execution_options(synchronize_session=False)
    )


async def run(sessions: Sessions, jobs: Jobs, clock: Clock) -> bool:
    """Take up the oldest open job, or one whose worker has died, and do it to its end; False: there was none.

    A problem fails the job and shows in it; any other fault is tried again, by whoever comes next, up to five
    times from one checkpoint. Trouble of the database is raised and leaves the job to be taken over. A job
    whose workers die, or meet such trouble, again and again is given up, too.
    """
    claimed = await _claim(sessions, jobs.kinds, clock) if jobs.kinds else None
    if claimed is None:
        return False
    kind, attempts, job = claimed
    if attempts > MAX_DEATHS:
        await _give_up(sessions, job, f"It was taken up {MAX_DEATHS} times and never ended.")
        return True
    try:
        result = await _held(sessions, job, jobs[kind])
    except LeaseLost:
        log.warning("job was taken over by another worker", extra={"job_id": str(job.id), "kind": kind})
    except Problem as problem:
        await _settle(
            sessions,
            job,
            state=JobState.FAILED,
            problem=problem.body("", instance="", request_id=str(job.id)),
        )
    except Exception as error:
        if unavailable(error):
            raise
        log.error(
            "job failed", extra={"job_id": str(job.id), "kind": kind, "attempts": attempts}, exc_info=error
        )
        if attempts >= MAX_ATTEMPTS:
            await _give_up(sessions, job, f"It failed {attempts} times; the log says why.")
    else:
        await _settle(sessions, job, state=JobState.SUCCEEDED, result=result)
    return True


async def _held(sessions: Sessions, job: RunningJob, handle: JobHandler) -> Json:
    """Do the job and keep its lease meanwhile, however long it takes from one `progress` to the next.
    Reading a large file takes longer than a lease: others would begin the same again and again.
    """
    ended = asyncio.Event()
    renewing = asyncio.create_task(_renew(sessions, job, ended))
    try:
        return await handle(sessions, job)
    finally:
        ended.set()
        await asyncio.gather(renewing, return_exceptions=True)


async def _renew(sessions: Sessions, job: RunningJob, ended: asyncio.Event) -> None:
    while True:
        with suppress(TimeoutError):
            await asyncio.wait_for(ended.wait(), RENEW_EVERY.total_seconds())
            return
        now = job.clock.now()
        try:
            async with sessions.begin() as session:
                await session.execute(
                    update(Job)
                    .where(Job.id == job.id, Job.lease == job.lease)
                    .values(heartbeat_at=now, lease_until=now + LEASE)
                )
        except Exception as error:  # whoever does the job finds out itself whether it still has the lease
            log.warning("lease was not renewed", extra={"job_id": str(job.id), "error": in_words(error)})


async def _claim(sessions: Sessions, kinds: list[str], clock: Clock) -> tuple[str, int, RunningJob] | None:
    now = clock.now()
    async with sessions.begin() as session:
        row = await session.scalar(
            select(Job)
            .where(
                Job.kind.in_(kinds),
                or_(Job.state == JobState.QUEUED, (Job.state == JobState.RUNNING) & (Job.lease_until <= now)),
            )
            .order_by(Job.created_at)
            .limit(1)
            .with_for_update(skip_locked=True)
        )
        if row is None:
            return None
        row.state, row.lease = JobState.RUNNING, uuid7()
        row.lease_until, row.heartbeat_at = now + LEASE, now
        row.started_at = row.started_at or now
        row.attempts += 1
        return (
            row.kind,
            row.attempts,
            RunningJob(row.id, row.lease, row.params, row.checkpoint, clock, row.actor),
        )


async def _give_up(sessions: Sessions, job: RunningJob, detail: str) -> None:
    problem: Json = {"title": "Internal error", "detail": detail}
    await _settle(sessions, job, state=JobState.FAILED, problem=problem)


async def _settle(
    sessions: Sessions,
    job: RunningJob,
    *,
    state: JobState,
    result: Json | None = None,
    problem: Json | None = None,
) -> None:
    """The end of a job, unless somebody else holds it by now."""
    async with sessions.begin() as session:
        await session.execute(
            update(Job)
            .where(Job.id == job.id, Job.lease == job.lease)
            .values(state=state, result=result, problem=problem, lease=None, finished_at=job.clock.now())
        )
