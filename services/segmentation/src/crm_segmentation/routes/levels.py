"""Levels over HTTP: how many customers have which, by which thresholds, as of which day."""

from uuid import UUID

from fastapi import Response

from crm_segmentation import basis, rfm
from crm_segmentation.levelling import RELEVEL
from crm_segmentation.schemas import BusinessDayIn, BusinessDayOut, LevelsOut, ThresholdsIn, ThresholdsOut
from crm_shared import jobs
from crm_shared.callers import MANAGERS, READERS
from crm_shared.etags import IfMatchMissing, StaleVersion, etag
from crm_shared.jobs import Job, JobNotFound, JobOut
from crm_shared.web.problems import documented
from crm_shared.web.router import Router
from crm_shared.web.session import CurrentCaller, CurrentClock, IfMatch, Session, allow

router = Router(tags=["levels"])


@router.get("/v1/levels", response_model=LevelsOut, dependencies=[allow(*READERS)])
async def count_levels(session: Session, clock: CurrentClock) -> LevelsOut:
    """Count the customers of each level.

    Every customer has exactly one: the highest whose condition holds on the business day. *VIP*: the monetary
    value reaches the VIP threshold and the last purchase is recent enough. *Important*: the monetary value
    reaches the threshold of importance. *Ordinary*: enough purchases, or the last one recent enough.
    *Potential*: everybody else, those who never bought included. Purchases after the business day do not
    count.
    """
    return await rfm.count_levels(session, at=clock.now())


@router.get("/v1/levels/thresholds", response_model=ThresholdsOut, dependencies=[allow(*READERS)])
async def get_level_thresholds(session: Session, response: Response) -> ThresholdsOut:
    """Read the thresholds in force."""
    row = await basis.get_thresholds(session, (await basis.get(session)).thresholds_version)
    response.headers["ETag"] = etag(row.version)
    return ThresholdsOut.of(row)


@router.put(
    "/v1/levels/thresholds",
    status_code=202,
    response_model=JobOut,
    dependencies=[allow(*MANAGERS)],
    responses=documented(StaleVersion, IfMatchMissing),
)
async def replace_level_thresholds(
    session: Session,
    clock: CurrentClock,
    caller: CurrentCaller,
    response: Response,
    body: ThresholdsIn,
    if_match: IfMatch = None,
) -> JobOut:
    """Put new thresholds in force, as a new version, and level everybody by them in a job."""
    await basis.set_thresholds(session, body, if_match, at=clock.now(), by=caller.subject)
    return await _relevel(session, clock, response)


@router.get("/v1/levels/business-day", response_model=BusinessDayOut, dependencies=[allow(*READERS)])
async def get_business_day(session: Session, clock: CurrentClock, response: Response) -> BusinessDayOut:
    """Read as of which day levels are decided."""
    row = await basis.get(session)
    response.headers["ETag"] = etag(row.version)
    return BusinessDayOut(
        business_day=row.business_day,
        time_zone=row.time_zone,
        in_force=basis.business_day(row, clock.now()),
        version=row.version,
    )


@router.put(
    "/v1/levels/business-day",
    status_code=202,
    response_model=JobOut,
    dependencies=[allow(*MANAGERS)],
    responses=documented(StaleVersion),
)
async def set_business_day(
    session: Session, clock: CurrentClock, response: Response, body: BusinessDayIn, if_match: IfMatch = None
) -> JobOut:
    """Decide levels as of a day, or of the clock's day when it is null, and level everybody anew in a job."""
    await basis.set_business_day(session, body, if_match)
    return await _relevel(session, clock, response)


@router.get(
    "/v1/levels/jobs/{job_id}",
    response_model=JobOut,
    dependencies=[allow(*READERS)],
    responses=documented(JobNotFound),
)
async def get_level_job(session: Session, job_id: UUID) -> JobOut:
    """See how far the levelling of everybody is."""
    return JobOut.of(await jobs.get(session, job_id, kind=RELEVEL))


async def _relevel(session: Session, clock: CurrentClock, response: Response) -> JobOut:
    job: Job = jobs.start(session, RELEVEL, {}, at=clock.now())
    await session.flush()
    response.headers["Location"] = f"/v1/levels/jobs/{job.id}"
    return JobOut.of(job)
