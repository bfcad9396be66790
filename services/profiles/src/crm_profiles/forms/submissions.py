"""Submissions: what everybody answers, received without a look at who they are, and what staff make of it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from uuid import UUID

import orjson
from pydantic import JsonValue
from sqlalchemy import ARRAY, Uuid, bindparam, delete, func, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from crm_profiles.customers.contact_points import Point
from crm_profiles.errors import ChallengeUsed, FormBusy, FormClosed, SubmissionDiffers, SubmissionNotFound
from crm_profiles.forms import challenges, forms, questions
from crm_profiles.models.customers import Channel
from crm_profiles.models.forms import FormSubmission, FormVersion, SubmissionState
from crm_profiles.schemas.forms import FormIn
from crm_profiles.schemas.submissions import SubmissionIn
from crm_shared import due
from crm_shared.database import Json
from crm_shared.ids import uuid7
from crm_shared.pages import Key, Listing, PageRequest, paginate

LOOK = "form-submission"
"""The due work of finding out whose a submission is, and putting on file what it tells."""

FORGET = "form-forget"
"""The due work of deleting submissions that reached nobody, once they are too old."""
FORGET_EVERY = timedelta(hours=1)

_MINUTE = timedelta(minutes=1)
_AT_ONCE = 1000
_TABLE = FormSubmission.metadata.tables[FormSubmission.__tablename__]
_BLANK: Json = {
    "challenge_id": None,
    "customer_id": None,
    "origin_customer_id": None,
    "received_by": None,
    "suggestions": {},
    "accepted": [],
    "version": 1,
}


@dataclass(frozen=True)
class Received:
    """A submission that is on file, and the form in the version by which it is understood."""

    submission_id: UUID
    form: FormIn


def source_of(form_key: str) -> str:
    """What is told by a form comes from here, as the histories of customers have it."""
    return f"form.{form_key}"


async def receive(
    session: AsyncSession, form_key: str, body: SubmissionIn, *, key: bytes, at: datetime
) -> Received:
    """Keep the answers for the worker; nothing here depends on whom they are about.

    Raises FormNotFound, FormClosed, FormBusy, ProofRefused, InvalidAnswers, ChallengeUsed, SubmissionDiffers.
    """
    row = await forms.get(session, form_key)
    form = forms.defined(row)
    digest = digest_of(form_key, body.answers)
    if body.submission_id is not None and await known(session, body.submission_id, digest):
        return Received(body.submission_id, form)
    if not form.open:
        raise FormClosed(form_key=form_key)
    await _refuse_floods(session, form_key, form.max_per_minute, at=at)
    if body.homepage:
        submission = row_of(row, form.channel, SubmissionState.TRAPPED, {})
    else:
        submission = _filled_in(row, form, body, key=key, at=at)
    submission |= {"id": body.submission_id or uuid7(), "digest": digest, "received_at": at}
    if await claim(session, submission):
        if submission["state"] is SubmissionState.RECEIVED:
            await due.schedule(session, LOOK, {submission["id"]: at})
    elif not await known(session, submission["id"], digest):
        raise ChallengeUsed
    return Received(submission["id"], form)


async def known(session: AsyncSession, submission_id: UUID, digest: bytes) -> bool:
    """Whether it is on file already; raises SubmissionDiffers when another one has its id."""
    known = await session.scalar(select(FormSubmission.digest).where(FormSubmission.id == submission_id))
    if known is not None and known != digest:
        raise SubmissionDiffers(submission_id=str(submission_id))
    return known is not None


async def claim(session: AsyncSession, submission: Json) -> bool:
    """Insert it; False: its id or its challenge has been used."""
    statement = insert(_TABLE).values(_BLANK | submission).on_conflict_do_nothing().returning(_TABLE.c.id)
    return await session.scalar(statement) is not None


def digest_of(form_key: str, answers: Mapping[str, JsonValue], customer_id: UUID | None = None) -> bytes:
    """By which the same submission is known again."""
    told = [form_key, customer_id, dict(answers)]
    return sha256(orjson.dumps(told, option=orjson.OPT_SORT_KEYS)).digest()


def row_of(
    form: FormVersion, channel: Channel, state: SubmissionState, answers: Json, points: Iterable[Point] = ()
) -> Json:
    """The columns that tell what was answered."""
    return {
        "form_key": form.key,
        "form_version": form.version,
        "channel": channel,
        "state": state,
        "answers": answers,
        "points": [f"{point.kind}:{point.value}" for point in points],
    }


async def get(
    session: AsyncSession, form_key: str, submission_id: UUID, *, lock: bool = False
) -> FormSubmission:
    """Raises SubmissionNotFound."""
    statement = select(FormSubmission).where(
        FormSubmission.id == submission_id, FormSubmission.form_key == form_key
    )
    if lock:
        statement = statement.with_for_update().execution_options(populate_existing=True)
    found = await session.scalar(statement)
    if found is None:
        raise SubmissionNotFound(submission_id=str(submission_id))
    return found


async def list_(
    session: AsyncSession,
    form_key: str,
    state: SubmissionState | None,
    *,
    page: PageRequest,
) -> Listing[FormSubmission]:
    """The form's submissions, the newest first; raises FormNotFound."""
    await forms.get(session, form_key)
    statement = select(FormSubmission).where(FormSubmission.form_key == form_key)
    if state is not None:
        statement = statement.where(FormSubmission.state == state)
    return await paginate(
        session,
        statement,
        [Key(FormSubmission.received_at, descending=True), Key(FormSubmission.id, descending=True)],
        page=page,
        filters=[form_key, state],
    )


