"""The programme over HTTP."""

from typing import Annotated

from fastapi import Query

from crm_loyalty import programme, report
from crm_loyalty.errors import PeriodEndsBeforeItBegins, PeriodTooLong
from crm_loyalty.schemas.programme import ProgrammeOut
from crm_loyalty.schemas.report import ProgrammeReportOut
from crm_shared.callers import READERS, SUPERVISORS
from crm_shared.fields import Day
from crm_shared.problems import Fault
from crm_shared.web.problems import documented
from crm_shared.web.router import Router
from crm_shared.web.session import CurrentClock, Session, allow

router = Router(tags=["programme"])

First = Annotated[
    Day,
    Query(alias="from", description="first day, in the programme's time zone", examples=["2026-01-01"]),
]
Last = Annotated[Day, Query(alias="to", description="last day, which counts too", examples=["2026-03-31"])]


@router.get("/v1/programme", response_model=ProgrammeOut, dependencies=[allow(*READERS)])
async def get_programme(session: Session) -> ProgrammeOut:
    """Read the programme in figures, each with its definition."""
    return await programme.get(session)


@router.get(
    "/v1/programme/report",
    response_model=ProgrammeReportOut,
    dependencies=[allow(*SUPERVISORS)],
    responses=documented(PeriodEndsBeforeItBegins, PeriodTooLong),
)
async def get_programme_report(
    session: Session, clock: CurrentClock, first: First, last: Last
) -> ProgrammeReportOut:
    """Read what the programme owes and how it is used: each share with its numerator and denominator."""
    if last < first:
        fault: Fault = {"pointer": "to", "code": "range_empty", "message": "It must not be before `from`."}
        raise PeriodEndsBeforeItBegins(errors=[fault])
    return await report.get(session, first, last, at=clock.now())
