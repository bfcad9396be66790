"""Care plans over HTTP: what they are, whom they would reach, and what they have done."""

from typing import Annotated
from uuid import UUID

from fastapi import Path, Query, Response

from crm_loyalty.care import dry_runs, occasions, plans, reports
from crm_loyalty.errors import CarePlanNotFound, CareReferenceUnknown, HolidayUnknown
from crm_loyalty.models.care import CareOccasion, CarePlan
from crm_loyalty.routes.earning_rules import IfNoneMatch
from crm_loyalty.schemas.base import Key
from crm_loyalty.schemas.care_plans import DryRunItemOut, OccasionOut, PlanIn, PlanOut, PlanReportOut
from crm_shared.callers import MANAGERS, STAFF
from crm_shared.etags import IfMatchMissing, StaleVersion, etag
from crm_shared.fields import Day
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

router = Router(tags=["care"])

CarePlanKey = Annotated[Key, Path(description="lower-case words with hyphens", examples=["birthday"])]


@router.get(
    "/v1/care/plans",
    response_model=Page[PlanOut],
    dependencies=[allow(*STAFF)],
    responses=documented(InvalidCursor),
)
async def list_care_plans(session: Session, page: Paging) -> Listing[CarePlan]:
    """List the care plans, by key."""
    return await plans.list_(session, page=page)


@router.get(
    "/v1/care/plans/{care_plan_key}",
    response_model=PlanOut,
    dependencies=[allow(*STAFF)],
    responses=documented(CarePlanNotFound),
)
async def get_care_plan(session: Session, response: Response, care_plan_key: CarePlanKey) -> CarePlan:
    """Read the newest version of a care plan."""
    found = await plans.get(session, care_plan_key)
    response.headers["ETag"] = etag(found.version)
    return found


@router.put(
    "/v1/care/plans/{care_plan_key}",
    response_model=PlanOut,
    dependencies=[allow(*MANAGERS)],
    responses=documented(IfMatchMissing, StaleVersion, HolidayUnknown, CareReferenceUnknown),
)
async def put_care_plan(
    session: Session,
    clock: CurrentClock,
    caller: CurrentCaller,
    response: Response,
    care_plan_key: CarePlanKey,
    body: PlanIn,
    if_match: IfMatch = None,
    if_none_match: IfNoneMatch = None,
) -> CarePlan:
    """Write a plan's next version; it counts for all that has not happened yet.

    Send If-Match with the version you replace, or `If-None-Match: *` for a new plan. It reaches each customer
    once per cycle, in the send window of their own day; a message goes out only with consent, outside quiet
    hours and below the frequency caps, and not while a severe complaint of the customer is open.
    """
    written = await plans.put(
        session,
        care_plan_key,
        body,
        if_match=if_match,
        if_none_match=if_none_match,
        at=clock.now(),
        by=caller.subject,
    )
    response.headers["ETag"] = etag(written.version)
    return written


@router.post(
    "/v1/care/plans/{care_plan_key}/dry-run",
    response_model=Page[DryRunItemOut],
    dependencies=[allow(*STAFF)],
    responses=documented(CarePlanNotFound, InvalidCursor),
)
async def dry_run_care_plan(
    session: Session,
    clock: CurrentClock,
    page: Paging,
    care_plan_key: CarePlanKey,
    on: Annotated[Day, Query(description="the day, by each customer's clock", examples=["2026-08-08"])],
) -> Listing[DryRunItemOut]:
    """See whom a plan would reach on a day, when, and why not, by what is known now; nothing happens."""
    return await dry_runs.run(session, care_plan_key, on, page=page, at=clock.now())


@router.get(
    "/v1/care/plans/{care_plan_key}/occasions",
    response_model=Page[OccasionOut],
    dependencies=[allow(*STAFF)],
    responses=documented(CarePlanNotFound, InvalidCursor),
)
async def list_care_occasions(
    session: Session,
    page: Paging,
    care_plan_key: CarePlanKey,
) -> Listing[CareOccasion]:
    """List whom a plan reaches, the latest first, and what became of it."""
    return await occasions.of_plan(session, care_plan_key, page=page)


@router.get(
    "/v1/care/occasions",
    response_model=Page[OccasionOut],
    dependencies=[allow(*STAFF)],
    responses=documented(InvalidCursor),
)
async def list_customer_occasions(
    session: Session,
    page: Paging,
    customer_id: Annotated[UUID, Query(description="whose, also by an id that was merged into them")],
) -> Listing[CareOccasion]:
    """List what plans thought of for a customer, the latest first: what happened, and why others did not."""
    return await occasions.of_customer(session, customer_id, page=page)


@router.get(
    "/v1/care/plans/{care_plan_key}/report",
    response_model=PlanReportOut,
    dependencies=[allow(*STAFF)],
    responses=documented(CarePlanNotFound),
)
async def get_care_plan_report(session: Session, care_plan_key: CarePlanKey) -> PlanReportOut:
    """Read what a plan has done so far, and why not where it has not."""
    return await reports.get(session, care_plan_key)