async def definitions_of(session: AsyncSession, submissions: Sequence[FormSubmission]) -> dict[UUID, FormIn]:
    """The form of each submission in the version by which it was answered."""
    versions = {each.id: (each.form_key, each.form_version) for each in submissions}
    found = await forms.definitions(session, versions.values())
    return {id: found[version] for id, version in versions.items()}


async def forget(session: AsyncSession, customers: Sequence[UUID]) -> int:
    """Remove what nobody on file was found for, but names one of their contact points; says how many."""
    removed = await session.scalars(_FORGET, {"ids": sorted(customers)})
    return len(removed.all())


async def delete_unmatched(session: AsyncSession, *, before: datetime) -> bool:
    """Delete some of those that were received before and reached nobody; whether none is left."""
    unmatched = (SubmissionState.UNMATCHED, SubmissionState.TRAPPED)
    old = (
        select(FormSubmission.id)
        .where(FormSubmission.customer_id.is_(None), FormSubmission.received_at < before)
        .where(FormSubmission.state.in_(unmatched))
        .order_by(FormSubmission.received_at)
        .limit(_AT_ONCE)
    )
    gone = await session.scalars(
        delete(FormSubmission).where(FormSubmission.id.in_(old)).returning(FormSubmission.id)
    )
    return len(gone.all()) < _AT_ONCE


_FORGET = text(
    """
    DELETE FROM form_submissions WHERE customer_id IS NULL AND points && (
        SELECT coalesce(array_agg(kind || ':' || value), '{}') FROM (
            SELECT kind, value FROM contact_points WHERE customer_id = ANY(:ids)
            UNION
            SELECT point ->> 'kind', point ->> 'value'
            FROM customer_versions, jsonb_array_elements(state -> 'contact_points') AS point
            WHERE customer_id = ANY(:ids)
        ) AS theirs
    )
    RETURNING id
    """
).bindparams(bindparam("ids", type_=ARRAY(Uuid)))


async def _refuse_floods(session: AsyncSession, form_key: str, limit: int, *, at: datetime) -> None:
    lately = (
        select(FormSubmission.received_at)
        .where(FormSubmission.form_key == form_key, FormSubmission.received_at > at - _MINUTE)
        .order_by(FormSubmission.received_at.desc())
        .limit(limit)
        .subquery()
    )
    count, first = (await session.execute(select(func.count(), func.min(lately.c.received_at)))).one()
    if count >= limit:
        seconds = max(1, -(-(first + _MINUTE - at) // timedelta(seconds=1)))
        raise FormBusy(headers={"Retry-After": str(seconds)})


def _filled_in(row: FormVersion, form: FormIn, body: SubmissionIn, *, key: bytes, at: datetime) -> Json:
    """Raises ProofRefused, InvalidAnswers."""
    done = None
    if form.difficulty:
        done = challenges.check(body.challenge, body.proof, form_key=row.key, key=key, at=at)
    answers = questions.checked(form, body.answers, now=at)
    points = questions.reached(form, answers)
    made = row_of(row, form.channel, SubmissionState.RECEIVED, answers, points)
    return made | {"challenge_id": done and done.id}
