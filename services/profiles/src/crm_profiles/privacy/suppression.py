"""Suppression: who was erased does not come back in bulk, by a list that names nobody.

The list holds keyed digests of contact points and external ids. A person may return of their own will: what
is written for one person at a time is let through, and once they are on file again, bulk writes about them
are too. Only imports and batches ask here.
"""

import hmac
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias
from uuid import UUID

from sqlalchemy import ARRAY, LargeBinary, Uuid, bindparam, func, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from crm_profiles.bulk import arrays, unnested
from crm_profiles.customers import contact_points
from crm_profiles.customers.contact_points import Point
from crm_profiles.errors import InvalidContactPoint, PersonSuppressed
from crm_profiles.models.customers import ContactPoint, ExternalId
from crm_profiles.models.privacy import SuppressedKind, Suppression
from crm_profiles.schemas.customers import CustomerItem, CustomerMembers
from crm_shared.customers import erased, stop_merges
from crm_shared.problems import Fault

ExternalKey: TypeAlias = tuple[str, str]
"""A source and what it calls the customer."""


@dataclass(frozen=True)
class Hits:
    """What belonged to somebody who was erased, and is nobody's now."""

    points: frozenset[Point] = frozenset()
    external_ids: frozenset[ExternalKey] = frozenset()


def point_digest(point: Point, key: bytes) -> bytes:
    return _digest(key, SuppressedKind.CONTACT_POINT, point.kind, point.value)


def external_digest(name: ExternalKey, key: bytes) -> bytes:
    return _digest(key, SuppressedKind.EXTERNAL_ID, *name)


def _digest(key: bytes, *parts: str) -> bytes:
    return hmac.digest(key, "\x1f".join(parts).encode(), "sha256")


async def suppress(
    session: AsyncSession, customers: Collection[UUID], *, erasure_id: UUID, key: bytes, at: datetime
) -> int:
    """Put all by which these, who are one person, are or were reached and named on the list; says how many.

    What was lifted before is suppressed again, and why it was lifted is forgotten.
    """
    points, names = await every_point(session, customers), await every_name(session, customers)
    digests = {point_digest(point, key): SuppressedKind.CONTACT_POINT for point in points}
    digests |= {external_digest(name, key): SuppressedKind.EXTERNAL_ID for name in names}
    if not digests:
        return 0
    new = {"erasure_id": erasure_id, "suppressed_at": at}
    cleared = {"lifted_at": None, "lifted_by": None, "lift_reason": None}
    statement = insert(Suppression).on_conflict_do_update(
        index_elements=[Suppression.digest], set_=new | cleared
    )
    rows = [{"digest": digest, "kind": kind} | new for digest, kind in sorted(digests.items())]
    await session.execute(statement, rows)
    return len(rows)


async def every_point(session: AsyncSession, customers: Collection[UUID]) -> list[Point]:
    """All by which these customers are reached, or ever were."""
    return [Point(*row) for row in await session.execute(_EVERY_POINT, {"ids": sorted(customers)})]


async def every_name(session: AsyncSession, customers: Collection[UUID]) -> list[ExternalKey]:
    """What other systems call these customers, or ever did."""
    rows = await session.execute(_EVERY_NAME, {"ids": sorted(customers)})
    return [(source, external_id) for source, external_id in rows]


async def suppressed(
    session: AsyncSession, points: Collection[Point], external_ids: Collection[ExternalKey], *, key: bytes
) -> Hits:
    """Which of these belonged to somebody who was erased and has not come back since."""
    of_points: dict[bytes, Point | ExternalKey] = {point_digest(point, key): point for point in points}
    return await _hits(session, of_points | {external_digest(name, key): name for name in external_ids})


async def _hits(session: AsyncSession, digests: Mapping[bytes, Point | ExternalKey]) -> Hits:
    listed = list(await session.scalars(_LISTED, {"digests": sorted(digests)}))
    if not listed:
        return Hits()
    found = [digests[digest] for digest in listed]
    points = [each for each in found if isinstance(each, Point)]
    names = [each for each in found if not isinstance(each, Point)]
    return Hits(
        frozenset(points) - await _points_on_file(session, points),
        frozenset(names) - await _names_on_file(session, names),
    )


@dataclass(frozen=True)
class Question:
    """Whether items of a batch would bring somebody back, made ready to be asked."""

    points: Mapping[int, Mapping[int, Point]]
    names: Mapping[int, ExternalKey]
    digests: Mapping[bytes, Point | ExternalKey]

    @classmethod
    def of(cls, items: Mapping[int, CustomerMembers], *, key: bytes) -> "Question":
        points = {index: points_of(item) for index, item in items.items()}
        names = {
            index: (item.source, item.external_id)
            for index, item in items.items()
            if isinstance(item, CustomerItem)
        }
        digests: dict[bytes, Point | ExternalKey] = {
            point_digest(point, key): point for of_item in points.values() for point in of_item.values()
        }
        digests |= {external_digest(name, key): name for name in names.values()}
        return cls(points, names, digests)


