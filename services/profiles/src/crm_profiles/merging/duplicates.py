"""Duplicates: pairs of customers who may be one person, found as customers change; somebody decides."""

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from uuid import UUID

import orjson
from sqlalchemy import (
    ARRAY,
    ColumnElement,
    DateTime,
    Select,
    Uuid,
    and_,
    bindparam,
    delete,
    func,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased, selectinload

from crm_profiles.bulk import arrays, insert_new
from crm_profiles.customers import contact_points
from crm_profiles.errors import DuplicateNotFound, DuplicateSettled
from crm_profiles.merging import matching
from crm_profiles.merging.matching import MatchKey, Person, Reason, ReasonKind
from crm_profiles.models.customers import Customer
from crm_profiles.models.duplicates import Duplicate, DuplicateState, KeyKind, MatchingKey
from crm_profiles.models.merges import Merge
from crm_shared.customers import resolve_one
from crm_shared.database import Json, Sessions
from crm_shared.ids import uuid7
from crm_shared.jobs import RunningJob
from crm_shared.pages import Key, Listing, PageRequest, paginate

MATCH = "match-customers"
"""Due work: those who changed since the instant at which it was due are compared with the others."""
SCAN = "duplicates-scan"
"""The job that compares everybody."""
EVERY = timedelta(seconds=5)
AT_ONCE = 500
_SCANNED_AT_ONCE = 100
"""Few: whoever compares waits for others, and a change is looked at within seconds during a scan, too."""

_LATE = timedelta(minutes=5)
"""A change may be committed as long as this after its instant; what comes later is found by a scan."""
_NEAREST = 50
"""Who shares a key is compared with so many before and after, by id: either side of a pair finds it, or none.

A key that more customers have says little, and must not cost more.
"""

_ALONE = text("SELECT pg_advisory_xact_lock(1835103328)")
_IDS = bindparam("ids", type_=ARRAY(Uuid))

_CHANGED = text(
    """
    SELECT v.customer_id FROM customer_versions AS v
    WHERE v.recorded_at > :since AND NOT EXISTS (
        SELECT FROM matched_customers AS m WHERE m.customer_id = v.customer_id AND m.version >= v.version
    )
    GROUP BY v.customer_id ORDER BY v.customer_id LIMIT :most
    """
).bindparams(bindparam("since", type_=DateTime(timezone=True)))
_NEXT = text(
    "SELECT customer_id FROM customers WHERE customer_id > :after ORDER BY customer_id LIMIT :most"
).bindparams(bindparam("after", type_=Uuid))
# Former contact points are those in a customer's history, but for what somebody else brought along whom
# they were taken for by mistake: it never was theirs.
_BELONGINGS = text(
    """
    WITH brought AS (
        SELECT merge.survivor_id, merge.survivor_version, merge.undone_at, p ->> 'kind' AS kind,
               p ->> 'value' AS value
        FROM merges AS merge
        JOIN merge_images AS image ON image.merge_id = merge.id AND image.customer_id = merge.absorbed_id
        CROSS JOIN LATERAL jsonb_array_elements(image.before -> 'contact_points') AS p
        WHERE merge.survivor_id = ANY(:ids) AND merge.undone_at IS NOT NULL
    )
    SELECT customer_id, kind AS of, value, 'held' AS how FROM contact_points WHERE customer_id = ANY(:ids)
    UNION ALL
    SELECT v.customer_id, p ->> 'kind', p ->> 'value', 'former'
    FROM customer_versions AS v CROSS JOIN LATERAL jsonb_array_elements(v.state -> 'contact_points') AS p
    WHERE v.customer_id = ANY(:ids) AND NOT EXISTS (
        SELECT FROM brought
        WHERE brought.survivor_id = v.customer_id AND brought.kind = p ->> 'kind'
            AND brought.value = p ->> 'value'
            AND v.version > brought.survivor_version AND v.recorded_at <= brought.undone_at
    )
    UNION ALL
    SELECT customer_id, source, external_id, 'named' FROM external_ids WHERE customer_id = ANY(:ids)
    """
).bindparams(_IDS)
_PAIRS = text(
    """
    WITH pairs AS (
        SELECT DISTINCT least(mine.customer_id, near.customer_id) AS first_id,
                        greatest(mine.customer_id, near.customer_id) AS second_id
        FROM matching_keys AS mine CROSS JOIN LATERAL (
            (SELECT key.customer_id FROM matching_keys AS key
             WHERE key.kind = mine.kind AND key.value = mine.value AND key.customer_id < mine.customer_id
             ORDER BY key.customer_id DESC LIMIT :nearest)
            UNION ALL
            (SELECT key.customer_id FROM matching_keys AS key
             WHERE key.kind = mine.kind AND key.value = mine.value AND key.customer_id > mine.customer_id
             ORDER BY key.customer_id LIMIT :nearest)
        ) AS near
        WHERE mine.customer_id = ANY(:ids)
    )
    SELECT pairs.*, a.name AS first_name, b.name AS second_name, a.birth_date AS first_birth,
           b.birth_date AS second_birth, similarity(a.name, b.name) AS similarity, shared.keys_
    FROM pairs
    JOIN customers AS a ON a.customer_id = first_id
    JOIN customers AS b ON b.customer_id = second_id
    CROSS JOIN LATERAL (
        SELECT jsonb_agg(jsonb_build_array(mine.kind, mine.value)) AS keys_
        FROM matching_keys AS mine JOIN matching_keys AS theirs USING (kind, value)
        WHERE mine.customer_id = first_id AND theirs.customer_id = second_id
    ) AS shared
    """
).bindparams(_IDS)
_COMMON_KEYS = text(
    """
    SELECT d.id, array_agg(DISTINCT mine.kind ORDER BY mine.kind) AS kinds
    FROM duplicates AS d
    JOIN matching_keys AS mine ON mine.customer_id = d.first_id
    JOIN matching_keys AS theirs
      ON theirs.kind = mine.kind AND theirs.value = mine.value AND theirs.customer_id = d.second_id
    WHERE d.id = ANY(:ids) AND EXISTS (
        SELECT FROM matching_keys AS key WHERE key.kind = mine.kind AND key.value = mine.value
        OFFSET :nearest + 1
    )
    GROUP BY d.id
    """
).bindparams(_IDS)
_KEEP = text(
    """
    INSERT INTO duplicates AS d (id, first_id, second_id, score, reasons, facts, state, found_at)
    SELECT id, first_id, second_id, score, CAST(reasons AS jsonb), facts, 'open', :at
    FROM unnest(
        CAST(:id AS uuid[]), CAST(:first_id AS uuid[]), CAST(:second_id AS uuid[]),
        CAST(:score AS double precision[]), CAST(:reasons AS text[]), CAST(:facts AS bytea[])
    ) AS n (id, first_id, second_id, score, reasons, facts)
    ON CONFLICT (first_id, second_id) DO UPDATE
    SET score = excluded.score, reasons = excluded.reasons, facts = excluded.facts, state = 'open',
        found_at = excluded.found_at, settled_at = NULL, settled_by = NULL, reason = NULL, merge_id = NULL
    WHERE d.facts <> excluded.facts OR d.state = 'merged'
    """
).bindparams(bindparam("at", type_=DateTime(timezone=True)))
_FORGET_GROUNDLESS = text(
    """
    DELETE FROM duplicates AS d
    WHERE d.state = 'open' AND (d.first_id = ANY(:ids) OR d.second_id = ANY(:ids)) AND NOT EXISTS (
        SELECT FROM unnest(CAST(:first_id AS uuid[]), CAST(:second_id AS uuid[])) AS n (first_id, second_id)
        WHERE n.first_id = d.first_id AND n.second_id = d.second_id
    )
    """
).bindparams(_IDS)
_MATCHED = text(
    """
    INSERT INTO matched_customers AS m (customer_id, version)
    SELECT customer_id, max(version) FROM customer_versions WHERE customer_id = ANY(:ids) GROUP BY customer_id
    ON CONFLICT (customer_id) DO UPDATE SET version = excluded.version
    """
).bindparams(_IDS)


@dataclass(frozen=True)
class DuplicateFilters:
    """Which pairs are listed: all that is given must hold."""

    state: DuplicateState
    min_score: float
    customer_id: UUID | None


async def list_(session: AsyncSession, filters: DuplicateFilters, *, page: PageRequest) -> Listing[Duplicate]:
    """Pairs, the likeliest first."""
    statement = _with_customers().where(
        Duplicate.state == filters.state, Duplicate.score >= filters.min_score
    )
    if filters.customer_id is not None:
        current = await resolve_one(session, filters.customer_id)
        statement = statement.where(or_(Duplicate.first_id == current, Duplicate.second_id == current))
    return await paginate(
        session,
        statement,
        [Key(Duplicate.score, descending=True), Key(Duplicate.id, descending=True)],
        page=page,
        filters=asdict(filters),
    )


async def get(session: AsyncSession, duplicate_id: UUID) -> Duplicate:
    """The pair with both customers, as far as they are on file; raises DuplicateNotFound."""
    found = await session.scalar(_with_customers().where(Duplicate.id == duplicate_id))
    if found is None:
        raise DuplicateNotFound(duplicate_id=str(duplicate_id))
    return found


async def common_keys(session: AsyncSession, ids: Collection[UUID]) -> dict[UUID, list[KeyKind]]:
    """By pair, in what both agree with more customers than are compared; a pair without such is left out."""
    found = await session.execute(_COMMON_KEYS, {"ids": list(ids), "nearest": _NEAREST})
    return {row.id: [KeyKind(kind) for kind in row.kinds] for row in found}


async def dismiss(
    session: AsyncSession, duplicate_id: UUID, reason: str | None, *, by: str, at: datetime
) -> None:
    """They are two: the pair comes back only when what speaks for it changes. Repeating it is harmless.

    Raises DuplicateNotFound, DuplicateSettled.
    """
    found = await session.scalar(select(Duplicate).where(Duplicate.id == duplicate_id).with_for_update())
    if found is None:
        raise DuplicateNotFound(duplicate_id=str(duplicate_id))
    if found.state is DuplicateState.MERGED:
        raise DuplicateSettled(merge_id=str(found.merge_id))
    if found.state is DuplicateState.OPEN:
        found.state = DuplicateState.DISMISSED
        found.settled_at, found.settled_by, found.reason = at, by, reason


async def note_merge(session: AsyncSession, merge: Merge) -> None:
    """The pair is settled; what else was found of who is absorbed is no pair any more."""
    absorbed = or_(Duplicate.first_id == merge.absorbed_id, Duplicate.second_id == merge.absorbed_id)
    await session.execute(
        update(Duplicate)
        .where(_pair(merge))
        .values(
            state=DuplicateState.MERGED,
            merge_id=merge.id,
            settled_at=merge.made_at,
            settled_by=merge.made_by,
            reason=merge.reason,
        )
    )
    await session.execute(delete(Duplicate).where(absorbed, Duplicate.state == DuplicateState.OPEN))


async def note_undoing(session: AsyncSession, merge: Merge, *, by: str, at: datetime) -> None:
    """Somebody has found that they are two, whatever speaks for one now: only something else asks again."""
    first_id, second_id = sorted((merge.survivor_id, merge.absorbed_id))
    found = await _weigh(session, first_id, second_id)
    dismissed = {
        **_judged(found),
        "state": DuplicateState.DISMISSED,
        "settled_at": at,
        "settled_by": by,
        "reason": merge.undo_reason,
        "merge_id": None,
    }
    pair = {"id": uuid7(), "first_id": first_id, "second_id": second_id, "found_at": at}
    await session.execute(
        insert(Duplicate)
        .values(**pair, **dismissed)
        .on_conflict_do_update(index_elements=["first_id", "second_id"], set_=dismissed)
    )


async def match_changed(session: AsyncSession, *, since: datetime, at: datetime) -> bool:
    """Compare who changed since then with everybody; False: there may be more of them."""
    ids = list(await session.scalars(_CHANGED, {"since": since - _LATE, "most": AT_ONCE}))
    await compare(session, ids, at=at)
    return len(ids) < AT_ONCE


async def scan(sessions: Sessions, job: RunningJob) -> Json:
    """Compare everybody with everybody who shares a key, by id and in portions."""
    done, after = int(job.checkpoint.get("done", 0)), UUID(job.checkpoint.get("after", str(UUID(int=0))))
    while True:
        async with sessions.begin() as session:
            ids = list(await session.scalars(_NEXT, {"after": after, "most": _SCANNED_AT_ONCE}))
            if not ids:
                return {"customers": done}
            await compare(session, ids, at=job.clock.now())
            done, after = done + len(ids), ids[-1]
            await job.progress(session, done=done, checkpoint={"done": done, "after": str(after)})


async def compare(session: AsyncSession, ids: Sequence[UUID], *, at: datetime) -> None:
    """Bring the keys of these customers up to date, and the pairs that they are part of.

    The number of statements does not depend on that of customers; who is compared depends on shared keys
    only. One at a time: two who did this beside each other would not see each other's keys.
    """
    if not ids:
        return
    await session.execute(_ALONE)
    # Before anything is read of them: what changes meanwhile is a later version, to be looked at next.
    await session.execute(_MATCHED, {"ids": list(ids)})
    await _renew_keys(session, ids)
    rows = await session.execute(_PAIRS, {"ids": list(ids), "nearest": _NEAREST})
    pairs: list[Json] = []
    for row in rows:
        one, other = Person(row.first_name, row.first_birth), Person(row.second_name, row.second_birth)
        shared = [MatchKey(KeyKind(kind), value) for kind, value in row.keys_]
        judged = _judged(matching.reasons(one, other, shared, row.similarity))
        if judged["score"] >= matching.THRESHOLD:
            pairs.append({"id": uuid7(), "first_id": row.first_id, "second_id": row.second_id, **judged})
    pairs.sort(key=lambda pair: (pair["first_id"], pair["second_id"]))
    names = ("id", "first_id", "second_id", "score", "reasons", "facts")
    columns = arrays(pairs, *names)
    if pairs:
        reasons = [orjson.dumps(each).decode() for each in columns["reasons"]]
        await session.execute(_KEEP, columns | {"reasons": reasons, "at": at})
    groundless = {"ids": list(ids), "first_id": columns["first_id"], "second_id": columns["second_id"]}
    await session.execute(_FORGET_GROUNDLESS, groundless)


async def _weigh(session: AsyncSession, first_id: UUID, second_id: UUID) -> list[Reason]:
    """What speaks for these two being one, by what each has now: as comparing everybody will find it."""
    one, other = aliased(Customer), aliased(Customer)
    both = select(
        one.name, one.birth_date, other.name, other.birth_date, func.similarity(one.name, other.name)
    ).join(other, other.id == second_id)
    name, born, other_name, other_born, similarity = (
        await session.execute(both.where(one.id == first_id))
    ).one()
    keys = await _keys(session, [first_id, second_id])
    mine, theirs = ({MatchKey(key.kind, key.value) for key in keys[id]} for id in (first_id, second_id))
    return matching.reasons(Person(name, born), Person(other_name, other_born), mine & theirs, similarity)


async def _renew_keys(session: AsyncSession, ids: Collection[UUID]) -> None:
    rows = [
        {"kind": key.kind, "value": key.value, "customer_id": id, "former": key.former}
        for id, keys in (await _keys(session, ids)).items()
        for key in keys
    ]
    await session.execute(delete(MatchingKey).where(MatchingKey.customer_id.in_(ids)))
    if rows:
        await session.execute(_INSERT_KEYS, arrays(rows, *_KEY_COLUMNS))


async def _keys(session: AsyncSession, ids: Collection[UUID]) -> dict[UUID, set[MatchKey]]:
    """By what each who is on file may be recognised."""
    belongings: dict[tuple[UUID, str], list[tuple[str, str]]] = defaultdict(list)
    for row in await session.execute(_BELONGINGS, {"ids": list(ids)}):
        belongings[row.customer_id, row.how].append((row.of, row.value))
    people = await session.execute(
        select(Customer.id, Customer.name, Customer.birth_date).where(Customer.id.in_(ids))
    )
    return {
        person.id: matching.keys_of(
            Person(person.name, person.birth_date),
            points=belongings[person.id, "held"],
            former=belongings[person.id, "former"],
            external_ids=[value for _, value in belongings[person.id, "named"]],
        )
        for person in people
    }


_KEY_COLUMNS = ("kind", "value", "customer_id", "former")
_INSERT_KEYS = insert_new(MatchingKey, *_KEY_COLUMNS)


def _judged(found: Sequence[Reason]) -> Json:
    """The columns of a pair that say how likely it is, and why."""
    return {
        "score": matching.score(found),
        "reasons": [_shown(reason) for reason in found],
        "facts": matching.digest(found),
    }


def _shown(reason: Reason) -> Json:
    """As it is stored and answered: contact points are masked for all, to recognise is enough here."""
    evidence = reason.evidence
    if reason.reason is ReasonKind.SAME_CONTACT_POINT:
        kind, _, value = evidence.partition(":")
        evidence = f"{kind} {contact_points.mask(kind, value)}"
    elif reason.reason is ReasonKind.SAME_EMAIL_NAME:
        evidence = f"{evidence[:2]}***"
    return {"reason": reason.reason.value, "weight": reason.weight, "evidence": evidence}


def _with_customers() -> Select[Duplicate]:
    of_customer = (Customer.contact_points, Customer.external_ids)
    return select(Duplicate).options(
        *(
            selectinload(side).selectinload(of)
            for side in (Duplicate.first, Duplicate.second)
            for of in of_customer
        )
    )


def _pair(merge: Merge) -> ColumnElement[bool]:
    first, second = sorted((merge.survivor_id, merge.absorbed_id))
    return and_(Duplicate.first_id == first, Duplicate.second_id == second)
