"""The quality of data: customers judged by the policy, on asking and in the background, and the report.

Nobody who writes waits for this: the worker looks at who has changed, and at whom something became stale.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import ARRAY, DateTime, Uuid, bindparam, delete, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from crm_profiles.bulk import arrays
from crm_profiles.customers import contact_points, customers, documents
from crm_profiles.customers.contact_points import Owner
from crm_profiles.models.customers import ContactKind
from crm_profiles.models.quality import Outcome, QualityPolicy, QualityScore, Subject, TaskReason
from crm_profiles.quality import verifying
from crm_profiles.rules import accuracy
from crm_profiles.rules.accuracy import Assessment, Held, Rules
from crm_profiles.schemas.quality import QualityPolicyIn
from crm_shared import jobs, versions
from crm_shared.customers import stop_merges
from crm_shared.database import Json, Sessions
from crm_shared.jobs import Job, RunningJob
from crm_shared.pages import Key, Listing, PageRequest, paginate

LOOK = "quality"
"""The due work of assessing who has changed since the instant at which it was due."""
ASSESS = "quality"
"""The job of assessing everybody."""
EVERY = timedelta(seconds=10)
AT_ONCE = 1000

_LATE = timedelta(minutes=1)
"""A change may be committed as long as this after its instant."""


@dataclass(frozen=True)
class Owned:
    """Something that can be verified, and whose it is."""

    owner: Owner
    held: Held

    @property
    def subject(self) -> Subject:
        return Subject(self.held.subject)


@dataclass(frozen=True)
class Facts:
    """What is on file of a customer, as far as it is judged."""

    version: int
    members: Collection[str]
    owned: Sequence[Owned]

    def assessed(self, rules: Rules, at: datetime) -> Assessment:
        return accuracy.assess(rules, self.members, [each.held for each in self.owned], at=at)


async def policy(session: AsyncSession) -> QualityPolicy:
    """The policy in force."""
    newest = select(QualityPolicy).order_by(QualityPolicy.version.desc()).limit(1)
    return (await session.scalars(newest)).one()


def rules_of(row: QualityPolicy) -> Rules:
    return Rules(row.version, row.rules["members"], row.rules["parts"], row.rules["stale_days"])


async def put_policy(
    session: AsyncSession, body: QualityPolicyIn, *, if_match: str | None, at: datetime, by: str
) -> tuple[QualityPolicy, Job]:
    """Put a new policy in force and have everybody assessed by it; raises IfMatchMissing, StaleVersion."""
    known = await policy(session)
    written = await versions.write(
        session,
        QualityPolicy,
        {"rules": body.model_dump()},
        over=known.version,
        if_match=if_match,
        at=at,
        by=by,
    )
    job = jobs.start(session, ASSESS, {}, at=at)
    await session.flush()
    return written, job


async def assess_one(
    session: AsyncSession, customer_id: UUID, *, at: datetime
) -> tuple[UUID, Rules, Assessment]:
    """How good the data of the customer, or of who absorbed them, are now; raises CustomerNotFound."""
    current = await documents.current_id(session, customer_id)
    rules = rules_of(await policy(session))
    facts = (await _facts(session, [current]))[current]
    return current, rules, facts.assessed(rules, at)


async def assess_changed(session: AsyncSession, *, since: datetime, at: datetime) -> bool:
    """Assess who has changed since then, and of whom something became stale; False: there may be more."""
    wanted = {"since": since - _LATE, "at": at, "most": AT_ONCE}
    ids = list(await session.scalars(_CHANGED, wanted)) + list(await session.scalars(_DUE, wanted))
    await assess(session, sorted(set(ids)), at=at)
    return len(ids) < AT_ONCE


async def assess_everybody(sessions: Sessions, job: RunningJob) -> Json:
    """Assess all customers, by id and in portions."""
    done, after = int(job.checkpoint.get("done", 0)), UUID(job.checkpoint.get("after", str(UUID(int=0))))
    while True:
        async with sessions.begin() as session:
            ids = await customers.list_ids(session, after=after, limit=AT_ONCE)
            if not ids:
                return {"customers": done}
            await assess(session, ids, at=job.clock.now())
            done, after = done + len(ids), ids[-1]
            await job.progress(session, done=done, checkpoint={"done": done, "after": str(after)})


async def assess(session: AsyncSession, ids: Sequence[UUID], *, at: datetime) -> None:
    """Bring the scores of these customers up to date, and what is to be verified; the same few statements."""
    if not ids:
        return
    await stop_merges(session)
    present = await customers.hold(session, ids)
    rules = rules_of(await policy(session))
    found = await _facts(session, sorted(present))
    assessed = {id: facts.assessed(rules, at) for id, facts in found.items()}
    await _store(session, found, assessed, rules, at=at)
    gone = [id for id in ids if id not in present]
    await session.execute(delete(QualityScore).where(QualityScore.customer_id.in_(gone)))
    stale = [
        (each.owner, each.subject, each.held.value)
        for id, facts in found.items()
        for each in facts.owned
        if each.held in assessed[id].stale
    ]
    await verifying.close_settled(
        session, ids, {(owner.id, subject, value) for owner, subject, value in stale}, at=at
    )
    await verifying.open_tasks(session, stale, reason=TaskReason.STALE, at=at)


async def list_worst(session: AsyncSession, *, page: PageRequest) -> Listing[QualityScore]:
    """Customers by their score, the worst first."""
    keys = [Key(QualityScore.score), Key(QualityScore.customer_id)]
    return await paginate(session, select(QualityScore), keys, page=page)


async def _store(
    session: AsyncSession,
    found: Mapping[UUID, Facts],
    assessed: Mapping[UUID, Assessment],
    rules: Rules,
    *,
    at: datetime,
) -> None:
    rows = [
        {
            "customer_id": id,
            "score": assessed[id].score,
            "missing": ",".join(assessed[id].missing),
            "invalid": len(assessed[id].invalid),
            "stale": len(assessed[id].stale),
            "look_at": assessed[id].look_at,
            "version": found[id].version,
            "policy_version": rules.version,
            "computed_at": at,
        }
        for id in sorted(found)
    ]
    if rows:
        await session.execute(_STORE, arrays(rows, *rows[0]))


async def _facts(session: AsyncSession, ids: Sequence[UUID]) -> dict[UUID, Facts]:
    members = {row.customer_id: row for row in await session.execute(_MEMBERS, {"ids": list(ids)})}
    owned: dict[UUID, list[Owned]] = {id: [] for id in members}
    for row in await session.execute(_HELD, {"ids": list(members)}):
        told_at = row.told_at or members[row.customer_id].created_at
        confirmed = row.outcome == Outcome.CONFIRMED and row.verified_at > told_at
        reaches = row.subject == Subject.ADDRESS or (
            contact_points.reaches(ContactKind(row.subject), row.value)
            and row.outcome != Outcome.INVALID
            and not row.bounced
        )
        held = Held(row.subject, row.value, reaches, row.verified_at if confirmed else told_at)
        owned[row.customer_id].append(Owned(Owner(row.customer_id, row.origin_customer_id), held))
    return {
        id: Facts(row.version, {*row.members, *(each.held.subject for each in owned[id])}, owned[id])
        for id, row in members.items()
    }


_IDS = bindparam("ids", type_=ARRAY(Uuid))
_INSTANTS = (
    bindparam("since", type_=DateTime(timezone=True)),
    bindparam("at", type_=DateTime(timezone=True)),
)
_CHANGED = text(
    """
    SELECT v.customer_id FROM customer_versions AS v
    LEFT JOIN customers AS c ON c.customer_id = v.customer_id
    LEFT JOIN quality_scores AS s ON s.customer_id = v.customer_id
    WHERE v.recorded_at > :since AND CASE
        WHEN c.customer_id IS NULL THEN s.customer_id IS NOT NULL
        ELSE s.customer_id IS NULL OR s.version < c.version
    END
    GROUP BY v.customer_id ORDER BY v.customer_id LIMIT :most
    """
).bindparams(_INSTANTS[0])
_DUE = text(
    "SELECT customer_id FROM quality_scores WHERE look_at <= :at ORDER BY look_at LIMIT :most"
).bindparams(_INSTANTS[1])
# Told is what a version has and the one before it had not; what a merge brought along was told elsewhere.
_HELD = text(
    """
    WITH verified AS (
        SELECT DISTINCT ON (customer_id, subject, value) customer_id, subject, value, outcome, verified_at
        FROM verifications WHERE customer_id = ANY(:ids)
        ORDER BY customer_id, subject, value, verified_at DESC
    ), bounced AS (
        SELECT DISTINCT customer_id, subject, value, true AS bounced FROM verification_tasks
        WHERE customer_id = ANY(:ids) AND reason = 'bounced' AND outcome IS NULL
    )
    SELECT h.customer_id, h.origin_customer_id, h.subject, h.value, h.told_at, outcome, verified_at, bounced
    FROM (
        SELECT p.customer_id, p.origin_customer_id, p.kind AS subject, p.value, (
            SELECT max(new.recorded_at) FROM customer_versions AS new
            LEFT JOIN customer_versions AS old
                ON old.customer_id = new.customer_id AND old.version = new.version - 1
            WHERE new.customer_id IN (p.customer_id, p.origin_customer_id)
              AND new.change IN ('created', 'changed', 'snapshot')
              AND new.state -> 'contact_points' @> point
              AND NOT coalesce(old.state -> 'contact_points' @> point, false)
        ) AS told_at
        FROM contact_points AS p
        CROSS JOIN LATERAL (
            SELECT jsonb_build_array(jsonb_build_object('kind', p.kind, 'value', p.value)) AS point
        ) AS as_told
        WHERE p.customer_id = ANY(:ids)
        UNION ALL
        SELECT a.customer_id, a.customer_id, 'address', '', (
            SELECT max(new.recorded_at) FROM customer_versions AS new
            LEFT JOIN customer_versions AS old
                ON old.customer_id = new.customer_id AND old.version = new.version - 1
            WHERE new.customer_id = a.customer_id AND new.change IN ('created', 'changed', 'snapshot')
              AND jsonb_typeof(new.state -> 'address') = 'object'
              AND new.state -> 'address' IS DISTINCT FROM old.state -> 'address'
        )
        FROM customers AS a WHERE a.customer_id = ANY(:ids) AND a.address IS NOT NULL
    ) AS h
    LEFT JOIN verified AS v
        ON v.customer_id = h.customer_id AND v.subject = h.subject AND v.value = h.value
    LEFT JOIN bounced AS b
        ON b.customer_id = h.customer_id AND b.subject = h.subject AND b.value = h.value
    """
).bindparams(_IDS)
_MEMBERS = text(
    """
    SELECT customer_id, version, created_at, array_remove(ARRAY[
        'name',
        CASE WHEN birth_date IS NOT NULL THEN 'birth_date' END,
        CASE WHEN gender IS NOT NULL THEN 'gender' END,
        CASE WHEN language IS NOT NULL THEN 'language' END,
        CASE WHEN region IS NOT NULL THEN 'region' END,
        CASE WHEN occupation IS NOT NULL THEN 'occupation' END
    ], NULL) AS members
    FROM customers WHERE customer_id = ANY(:ids)
    """
).bindparams(_IDS)
_STORE = text(
    """
    INSERT INTO quality_scores AS s (customer_id, score, missing, invalid, stale, look_at, version,
                                     policy_version, computed_at)
    SELECT customer_id, score, string_to_array(missing, ','), invalid, stale, look_at, version,
           policy_version, computed_at
    FROM unnest(
        CAST(:customer_id AS uuid[]), CAST(:score AS bigint[]), CAST(:missing AS text[]),
        CAST(:invalid AS bigint[]), CAST(:stale AS bigint[]), CAST(:look_at AS timestamptz[]),
        CAST(:version AS bigint[]), CAST(:policy_version AS bigint[]), CAST(:computed_at AS timestamptz[])
    ) AS n (customer_id, score, missing, invalid, stale, look_at, version, policy_version, computed_at)
    ON CONFLICT (customer_id) DO UPDATE
    SET score = excluded.score, missing = excluded.missing, invalid = excluded.invalid,
        stale = excluded.stale, look_at = excluded.look_at, version = excluded.version,
        policy_version = excluded.policy_version, computed_at = excluded.computed_at
    WHERE s.version <= excluded.version
    """
)
