"""Submissions over HTTP, for staff: what was answered, what is suggested, interviews, the report."""

from typing import Annotated
from uuid import UUID

from fastapi import Query, Response

from crm_profiles.errors import (
    ContactPointTaken,
    FormNotFound,
    InvalidAnswers,
    InvalidAttributes,
    NoLunarDate,
    NothingSuggested,
    PeriodInvalid,
    PurposeNotFound,
    SubmissionDiffers,
    SubmissionNotFound,
    TooManyPreferences,
)
from crm_profiles.forms import channel_report, collecting, questions, submissions
from crm_profiles.models.forms import FormSubmission, SubmissionState
from crm_profiles.routes.forms import FormPath
from crm_profiles.routes.parameters import require_days
from crm_profiles.schemas.forms import FormIn
from crm_profiles.schemas.submissions import ChannelsOut, DecisionIn, InterviewIn, SubmissionOut
from crm_shared.callers import READERS, STAFF, Caller
from crm_shared.customers import CustomerNotFound
from crm_shared.etags import StaleVersion, etag
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

router = Router(tags=["forms"])

UNFIT = (
    CustomerNotFound,
    ContactPointTaken,
    InvalidAttributes,
    NoLunarDate,
    PurposeNotFound,
    TooManyPreferences,
)
"""What may be wrong with answers that are to replace what is on file."""


@router.get(
    "/v1/forms/{form_key}/submissions",
    response_model=Page[SubmissionOut],
    dependencies=[allow(*STAFF)],
    responses=documented(FormNotFound, InvalidCursor),
)
async def list_submissions(
    session: Session,
    page: Paging,
    caller: CurrentCaller,
    form_key: FormPath,
    state: SubmissionState | None = None,
) -> Listing[SubmissionOut]:
    """List what was submitted by a form, the newest first; `suggested` is what waits for staff."""
    found = await submissions.list_(session, form_key, state, page=page)
    definitions = await submissions.definitions_of(session, found.items)
    return found.map(lambda each: _shown(each, definitions[each.id], caller))


@router.get(
    "/v1/forms/{form_key}/submissions/{submission_id}",
    response_model=SubmissionOut,
    dependencies=[allow(*STAFF)],
    responses=documented(SubmissionNotFound),
)
async def get_submission(
    session: Session, caller: CurrentCaller, response: Response, form_key: FormPath, submission_id: UUID
) -> SubmissionOut:
    """Read what was submitted, whose it is found to be, and what differs from what is on file."""
    found = await submissions.get(session, form_key, submission_id)
    return await _answer(session, found, caller, response)


@router.post(
    "/v1/forms/{form_key}/submissions/{submission_id}/decision",
    response_model=SubmissionOut,
    dependencies=[allow(*STAFF)],
    responses=documented(SubmissionNotFound, NothingSuggested, StaleVersion, *UNFIT),
)
async def decide_submission(
    session: Session,
    clock: CurrentClock,
    caller: CurrentCaller,
    response: Response,
    form_key: FormPath,
    submission_id: UUID,
    body: DecisionIn,
    if_match: IfMatch = None,
) -> SubmissionOut:
    """Put suggestions on file in the place of what is there, and turn the others down."""
    found = await collecting.decide(
        session, form_key, submission_id, body.accept, if_match=if_match, clock=clock, by=caller.subject
    )
    return await _answer(session, found, caller, response)


@router.post(
    "/v1/forms/{form_key}/interviews",
    status_code=201,
    response_model=SubmissionOut,
    dependencies=[allow(*STAFF)],
    responses=documented(FormNotFound, InvalidAnswers, SubmissionDiffers, *UNFIT),
)
async def record_interview(
    session: Session,
    clock: CurrentClock,
    caller: CurrentCaller,
    response: Response,
    form_key: FormPath,
    body: InterviewIn,
) -> SubmissionOut:
    """Fill a form in with what a customer has answered: it replaces what is on file; closed forms, too."""
    submission_id = await collecting.interview(session, form_key, body, clock=clock, by=caller.subject)
    found = await submissions.get(session, form_key, submission_id)
    return await _answer(session, found, caller, response)


@router.get(
    "/v1/reports/channels",
    response_model=ChannelsOut,
    dependencies=[allow(*READERS)],
    responses=documented(PeriodInvalid),
)
async def report_channels(
    session: Session,
    begin: Annotated[Day, Query(alias="from", description="first day, in UTC", examples=["2026-01-01"])],
    end: Annotated[Day, Query(alias="to", description="the day after the last one", examples=["2026-02-01"])],
) -> ChannelsOut:
    """Report by which channels and from which sources customers became known, and by which forms."""
    require_days(begin, end)
    return await channel_report.channels(session, begin, end)


async def _answer(
    session: Session, found: FormSubmission, caller: Caller, response: Response
) -> SubmissionOut:
    definitions = await submissions.definitions_of(session, [found])
    response.headers["ETag"] = etag(found.version)
    return _shown(found, definitions[found.id], caller)


def _shown(submission: FormSubmission, form: FormIn, caller: Caller) -> SubmissionOut:
    shown = SubmissionOut.model_validate(submission)
    if not caller.sees_personal_data:
        shown.answers = questions.masked(form, shown.answers)
        shown.suggestions = questions.masked(form, shown.suggestions)
    return shown
