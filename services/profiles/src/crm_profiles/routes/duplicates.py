"""Possible duplicates over HTTP."""

from typing import Annotated
from uuid import UUID

from fastapi import Query, Response
from sqlalchemy.ext.asyncio import AsyncSession

from crm_profiles.customers import contact_points
from crm_profiles.errors import DuplicateNotFound, DuplicateSettled
from crm_profiles.merging import duplicates
from crm_profiles.merging.duplicates import DuplicateFilters
from crm_profiles.models.duplicates import Duplicate, DuplicateState, KeyKind
from crm_profiles.schemas.duplicates import DismissIn, DuplicateOut
from crm_shared import jobs
from crm_shared.callers import MANAGERS, READERS, STAFF, SUPERVISORS, Caller
from crm_shared.jobs import JobNotFound, JobOut
from crm_shared.pages import InvalidCursor, Listing, Page
from crm_shared.web.problems import documented
from crm_shared.web.router import Router
from crm_shared.web.session import (
    CurrentCaller,
    CurrentClock,
    Paging,
    Session,
    allow,
)

router = Router(tags=["duplicates"])


@router.get(
    "/v1/duplicates",
    response_model=Page[DuplicateOut],
    dependencies=[allow(*READERS)],
    responses=documented(InvalidCursor),
)
async def list_duplicates(
    session: Session,
    caller: CurrentCaller,
    page: Paging,
    state: DuplicateState = DuplicateState.OPEN,
    min_score: Annotated[float, Query(ge=0, le=1)] = 0,
    customer_id: Annotated[UUID | None, Query(description="only pairs with this customer")] = None,
) -> Listing[DuplicateOut]:
    """List pairs of customers who may be one person, the likeliest first, with all that speaks for it.

    They are found within seconds of a change, and never merge by themselves.
    """
    filters = DuplicateFilters(state, min_score, customer_id)
    found = await duplicates.list_(session, filters, page=page)
    common = await duplicates.common_keys(session, [each.id for each in found.items])
    return found.map(lambda duplicate: _shown(duplicate, common.get(duplicate.id, []), caller))


@router.get(
    "/v1/duplicates/{duplicate_id}",
    response_model=DuplicateOut,
    dependencies=[allow(*READERS)],
    responses=documented(DuplicateNotFound),
)
async def get_duplicate(session: Session, caller: CurrentCaller, duplicate_id: UUID) -> DuplicateOut:
    """Read a pair, and what became of it."""
    return await _read(session, duplicate_id, caller)


@router.post(
    "/v1/duplicates/{duplicate_id}/dismiss",
    response_model=DuplicateOut,
    dependencies=[allow(*SUPERVISORS)],
    responses=documented(DuplicateNotFound, DuplicateSettled),
)
async def dismiss_duplicate(
    session: Session,
    clock: CurrentClock,
    caller: CurrentCaller,
    duplicate_id: UUID,
    body: DismissIn,
) -> DuplicateOut:
    """Say that they are two: the pair comes back only when what speaks for it changes."""
    await duplicates.dismiss(session, duplicate_id, body.reason, by=caller.subject, at=clock.now())
    await session.flush()
    return await _read(session, duplicate_id, caller)


@router.post("/v1/duplicates/scans", status_code=202, response_model=JobOut, dependencies=[allow(*MANAGERS)])
async def scan_for_duplicates(session: Session, clock: CurrentClock, response: Response) -> JobOut:
    """Compare everybody in a job: for an archive that was filled before pairs were looked for."""
    job = jobs.start(session, duplicates.SCAN, {}, at=clock.now())
    await session.flush()
    response.headers["Location"] = f"/v1/duplicates/scans/{job.id}"
    return JobOut.of(job)


@router.get(
    "/v1/duplicates/scans/{scan_id}",
    response_model=JobOut,
    dependencies=[allow(*STAFF)],
    responses=documented(JobNotFound),
)
async def get_duplicates_scan(session: Session, scan_id: UUID) -> JobOut:
    """See how far a scan is."""
    return JobOut.of(await jobs.get(session, scan_id, kind=duplicates.SCAN))


async def _read(session: AsyncSession, duplicate_id: UUID, caller: Caller) -> DuplicateOut:
    found = await duplicates.get(session, duplicate_id)
    common = await duplicates.common_keys(session, [duplicate_id])
    return _shown(found, common.get(duplicate_id, []), caller)


def _shown(duplicate: Duplicate, common_keys: list[KeyKind], caller: Caller) -> DuplicateOut:
    shown = DuplicateOut.model_validate(duplicate).model_copy(update={"common_keys": common_keys})
    if not caller.sees_personal_data:
        for profile in filter(None, (shown.first, shown.second)):
            for point in profile.contact_points:
                point.value = contact_points.mask(point.kind, point.value)
    return shown
