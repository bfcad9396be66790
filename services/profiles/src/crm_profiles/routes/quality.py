"""The quality of data over HTTP."""

from typing import Annotated
from uuid import UUID

from fastapi import Query, Response

from crm_profiles.customers import contact_points
from crm_profiles.errors import (
    ContactPointNotFound,
    PersonalDataHidden,
    StillOnFile,
    TaskDone,
    TaskNotFound,
)
from crm_profiles.models.customers import ContactKind
from crm_profiles.models.quality import (
    QualityPolicy,
    QualityScore,
    Subject,
    TaskReason,
    Verification,
    VerificationTask,
)
from crm_profiles.quality import quality, quality_report, verifying
from crm_profiles.routes.answers import check_sees_personal_data
from crm_profiles.routes.parameters import ContactValue
from crm_profiles.rules import accuracy
from crm_profiles.rules.accuracy import Held
from crm_profiles.schemas.quality import (
    CompletionIn,
    HeldOut,
    QualityOut,
    QualityPartOut,
    QualityPolicyIn,
    QualityPolicyOut,
    QualityReportOut,
    StaleOut,
    VerificationIn,
    VerificationOut,
    VerificationTaskOut,
    WorstOut,
)
from crm_shared import jobs
from crm_shared.callers import MANAGERS, READERS, STAFF, Caller
from crm_shared.customers import CustomerNotFound
from crm_shared.etags import IfMatchMissing, StaleVersion, etag
from crm_shared.jobs import JobNotFound, JobOut
from crm_shared.pages import InvalidCursor, Listing, Page
from crm_shared.web.problems import documented
from crm_shared.web.router import Router
from crm_shared.web.session import (
    CurrentCaller,
    CurrentClock,
    IfMatch,
    Paging,
    Session,
    allow,
)

router = Router(tags=["quality"])


@router.get(
    "/v1/customers/{customer_id}/quality",
    response_model=QualityOut,
    dependencies=[allow(*READERS)],
    responses=documented(CustomerNotFound),
)
async def get_customer_quality(
    session: Session, clock: CurrentClock, caller: CurrentCaller, customer_id: UUID
) -> QualityOut:
    """Read how complete, valid and fresh a customer's data are at this moment, and what would better them."""
    current, rules, found = await quality.assess_one(session, customer_id, at=clock.now())
    return QualityOut(
        customer_id=current,
        definition=accuracy.DEFINITION,
        policy_version=rules.version,
        score=found.score,
        parts=[
            QualityPartOut(
                part=part.name,
                weight=part.weight,
                numerator=part.numerator,
                denominator=part.denominator,
                share=None if part.share is None else round(part.share, 4),
            )
            for part in found.parts
        ],
        missing=list(found.missing),
        invalid=[HeldOut(subject=Subject(h.subject), value=_value(h, caller)) for h in found.invalid],
        stale=[
            StaleOut(
                subject=Subject(held.subject),
                value=_value(held, caller),
                known_at=held.known_at,
                stale_since=held.stale_at(rules),
            )
            for held in found.stale
        ],
        next_step=found.next_step,
    )


@router.get("/v1/quality", response_model=QualityReportOut, dependencies=[allow(*READERS)])
async def report_quality(session: Session) -> QualityReportOut:
    """Report how complete, valid and fresh the data of all customers are."""
    return await quality_report.report(session)


@router.get(
    "/v1/quality/customers",
    response_model=Page[WorstOut],
    dependencies=[allow(*READERS)],
    responses=documented(InvalidCursor),
)
async def list_worst_customers(session: Session, page: Paging) -> Listing[QualityScore]:
    """List customers by the quality of their data, the worst first."""
    return await quality.list_worst(session, page=page)


@router.get("/v1/quality/policy", response_model=QualityPolicyOut, dependencies=[allow(*READERS)])
async def get_quality_policy(session: Session, response: Response) -> QualityPolicyOut:
    """Read by what the quality of data is judged."""
    found = await quality.policy(session)
    response.headers["ETag"] = etag(found.version)
    return _policy(found)


