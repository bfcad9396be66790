"""Forms over HTTP: for managers to define, for everybody to read and to fill in."""

from typing import Annotated

from fastapi import Header, Path, Response
from fastapi.responses import HTMLResponse

from crm_profiles.errors import (
    ChallengeUsed,
    FormBusy,
    FormClosed,
    FormNotFound,
    InvalidAnswers,
    InvalidForm,
    ProofRefused,
    SubmissionDiffers,
)
from crm_profiles.forms import challenges, form_page, forms, questions, submissions
from crm_profiles.models.forms import FormVersion
from crm_profiles.routes.settings import CurrentSettings
from crm_profiles.schemas.forms import (
    ChallengeOut,
    FormIn,
    FormKey,
    FormOut,
    ShownChoice,
    ShownField,
    ShownFormOut,
)
from crm_profiles.schemas.submissions import SubmissionIn, SubmissionReceivedOut
from crm_profiles.settings import Settings
from crm_shared.callers import MANAGERS, STAFF
from crm_shared.clock import Clock
from crm_shared.etags import IfMatchMissing, StaleVersion, etag
from crm_shared.pages import InvalidCursor, Listing, Page
from crm_shared.web.languages import negotiate
from crm_shared.web.media import gives
from crm_shared.web.problems import documented
from crm_shared.web.router import Router
from crm_shared.web.session import (
    CurrentCaller,
    CurrentClock,
    IfMatch,
    Paging,
    Session,
    allow,
    public,
)

router = Router(tags=["forms"])

FormPath = Annotated[FormKey, Path(description="by which the form is addressed", examples=["sign-up"])]
AcceptLanguage = Annotated[str | None, Header(max_length=1000, description="en, es or zh")]


@router.get(
    "/v1/forms",
    response_model=Page[FormOut],
    dependencies=[allow(*STAFF)],
    responses=documented(InvalidCursor),
)
async def list_forms(session: Session, page: Paging) -> Listing[FormOut]:
    """List all forms as they are now, by key."""
    found = await forms.list_(session, page=page)
    return found.map(_defined)


@router.put(
    "/v1/forms/{form_key}",
    response_model=FormOut,
    dependencies=[allow(*MANAGERS)],
    responses={
        201: {"model": FormOut, "description": "The form is new"},
        **documented(InvalidForm, StaleVersion, IfMatchMissing),
    },
)
async def put_form(
    session: Session,
    clock: CurrentClock,
    caller: CurrentCaller,
    response: Response,
    form_key: FormPath,
    body: FormIn,
    if_match: IfMatch = None,
) -> FormOut:
    """Define a form, or define it otherwise, for which If-Match says what is replaced.

    Each field says what becomes of its answer: a member of the customer, a contact point, a custom attribute,
    a stated preference, a consent, or an answer that is kept with the submission and shown on the timeline.
    What was submitted before is understood by the version by which it was answered.
    """
    found, new = await forms.put(
        session, form_key, body, if_match=if_match, at=clock.now(), by=caller.subject
    )
    response.headers["ETag"] = etag(found.version)
    response.status_code = 201 if new else 200
    return _defined(found)


@router.get(
    "/v1/forms/{form_key}/definition",
    response_model=FormOut,
    dependencies=[allow(*STAFF)],
    responses=documented(FormNotFound),
)
async def get_form_definition(session: Session, response: Response, form_key: FormPath) -> FormOut:
    """Read a form as it is defined, in all its languages."""
    found = await forms.get(session, form_key)
    response.headers["ETag"] = etag(found.version)
    return _defined(found)


