"""Verifying: what staff are to ask customers about again, because it is stale or a message did not arrive."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import ARRAY, Uuid, bindparam, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from crm_profiles.bulk import arrays, insert_new
from crm_profiles.customers import contact_points, owners
from crm_profiles.customers.contact_points import Owner
from crm_profiles.errors import ContactPointNotFound, InvalidContactPoint, StillOnFile, TaskDone, TaskNotFound
from crm_profiles.models.customers import ContactKind, ContactPoint, Customer
from crm_profiles.models.quality import Outcome, Subject, TaskReason, Verification, VerificationTask
from crm_shared import etags
from crm_shared.customers import stop_merges
from crm_shared.database import Json
from crm_shared.ids import uuid7
from crm_shared.pages import Key, Listing, PageRequest, paginate

SYSTEM = "quality"
"""Who completes tasks about what is not on file any more."""

_REACHED_BY = {"email": "email", "sms": "phone", "phone": "phone", "social": "social", "letter": "address"}
_COLUMNS = tuple(column.name for column in VerificationTask.__table__.c)
_OPEN = insert_new(VerificationTask, *_COLUMNS)


class Failure(NamedTuple):
    """A message to a customer did not arrive."""

    customer_id: UUID
    channel: str
    at: datetime


async def open_tasks(
    session: AsyncSession,
    subjects: Sequence[tuple[Owner, Subject, str]],
    *,
    reason: TaskReason,
    at: datetime,
) -> None:
    """Have these verified; of what has an open task there is no second one."""
    done: Json = {"outcome": None, "completed_at": None, "completed_by": None}
    rows = [
        {
            "id": uuid7(),
            "customer_id": owner.id,
            "origin_customer_id": owner.origin,
            "subject": subject,
            "value": value,
            "reason": reason,
            "created_at": at,
            "version": 1,
            **done,
        }
        for owner, subject, value in sorted(subjects)
    ]
    if rows:
        await session.execute(_OPEN, arrays(rows, *_COLUMNS))


async def doubt(session: AsyncSession, failures: Sequence[Failure], *, at: datetime) -> None:
    """Have verified how these customers are reached, unless that was done since."""
    reached = sorted(
        {
            (each.customer_id, _REACHED_BY[each.channel], each.at)
            for each in failures
            if each.channel in _REACHED_BY
        }
    )
    if not reached:
        return
    told: Json = {
        "customers": [customer for customer, _, _ in reached],
        "subjects": [subject for _, subject, _ in reached],
        "instants": [instant for _, _, instant in reached],
    }
    rows = (await session.execute(_DOUBTED, told)).all()
    doubted = [
        (Owner(row.customer_id, row.origin_customer_id), Subject(row.subject), row.value) for row in rows
    ]
    await open_tasks(session, doubted, reason=TaskReason.BOUNCED, at=at)
    await session.execute(_LOOK_AGAIN, {"customers": sorted({row.customer_id for row in rows}), "at": at})


async def close_settled(
    session: AsyncSession,
    customers: Collection[UUID],
    stale: Collection[tuple[UUID, Subject, str]],
    *,
    at: datetime,
) -> None:
    """Complete open tasks about what is not on file any more, or was told anew and is not stale now."""
    known = sorted(stale)
    told: Json = {
        "owners": [owner for owner, _, _ in known],
        "subjects": [subject for _, subject, _ in known],
        "values": [value for _, _, value in known],
    }
    await session.execute(_CLOSE, told | {"ids": sorted(customers), "at": at})


async def list_(
    session: AsyncSession,
    *,
    done: bool,
    reason: TaskReason | None,
    subject: Subject | None,
    page: PageRequest,
) -> Listing[VerificationTask]:
    """What is to be verified, or was, the oldest first."""
    outcome = VerificationTask.outcome
    statement = select(VerificationTask).where(outcome.is_not(None) if done else outcome.is_(None))
    if reason is not None:
        statement = statement.where(VerificationTask.reason == reason)
    if subject is not None:
        statement = statement.where(VerificationTask.subject == subject)
    return await paginate(
        session,
        statement,
        [Key(VerificationTask.created_at), Key(VerificationTask.id)],
        page=page,
        filters=[done, reason, subject],
    )


async def get(session: AsyncSession, task_id: UUID, *, lock: bool = False) -> VerificationTask:
    """Raises TaskNotFound."""
    found = await session.get(VerificationTask, task_id, with_for_update=lock or None, populate_existing=True)
    if found is None:
        raise TaskNotFound(task_id=str(task_id))
    return found


async def complete(
    session: AsyncSession, task_id: UUID, outcome: Outcome, *, if_match: str | None, at: datetime, by: str
) -> VerificationTask:
    """Say what verifying came to; what is confirmed is fresh again. The same twice changes nothing.

    Raises TaskNotFound, StaleVersion, TaskDone, StillOnFile.
    """
    await stop_merges(session)
    task = await get(session, task_id, lock=True)
    if task.outcome is outcome:
        return task
    etags.check(if_match, task.version)
    if task.outcome is not None:
        raise TaskDone(outcome=task.outcome)
    if outcome is Outcome.CHANGED:
        point = await session.get(ContactPoint, (task.subject, task.value))
        if point is not None and point.customer_id == task.customer_id:
            raise StillOnFile
    _complete(task, outcome, at=at, by=by)
    owner = Owner(task.customer_id, task.origin_customer_id)
    await _remember(session, owner, task.subject, task.value, outcome, at=at, by=by)
    await session.flush()
    return task


async def verify(
    session: AsyncSession,
    customer_id: UUID,
    kind: ContactKind,
    value: str,
    outcome: Outcome,
    *,
    at: datetime,
    by: str,
) -> Verification:
    """Say what verifying a contact point came to, whether or not there is a task; one that is open is done.

    Raises CustomerNotFound, ContactPointNotFound: what cannot be read is nobody's.
    """
    await stop_merges(session)
    current = await owners.lock_one(session, customer_id)
    region = await session.scalar(select(Customer.region).where(Customer.id == current.id))
    try:
        point = contact_points.normalise(kind, value, region)
    except InvalidContactPoint as error:
        raise ContactPointNotFound from error
    found = await session.get(ContactPoint, tuple(point))
    if found is None or found.customer_id != current.id:
        raise ContactPointNotFound
    owner, subject = Owner(current.id, found.origin_customer_id), Subject(point.kind)
    open_task = select(VerificationTask).where(
        VerificationTask.origin_customer_id == owner.origin,
        VerificationTask.subject == subject,
        VerificationTask.value == point.value,
        VerificationTask.outcome.is_(None),
    )
    if task := await session.scalar(open_task.with_for_update()):
        _complete(task, outcome, at=at, by=by)
    await _remember(session, owner, subject, point.value, outcome, at=at, by=by)
    await session.flush()
    return await session.get_one(Verification, (owner.origin, subject, point.value), populate_existing=True)


def _complete(task: VerificationTask, outcome: Outcome, *, at: datetime, by: str) -> None:
    task.outcome, task.completed_at, task.completed_by = outcome, at, by
    task.version += 1


async def _remember(
    session: AsyncSession,
    owner: Owner,
    subject: Subject,
    value: str,
    outcome: Outcome,
    *,
    at: datetime,
    by: str,
) -> None:
    row = {
        "origin_customer_id": owner.origin,
        "customer_id": owner.id,
        "subject": subject,
        "value": value,
        "outcome": outcome,
        "verified_at": at,
        "verified_by": by,
    }
    statement = insert(Verification).values(row)
    keys = ["origin_customer_id", "subject", "value"]
    new = {name: statement.excluded[name] for name in row.keys() - set(keys)}
    await session.execute(statement.on_conflict_do_update(index_elements=keys, set_=new))


_DOUBTED = text(
    """
    WITH failures AS (
        SELECT * FROM unnest(
            CAST(:customers AS uuid[]), CAST(:subjects AS text[]), CAST(:instants AS timestamptz[])
        ) AS n (customer_id, subject, at)
    ), reached AS (
        SELECT p.customer_id, p.origin_customer_id, n.subject, p.value, n.at
        FROM failures AS n JOIN contact_points AS p ON p.customer_id = n.customer_id AND p.kind = n.subject
        UNION ALL
        SELECT c.customer_id, c.customer_id, n.subject, '', n.at
        FROM failures AS n JOIN customers AS c ON c.customer_id = n.customer_id
        WHERE n.subject = 'address' AND c.address IS NOT NULL
    )
    SELECT DISTINCT customer_id, origin_customer_id, subject, value FROM reached AS r
    WHERE NOT EXISTS (
        SELECT FROM verifications AS v
        WHERE v.customer_id = r.customer_id AND v.subject = r.subject AND v.value = r.value
          AND v.verified_at >= r.at
    )
    """
)
_LOOK_AGAIN = text(
    "UPDATE quality_scores SET look_at = :at WHERE customer_id = ANY(CAST(:customers AS uuid[]))"
)
_CLOSE = text(
    f"""
    UPDATE verification_tasks AS t
    SET outcome = 'changed', completed_at = :at, completed_by = '{SYSTEM}', version = t.version + 1
    WHERE t.customer_id = ANY(:ids) AND t.outcome IS NULL AND (
        CASE t.subject
            WHEN 'address' THEN NOT EXISTS (
                SELECT FROM customers AS c WHERE c.customer_id = t.customer_id AND c.address IS NOT NULL)
            ELSE NOT EXISTS (
                SELECT FROM contact_points AS p
                WHERE p.kind = t.subject AND p.value = t.value AND p.customer_id = t.customer_id)
        END
        OR t.reason = 'stale' AND NOT EXISTS (
            SELECT FROM unnest(CAST(:owners AS uuid[]), CAST(:subjects AS text[]), CAST(:values AS text[]))
                AS n (owner, subject, value)
            WHERE n.owner = t.customer_id AND n.subject = t.subject AND n.value = t.value))
    """
).bindparams(bindparam("ids", type_=ARRAY(Uuid)))
