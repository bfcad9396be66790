"""The life cycle over HTTP."""

from typing import Annotated
from uuid import UUID

from fastapi import Query, Response

from crm_profiles.customers import documents
from crm_profiles.errors import PeriodInvalid
from crm_profiles.routes.parameters import require_days
from crm_profiles.schemas.stages import (
    DwellTimesOut,
    ExitIn,
    ExitOut,
    ExitReasonsOut,
    FunnelOut,
    SpellOut,
    StagePolicyIn,
    StagePolicyOut,
    StagesOut,
)
from crm_profiles.stages import stage_reports, stages, staging
from crm_shared import jobs
from crm_shared.callers import MANAGERS, READERS, STAFF, Role
from crm_shared.customers import CustomerNotFound
from crm_shared.etags import IfMatchMissing, StaleVersion, etag
from crm_shared.fields import Day
from crm_shared.jobs import JobNotFound, JobOut
from crm_shared.web.problems import documented
from crm_shared.web.router import Router
from crm_shared.web.session import CurrentCaller, CurrentClock, IfMatch, Session, allow

Begin = Annotated[Day, Query(alias="from", description="first day, in UTC", examples=["1997-01-01"])]
End = Annotated[Day, Query(alias="to", description="the day after the last one", examples=["1998-07-01"])]

router = Router(tags=["life cycle"])


@router.get(
    "/v1/customers/{customer_id}/stages",
    response_model=StagesOut,
    dependencies=[allow(*READERS, Role.CUSTOMER, own="customer_id")],
    responses=documented(CustomerNotFound),
)
async def get_customer_stages(session: Session, response: Response, customer_id: UUID) -> StagesOut:
    """Read in which stage of the life cycle a customer is, every stage before, and why.

    Stages follow from what stands on the timeline, in business time: an old purchase that is told of late
    changes the past. Awareness: somebody is known. Interaction: they turned to us. Transaction: they bought.
    Maintenance: they bought again. Exit: they said so, or were silent for too long. Reactivation: they came
    back after that; their next purchase leads to maintenance.
    """
    current = await documents.current_id(session, customer_id)
    now = await stages.find(session, current)
    spells = await stages.list_spells(session, current)
    if now:
        response.headers["ETag"] = etag(now.version)
    return StagesOut(
        customer_id=current,
        stage=now.stage if now else None,
        since=now.since if now else None,
        silent_at=now.silent_at if now else None,
        version=now.version if now else 0,
        spells=[SpellOut.model_validate(spell) for spell in spells],
    )


@router.post(
    "/v1/customers/{customer_id}/exit",
    status_code=201,
    response_model=ExitOut,
    dependencies=[allow(*STAFF)],
    responses=documented(CustomerNotFound),
)
async def record_exit(session: Session, clock: CurrentClock, customer_id: UUID, body: ExitIn) -> ExitOut:
    """Record that a customer says that they leave, and why; whatever they do later brings them back."""
    return ExitOut(entry_id=await staging.leave(session, customer_id, body, at=clock.now()))


@router.get("/v1/stages/policy", response_model=StagePolicyOut, dependencies=[allow(*READERS)])
async def get_stage_policy(session: Session, response: Response) -> StagePolicyOut:
    """Read after which silences customers count as gone."""
    row = await stages.get_policy(session)
    response.headers["ETag"] = etag(row.version)
    return StagePolicyOut.of(row)


@router.put(
    "/v1/stages/policy",
    status_code=202,
    response_model=JobOut,
    dependencies=[allow(*MANAGERS)],
    responses=documented(StaleVersion, IfMatchMissing),
)
async def replace_stage_policy(
    session: Session,
    clock: CurrentClock,
    caller: CurrentCaller,
    response: Response,
    body: StagePolicyIn,
    if_match: IfMatch = None,
) -> JobOut:
    """Put other silences in force, as a new version, and find everybody's stages anew in a job.

    Stays that began under an earlier policy are judged by the new one as well.
    """
    _, job = await stages.set_policy(session, body, if_match, at=clock.now(), by=caller.subject)
    response.headers["Location"] = f"/v1/stages/jobs/{job.id}"
    return JobOut.of(job)


@router.get(
    "/v1/stages/jobs/{job_id}",
    response_model=JobOut,
    dependencies=[allow(*READERS)],
    responses=documented(JobNotFound),
)
async def get_stage_job(session: Session, job_id: UUID) -> JobOut:
    """See how far it is with everybody's stages."""
    return JobOut.of(await jobs.get(session, job_id, kind=stages.RESTAGE))


@router.get(
    "/v1/reports/funnel",
    response_model=FunnelOut,
    dependencies=[allow(*READERS)],
    responses=documented(PeriodInvalid),
)
async def report_funnel(session: Session, begin: Begin, end: End) -> FunnelOut:
    """Report how far those who became known in a period have come."""
    require_days(begin, end)
    return await stage_reports.funnel(session, begin, end)


@router.get(
    "/v1/reports/dwell-time",
    response_model=DwellTimesOut,
    dependencies=[allow(*READERS)],
    responses=documented(PeriodInvalid),
)
async def report_dwell_times(session: Session, begin: Begin, end: End) -> DwellTimesOut:
    """Report how long stays in each stage lasted that ended in a period."""
    require_days(begin, end)
    return await stage_reports.dwell_times(session, begin, end)


@router.get(
    "/v1/reports/exit-reasons",
    response_model=ExitReasonsOut,
    dependencies=[allow(*READERS)],
    responses=documented(PeriodInvalid),
)
async def report_exit_reasons(session: Session, begin: Begin, end: End) -> ExitReasonsOut:
    """Report why customers left who left in a period."""
    require_days(begin, end)
    return await stage_reports.exit_reasons(session, begin, end)
