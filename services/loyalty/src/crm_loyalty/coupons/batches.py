"""Batches: many coupons at once that belong to whoever has their codes, issued by a job."""

from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from crm_loyalty.coupons import series
from crm_loyalty.errors import CouponSuspended
from crm_shared import jobs
from crm_shared.database import Json, Sessions
from crm_shared.jobs import Job, RunningJob

ISSUE = "issue_coupons"
_CHUNK = 5000


async def start(session: AsyncSession, series_key: str, count: int, *, at: datetime) -> Job:
    """Have the worker issue so many; raises CouponSeriesNotFound, CouponSuspended."""
    terms = await series.get(session, series_key)
    if not terms.active:
        raise CouponSuspended
    return jobs.start(session, ISSUE, {"series": series_key, "count": count}, at=at)


async def get(session: AsyncSession, batch_id: UUID) -> Job:
    """The batch; raises JobNotFound."""
    return await jobs.get(session, batch_id, kind=ISSUE)


async def run(sessions: Sessions, job: RunningJob, *, key: bytes) -> Json:
    """Issue chunk after chunk, each with its progress: who takes over goes on behind the last one."""
    total = int(job.params["count"])
    done = int(job.checkpoint.get("done", 0))
    while done < total:
        async with sessions.begin() as session:
            some = min(_CHUNK, total - done)
            terms = await series.get(session, str(job.params["series"]))
            await job.progress(
                session,
                done=done + some,
                total=total,
                counts={"issued": done + some},
                checkpoint={"done": done + some},
            )
            await series.issue(session, terms, some, batch_id=job.id, key=key, at=job.clock.now())
        done += some
    return {"issued": done}
