"""Calendars over HTTP."""

from typing import Annotated

from fastapi import Header, Path, Query, Response

from crm_shared.callers import MANAGERS, READERS
from crm_shared.contracts.calendars import Calendar, CalendarCode
from crm_shared.etags import IfMatchMissing, StaleVersion, etag
from crm_shared.outbox import EventTooLarge
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
from crm_tickets import calendars
from crm_tickets.errors import CalendarNotFound
from crm_tickets.models import CalendarVersion
from crm_tickets.schemas import (
    CalendarDayOut,
    CalendarDaysOut,
    CalendarIn,
    CalendarOut,
    CalendarSummaryOut,
)

router = Router(tags=["calendars"])

Code = Annotated[CalendarCode, Path(description="a country's, or one of the company's own", examples=["CN"])]
IfNoneMatch = Annotated[str | None, Header(max_length=1000, description="`*`: only if there is none yet")]
Version = Annotated[int | None, Query(ge=1, le=2**31, description="an earlier one; by default the newest")]
Year = Annotated[int, Query(ge=1900, le=2999, examples=[2026])]


@router.get(
    "/v1/calendars",
    response_model=Page[CalendarSummaryOut],
    dependencies=[allow(*READERS)],
    responses=documented(InvalidCursor),
)
async def list_calendars(session: Session, page: Paging) -> Listing[CalendarSummaryOut]:
    """List the calendars, by code, each in its newest version."""
    found = await calendars.list_(session, page=page)
    return found.map(CalendarSummaryOut.of)


@router.get(
    "/v1/calendars/{calendar_code}",
    response_model=CalendarOut,
    dependencies=[allow(*READERS)],
    responses=documented(CalendarNotFound),
)
async def get_calendar(
    session: Session, response: Response, calendar_code: Code, version: Version = None
) -> CalendarOut:
    """Read a calendar: working hours, the rules of its holidays, make-up working days."""
    return _shown(response, await calendars.get(session, calendar_code, version=version))


@router.put(
    "/v1/calendars/{calendar_code}",
    response_model=CalendarOut,
    dependencies=[allow(*MANAGERS)],
    responses=documented(IfMatchMissing, StaleVersion, EventTooLarge),
)
async def put_calendar(
    session: Session,
    clock: CurrentClock,
    caller: CurrentCaller,
    response: Response,
    calendar_code: Code,
    body: CalendarIn,
    if_match: IfMatch = None,
    if_none_match: IfNoneMatch = None,
) -> CalendarOut:
    """Write a calendar's next version; what is decided from now on goes by it, here and in other services.

    Send If-Match with the version you replace, or `If-None-Match: *` for a new one. Old versions are kept.
    """
    written = await calendars.put(
        session,
        calendar_code,
        Calendar.model_validate(body.model_dump()),
        if_match=if_match,
        if_none_match=if_none_match,
        at=clock.now(),
        by=caller.subject,
    )
    return _shown(response, written)


@router.get(
    "/v1/calendars/{calendar_code}/versions",
    response_model=Page[CalendarSummaryOut],
    dependencies=[allow(*READERS)],
    responses=documented(InvalidCursor, CalendarNotFound),
)
async def list_calendar_versions(
    session: Session,
    page: Paging,
    calendar_code: Code,
) -> Listing[CalendarSummaryOut]:
    """List every version of a calendar, the newest first; each is read with `?version=`."""
    found = await calendars.list_versions(session, calendar_code, page=page)
    return found.map(CalendarSummaryOut.of)


@router.get(
    "/v1/calendars/{calendar_code}/days",
    response_model=CalendarDaysOut,
    dependencies=[allow(*READERS)],
    responses=documented(CalendarNotFound),
)
async def list_calendar_days(
    session: Session, calendar_code: Code, year: Year, version: Version = None
) -> CalendarDaysOut:
    """Show what a calendar makes of a year: each day with its hours and what is celebrated."""
    row = await calendars.get(session, calendar_code, version=version)
    found = calendars.days(row)
    days = [CalendarDayOut.of(day) for day in found.year(year)]
    return CalendarDaysOut(
        code=row.code,
        version=row.version,
        year=year,
        time_zone=found.calendar.time_zone,
        known=found.is_known(year),
        working_days=sum(1 for day in days if day.hours),
        days=days,
    )


def _shown(response: Response, row: CalendarVersion) -> CalendarOut:
    response.headers["ETag"] = etag(row.version)
    return CalendarOut.of(row)