@router.put(
    "/v1/quality/policy",
    response_model=QualityPolicyOut,
    dependencies=[allow(*MANAGERS)],
    responses=documented(StaleVersion, IfMatchMissing),
)
async def put_quality_policy(
    session: Session,
    clock: CurrentClock,
    caller: CurrentCaller,
    response: Response,
    body: QualityPolicyIn,
    if_match: IfMatch = None,
) -> QualityPolicyOut:
    """Judge by something else from now on; a job, which Link names, assesses everybody anew."""
    found, job = await quality.put_policy(session, body, if_match=if_match, at=clock.now(), by=caller.subject)
    response.headers["ETag"] = etag(found.version)
    response.headers["Link"] = f'</v1/quality/jobs/{job.id}>; rel="monitor"'
    return _policy(found)


@router.get(
    "/v1/quality/jobs/{job_id}",
    response_model=JobOut,
    dependencies=[allow(*READERS)],
    responses=documented(JobNotFound),
)
async def get_quality_job(session: Session, job_id: UUID) -> JobOut:
    """See how far it is with assessing everybody."""
    return JobOut.of(await jobs.get(session, job_id, kind=quality.ASSESS))


@router.get(
    "/v1/quality/tasks",
    response_model=Page[VerificationTaskOut],
    dependencies=[allow(*STAFF)],
    responses=documented(InvalidCursor),
)
async def list_verification_tasks(
    session: Session,
    page: Paging,
    caller: CurrentCaller,
    done: Annotated[bool, Query(description="those that are completed instead")] = False,
    reason: TaskReason | None = None,
    subject: Subject | None = None,
) -> Listing[VerificationTaskOut]:
    """List what is to be verified, the oldest first: stale, or by which a message did not arrive."""
    found = await verifying.list_(session, done=done, reason=reason, subject=subject, page=page)
    return found.map(lambda task: _task(task, caller))


@router.post(
    "/v1/quality/tasks/{task_id}/complete",
    response_model=VerificationTaskOut,
    dependencies=[allow(*STAFF)],
    responses=documented(TaskNotFound, TaskDone, StillOnFile, StaleVersion),
)
async def complete_verification_task(
    session: Session,
    clock: CurrentClock,
    caller: CurrentCaller,
    response: Response,
    task_id: UUID,
    body: CompletionIn,
    if_match: IfMatch = None,
) -> VerificationTaskOut:
    """Say what verifying came to: what is confirmed is fresh again, what is invalid counts as such."""
    at = clock.now()
    done = await verifying.complete(
        session, task_id, body.outcome, if_match=if_match, at=at, by=caller.subject
    )
    await quality.assess(session, [done.customer_id], at=at)
    response.headers["ETag"] = etag(done.version)
    return _task(done, caller)


@router.post(
    "/v1/customers/{customer_id}/contact-points/{kind}/{value}/verify",
    response_model=VerificationOut,
    dependencies=[allow(*STAFF)],
    responses=documented(CustomerNotFound, ContactPointNotFound, PersonalDataHidden),
)
async def verify_contact_point(
    session: Session,
    clock: CurrentClock,
    caller: CurrentCaller,
    customer_id: UUID,
    kind: ContactKind,
    value: ContactValue,
    body: VerificationIn,
) -> Verification:
    """Say that somebody was reached by a contact point, or that nobody is; a task about it is completed.

    Confirmed, it is fresh again from now on. Only for callers with the scope pii:read: others would learn
    whether it is the customer's.
    """
    check_sees_personal_data(caller)
    at = clock.now()
    found = await verifying.verify(session, customer_id, kind, value, body.outcome, at=at, by=caller.subject)
    await quality.assess(session, [found.customer_id], at=at)
    return found


def _policy(found: QualityPolicy) -> QualityPolicyOut:
    own = {"version": found.version, "created_at": found.created_at, "created_by": found.created_by}
    return QualityPolicyOut.model_validate(found.rules | own)


def _value(held: Held, caller: Caller) -> str:
    if caller.sees_personal_data or not held.value:
        return held.value
    return contact_points.mask(held.subject, held.value)


def _task(task: VerificationTask, caller: Caller) -> VerificationTaskOut:
    shown = VerificationTaskOut.model_validate(task)
    if shown.value and not caller.sees_personal_data:
        shown.value = contact_points.mask(shown.subject, shown.value)
    return shown