@router.get(
    "/v1/forms/{form_key}",
    response_model=ShownFormOut,
    dependencies=[public()],
    responses=documented(FormNotFound),
)
async def get_form(
    session: Session,
    clock: CurrentClock,
    settings: CurrentSettings,
    response: Response,
    form_key: FormPath,
    accept_language: AcceptLanguage = None,
) -> ShownFormOut:
    """Read a form in order to fill it in, in one's own language if it has that.

    An open form comes with a challenge, unless it asks for no proof of work; each is good for one submission
    within two hours.
    """
    shown = await _shown(session, form_key, accept_language, settings, clock)
    response.headers["Vary"] = "Accept-Language"
    response.headers["Content-Language"] = shown.language
    return shown


@router.get(
    "/v1/forms/{form_key}/page",
    response_class=HTMLResponse,
    dependencies=[public(), gives("text/html")],
    responses=documented(FormNotFound),
)
async def get_form_page(
    session: Session,
    clock: CurrentClock,
    settings: CurrentSettings,
    form_key: FormPath,
    accept_language: AcceptLanguage = None,
) -> HTMLResponse:
    """Show a form as a page to fill in: it needs no other host, and does the proof of work itself."""
    shown = await _shown(session, form_key, accept_language, settings, clock)
    headers = {
        "Content-Security-Policy": form_page.content_security_policy(),
        "Content-Language": shown.language,
        "Vary": "Accept-Language",
    }
    return HTMLResponse(form_page.render(shown), headers=headers)


@router.post(
    "/v1/forms/{form_key}/submissions",
    status_code=202,
    response_model=SubmissionReceivedOut,
    dependencies=[public()],
    responses=documented(
        FormNotFound, FormClosed, FormBusy, ProofRefused, InvalidAnswers, ChallengeUsed, SubmissionDiffers
    ),
)
async def submit_form(
    session: Session,
    clock: CurrentClock,
    settings: CurrentSettings,
    form_key: FormPath,
    body: SubmissionIn,
    accept_language: AcceptLanguage = None,
) -> SubmissionReceivedOut:
    """Fill a form in; sending it again with the same `submission_id` or key has no second effect.

    Whoever it is about becomes known, or what is missing on file about them is filled in, in a moment and not
    before the answer: it is the same for everybody, and takes as long. What differs from what is on file is a
    suggestion to staff.
    """
    received = await submissions.receive(session, form_key, body, key=settings.challenge_key, at=clock.now())
    languages = received.form.thanks.languages
    language = negotiate(accept_language, languages, languages[0])
    return SubmissionReceivedOut(
        submission_id=received.submission_id, thanks=received.form.thanks.in_(language)
    )


def _defined(row: FormVersion) -> FormOut:
    return FormOut.model_validate(
        row.definition
        | {
            "key": row.key,
            "version": row.version,
            "created_at": row.created_at,
            "created_by": row.created_by,
        }
    )


async def _shown(
    session: Session, form_key: str, accept_language: str | None, settings: Settings, clock: Clock
) -> ShownFormOut:
    row = await forms.get(session, form_key)
    form = forms.defined(row)
    languages = form.title.languages
    language = negotiate(accept_language, languages, languages[0])
    fields = [
        ShownField(
            key=field.key,
            type=field.type,
            label=field.label.in_(language),
            help=field.help and field.help.in_(language),
            required=field.required,
            max_length=questions.max_length(field),
            choices=[
                ShownChoice(value=choice.value, label=choice.label.in_(language)) for choice in field.choices
            ],
        )
        for field in form.fields
    ]
    return ShownFormOut(
        key=row.key,
        version=row.version,
        language=language,
        title=form.title.in_(language),
        description=form.description and form.description.in_(language),
        open=form.open,
        fields=fields,
        challenge=_challenge(row.key, form, settings, clock),
    )


def _challenge(form_key: str, form: FormIn, settings: Settings, clock: Clock) -> ChallengeOut | None:
    if not form.open or not form.difficulty:
        return None
    made = challenges.issue(form_key, form.difficulty, at=clock.now())
    return ChallengeOut(
        token=made.token(settings.challenge_key), difficulty=made.difficulty, expires_at=made.expires_at
    )