async def refuse(session: AsyncSession, question: Question) -> dict[int, PersonSuppressed]:
    """The items of a batch that would bring somebody back, by their index, with what is wrong.

    Waits for an erasure under way, and lets none begin before the transaction ends: the answer is true of
    what is written after it.
    """
    await stop_merges(session)
    hits = await _hits(session, question.digests)
    if not (hits.points or hits.external_ids):
        return {}
    refused: dict[int, PersonSuppressed] = {}
    for index, points in question.points.items():
        where = [f"/contact_points/{i}/value" for i, point in points.items() if point in hits.points]
        where += ["/external_id"] if question.names.get(index) in hits.external_ids else []
        if where:
            refused[index] = PersonSuppressed(errors=[_fault(pointer) for pointer in where])
    return refused


async def refuse_ids(session: AsyncSession, ids: Mapping[int, UUID]) -> dict[int, PersonSuppressed]:
    """Those of the ids, by their index, whose customers were erased: what is told of them is not kept."""
    gone = await erased(session, set(ids.values()))
    fault: Fault = {"pointer": "/id", "code": "suppressed", "message": "This customer was erased."}
    return {index: PersonSuppressed(errors=[fault]) for index, id in ids.items() if id in gone}


async def lift(
    session: AsyncSession, digests: Collection[bytes], *, by: str, reason: str, at: datetime
) -> set[bytes]:
    """Take these off the list; those that were on it are returned."""
    lifted = (
        update(Suppression)
        .where(Suppression.digest.in_(digests), Suppression.lifted_at.is_(None))
        .values(lifted_at=at, lifted_by=by, lift_reason=reason)
        .returning(Suppression.digest)
    )
    return set(await session.scalars(lifted))


async def find(session: AsyncSession, digests: Sequence[bytes]) -> dict[bytes, Suppression]:
    """The entries of the list, lifted ones included."""
    rows = await session.scalars(select(Suppression).where(Suppression.digest.in_(digests)))
    return {row.digest: row for row in rows}


_IDS = bindparam("ids", type_=ARRAY(Uuid))
_EVERY_POINT = text(
    """
    SELECT kind, value FROM contact_points WHERE customer_id = ANY(:ids)
    UNION
    SELECT point ->> 'kind', point ->> 'value'
    FROM customer_versions, jsonb_array_elements(state -> 'contact_points') AS point
    WHERE customer_id = ANY(:ids)
    """
).bindparams(_IDS)
_EVERY_NAME = text(
    """
    SELECT source, external_id FROM external_ids WHERE customer_id = ANY(:ids)
    UNION
    SELECT name ->> 'source', name ->> 'external_id'
    FROM customer_versions, jsonb_array_elements(state -> 'external_ids') AS name
    WHERE customer_id = ANY(:ids)
    """
).bindparams(_IDS)
_LISTED = select(Suppression.digest).where(
    Suppression.digest == func.any(bindparam("digests", type_=ARRAY(LargeBinary))),
    Suppression.lifted_at.is_(None),
)
_ASKED_POINTS = select(*unnested(ContactPoint.kind, ContactPoint.value)).subquery()
_HELD_POINTS = select(ContactPoint.kind, ContactPoint.value).join(
    _ASKED_POINTS,
    (_ASKED_POINTS.c.kind == ContactPoint.kind) & (_ASKED_POINTS.c.value == ContactPoint.value),
)
_ASKED_NAMES = select(*unnested(ExternalId.source, ExternalId.external_id)).subquery()
_HELD_NAMES = select(ExternalId.source, ExternalId.external_id).join(
    _ASKED_NAMES,
    (_ASKED_NAMES.c.source == ExternalId.source) & (_ASKED_NAMES.c.external_id == ExternalId.external_id),
)


async def _points_on_file(session: AsyncSession, points: Iterable[Point]) -> set[Point]:
    rows = [point._asdict() for point in points]
    if not rows:
        return set()
    return {Point(*row) for row in await session.execute(_HELD_POINTS, arrays(rows, "kind", "value"))}


async def _names_on_file(session: AsyncSession, names: Iterable[ExternalKey]) -> set[ExternalKey]:
    rows = [{"source": source, "external_id": external_id} for source, external_id in names]
    if not rows:
        return set()
    held = await session.execute(_HELD_NAMES, arrays(rows, "source", "external_id"))
    return {(row.source, row.external_id) for row in held}


def points_of(item: CustomerMembers) -> dict[int, Point]:
    """The item's contact points by their index; what cannot be read is refused elsewhere."""
    found: dict[int, Point] = {}
    for index, point in enumerate(item.contact_points or ()):
        try:
            found[index] = contact_points.normalise(point.kind, point.value, item.region)
        except InvalidContactPoint:
            continue
    return found


def _fault(pointer: str) -> Fault:
    message = "It belonged to somebody who was erased; see POST /v1/privacy/suppressions/lift."
    return {"pointer": pointer, "code": "suppressed", "message": message}
