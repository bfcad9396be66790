"""Collecting: what submissions tell goes on file, without overwriting what is there.

Whoever submits a form has not shown who they are: they may know somebody else's phone number. So a submission
fills in what is empty; what differs from what is on file waits for staff. What a member of staff has heard
from the customer counts as said by the customer.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from pydantic import JsonValue
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from crm_profiles import preferences
from crm_profiles.activity import timeline
from crm_profiles.consents import consents, permissions
from crm_profiles.customers import attributes, contact_points, customers, drafts, writing
from crm_profiles.customers.contact_points import Owner, Point
from crm_profiles.customers.drafts import Draft
from crm_profiles.errors import NothingSuggested, PurposeNotFound, TooManyPreferences
from crm_profiles.forms import forms, questions, submissions
from crm_profiles.forms.cases import Case
from crm_profiles.models.customers import Channel
from crm_profiles.models.forms import FormSubmission, SubmissionState
from crm_profiles.models.preferences import PreferenceKind
from crm_profiles.schemas.consents import ConsentIn
from crm_profiles.schemas.forms import ConsentTarget, FormField, PreferenceTarget
from crm_profiles.schemas.preferences import PreferenceIn
from crm_profiles.schemas.submissions import InterviewIn
from crm_shared import due, etags
from crm_shared.clock import Clock
from crm_shared.contracts.permissions import ConsentState
from crm_shared.customers import stop_merges
from crm_shared.ids import uuid7
from crm_shared.problems import Problem

_TICK = timedelta(microseconds=1)


@dataclass(frozen=True)
class Standing:
    """A clock that stands at the instant of the work."""

    at: datetime

    def now(self) -> datetime:
        return self.at


@dataclass(frozen=True)
class Pair:
    """A submission and the customer about whom it is, locked or new."""

    case: Case
    draft: Draft


async def collect(session: AsyncSession, ids: Collection[UUID], *, at: datetime) -> None:
    """Put on file what these submissions tell; of those about one person, one now, the next in a moment."""
    await stop_merges(session)
    found = list(await session.scalars(_WAITING.where(FormSubmission.id.in_(ids))))
    definitions = await submissions.definitions_of(session, found)
    cases, later = _apart([Case(each, definitions[each.id]) for each in found])
    declared = await attributes.declared(session, {key for case in cases for key in case.attribute_keys})
    pairs, moved = await _matched(session, cases)
    for pair in pairs:
        pair.case.fill_in(pair.draft, declared)
    written = await writing.write(session, [pair.draft for pair in pairs], clock=Standing(at))
    # Somebody else has become known by this contact point just now: the next look finds them.
    lost = [pair.case for pair, outcome in zip(pairs, written, strict=True) if isinstance(outcome, Problem)]
    settled = [pair for pair in pairs if pair.case not in lost]
    for pair in settled:
        await _settle(session, pair, at=at)
    again = [*later, *moved, *lost]
    matched = [pair.case for pair in pairs]
    for case in (case for case in cases if case not in matched and case not in again):
        case.submission.state = SubmissionState.UNMATCHED
    await session.flush()
    entries = [pair.case.entry(pair.draft.owner) for pair in settled]
    await timeline.record(session, entries, at=at)
    await due.schedule(
        session, submissions.LOOK, dict.fromkeys((case.submission.id for case in again), at + _TICK)
    )


async def interview(
    session: AsyncSession, form_key: str, body: InterviewIn, *, clock: Clock, by: str
) -> UUID:
    """Put on file what the customer has answered to a member of staff; says as which submission.

    Raises FormNotFound, InvalidAnswers, SubmissionDiffers, CustomerNotFound, ContactPointTaken,
    InvalidAttributes, NoLunarDate, PurposeNotFound, TooManyPreferences.
    """
    row = await forms.get(session, form_key)
    form = forms.defined(row)
    answers = questions.checked(form, body.answers, now=clock.now())
    told = submissions.row_of(row, Channel.INTERVIEW, SubmissionState.APPLIED, answers)
    told |= {"id": body.submission_id or uuid7(), "received_at": clock.now(), "received_by": by}
    told |= {"digest": submissions.digest_of(form_key, body.answers, body.customer_id)}
    submission_id: UUID = told["id"]
    if not await submissions.claim(session, told):
        await submissions.known(session, submission_id, told["digest"])
        return submission_id
    submission = await submissions.get(session, form_key, submission_id)
    case = Case(submission, form)
    owner = await _take_over(session, body.customer_id, case, case.fields, clock=clock)
    submission.customer_id, submission.origin_customer_id = owner
    await session.flush()
    await timeline.record(session, [case.entry(owner)], at=clock.now())
    return submission_id


async def decide(
    session: AsyncSession,
    form_key: str,
    submission_id: UUID,
    accept: Collection[str],
    *,
    if_match: str | None,
    clock: Clock,
    by: str,
) -> FormSubmission:
    """Put the accepted suggestions on file and turn the others down.

    Raises SubmissionNotFound, StaleVersion, NothingSuggested, and what is wrong with what was suggested, as
    `interview` does.
    """
    await stop_merges(session)
    submission = await submissions.get(session, form_key, submission_id, lock=True)
    etags.check(if_match, submission.version)
    if submission.state is not SubmissionState.SUGGESTED or submission.origin_customer_id is None:
        raise NothingSuggested
    case = Case(submission, (await submissions.definitions_of(session, [submission]))[submission.id])
    accepted = [each for each in case.fields if each.key in submission.suggestions and each.key in accept]
    submission.decided_at, submission.decided_by = clock.now(), by
    if accepted:
        await _take_over(session, submission.origin_customer_id, case, accepted, clock=clock)
    submission.state = SubmissionState.DECIDED
    submission.accepted = [each.key for each in accepted]
    submission.version += 1
    await session.flush()
    return submission


_WAITING = (
    select(FormSubmission)
    .where(FormSubmission.state == SubmissionState.RECEIVED)
    .order_by(FormSubmission.id)
    .with_for_update()
)


def _apart(cases: Sequence[Case]) -> tuple[list[Case], list[Case]]:
    """Those that share no contact point, and those that have to wait for one of them."""
    now: list[Case] = []
    later: list[Case] = []
    taken: set[Point] = set()
    for case in cases:
        points = set(case.points.values())
        (now if taken.isdisjoint(points) else later).append(case)
        taken |= points
    return now, later


async def _matched(session: AsyncSession, cases: Sequence[Case]) -> tuple[list[Pair], list[Case]]:
    """The cases with their customers, but for those about nobody; and those to be looked at again.

    Whom it is about is told by the first contact point, as the form has them, that somebody has.
    """
    owners = await contact_points.owners(session, {p for case in cases for p in case.points.values()})
    known: dict[UUID, Owner] = {}
    for case in cases:
        first = next((owners[point] for point in case.points.values() if point in owners), None)
        if first is not None:
            known[case.submission.id] = first
    locked = await drafts.lock(session, known.values())
    pairs: list[Pair] = []
    again: list[Case] = []
    begun: set[UUID] = set()
    for case in cases:
        owner = known.get(case.submission.id)
        if owner is None:
            pairs += [Pair(case, Draft.new(uuid7()))] if case.introduces else []
            continue
        draft = locked.get(owner.id)
        # The contact point may have gone elsewhere before we had the lock.
        gone = draft is None or draft.held.points.isdisjoint(case.points.values())
        if draft is None or gone or owner.id in begun:
            again.append(case)
        else:
            begun.add(owner.id)
            pairs.append(Pair(case, draft))
    return pairs, again


async def _settle(session: AsyncSession, pair: Pair, *, at: datetime) -> None:
    """The customer is written: what they say of preferences and consents follows."""
    case, submission = pair.case, pair.case.submission
    for each in case.said:
        there = None if pair.draft.version == 0 else await _said_before(session, pair.draft.owner.id, each)
        try:
            if there is None:
                await _say(session, case, pair.draft.owner, each, clock=Standing(at))
        except (PurposeNotFound, TooManyPreferences):
            case.suggested.append(each)
        if there is not None and there != case.answer(each):
            case.suggested.append(each)
    submission.customer_id, submission.origin_customer_id = pair.draft.owner
    submission.suggestions = case.suggestions
    submission.state = SubmissionState.SUGGESTED if case.suggested else SubmissionState.APPLIED
    submission.version += 1


async def _take_over(
    session: AsyncSession, customer_id: UUID, case: Case, fields: Sequence[FormField], *, clock: Clock
) -> Owner:
    """What these fields tell replaces what is on file."""
    declared = await attributes.declared(session, case.attribute_keys)
    draft = await customers.lock(session, customer_id)
    case.write(draft, [each for each in case.written if each in fields], declared)
    await writing.write_one(session, draft, clock=clock)
    for each in (each for each in case.said if each in fields):
        await _say(session, case, draft.owner, each, clock=clock)
    return draft.owner


async def _said_before(session: AsyncSession, customer_id: UUID, asked: FormField) -> JsonValue:
    """What counts as said already; None: nothing."""
    match asked.target:
        case PreferenceTarget(topic=topic):
            held = await preferences.list_(session, customer_id)
            stated = (each for each in held if (each.topic, each.kind) == (topic, PreferenceKind.STATED))
            return next((each.value for each in stated), None)
        case ConsentTarget(purpose=purpose, channel=channel):
            statements = (await permissions.standing(session, customer_id)).statements
            about = (each for each in statements if (each.purpose, each.channel) == (purpose, channel))
            return next((each.state is ConsentState.GRANTED for each in about), None)
    return None


async def _say(session: AsyncSession, case: Case, owner: Owner, asked: FormField, *, clock: Clock) -> None:
    """Raises PurposeNotFound, TooManyPreferences."""
    submission = case.submission
    match asked.target:
        case PreferenceTarget(topic=topic):
            stated = PreferenceIn(
                value=str(case.answer(asked)), source=case.source, known_at=submission.received_at
            )
            await preferences.put(session, owner.origin, topic, stated, at=clock.now())
        case ConsentTarget(purpose=purpose, channel=channel):
            evidence = (
                f"Form {submission.form_key}, version {submission.form_version}, submission {submission.id}:"
                f" {asked.label.text}"
            )
            granted = ConsentIn(
                state=ConsentState.GRANTED,
                source=case.source,
                evidence=evidence[:2000],
                at=submission.received_at,
            )
            by = submission.decided_by or submission.received_by or case.source
            await consents.state(session, owner.origin, purpose, channel, granted, clock=clock, by=by)
