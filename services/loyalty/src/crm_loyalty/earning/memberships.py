"""Who is in which segments: a copy of what segmentation tells, as rules and audiences ask it."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from uuid import UUID

from sqlalchemy import ARRAY, ColumnElement, Text, exists, func, literal, text, tuple_
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import InstrumentedAttribute, aliased

from crm_loyalty.models.segments import Membership
from crm_loyalty.rules.segments import Segments
from crm_shared import customers
from crm_shared.contracts.segmentation import MembershipEntered, MembershipState

# In the order of the key, so that two who keep the same ones do not wait for each other in a circle.
_KEEP = text(
    """
    INSERT INTO memberships AS m (origin_customer_id, segment, customer_id, member, version, changed_at)
    SELECT DISTINCT ON (origin, segment) origin, segment, owner, member, version, changed_at
    FROM unnest(
        CAST(:origins AS uuid[]), CAST(:segments AS text[]), CAST(:owners AS uuid[]),
        CAST(:members AS boolean[]), CAST(:versions AS bigint[]), CAST(:changed AS timestamptz[])
    ) AS n (origin, segment, owner, member, version, changed_at)
    ORDER BY origin, segment, version DESC
    ON CONFLICT (origin_customer_id, segment) DO UPDATE
    SET member = excluded.member, version = excluded.version, changed_at = excluded.changed_at
    WHERE m.version < excluded.version
    """
)


async def keep(session: AsyncSession, events: Sequence[MembershipState]) -> None:
    """Keep of each customer and segment what the newest event says, in whatever order they come."""
    owners = await customers.resolve(session, {event.customer_id for event in events}, lock=True)
    await session.execute(
        _KEEP,
        {
            "origins": [event.customer_id for event in events],
            "segments": [event.segment for event in events],
            "owners": [owners[event.customer_id] for event in events],
            "members": [isinstance(event, MembershipEntered) for event in events],
            "versions": [event.version for event in events],
            "changed": [event.occurred_at for event in events],
        },
    )


async def of(session: AsyncSession, owners: Collection[UUID]) -> Mapping[UUID, frozenset[str]]:
    """The segments of each; of what was told of the ids of one customer, the newest counts."""
    rows = customers.current(Membership, owners, per=[Membership.segment], newest=Membership.changed_at)
    found: dict[UUID, set[str]] = defaultdict(set)
    for row in await session.scalars(rows):
        if row.member:
            found[row.customer_id].add(row.segment)
    return {owner: frozenset(segments) for owner, segments in found.items()}


def hold(owner: InstrumentedAttribute[UUID], wanted: Segments) -> list[ColumnElement[bool]]:
    """The same as conditions of a query about customers."""
    conditions = []
    if wanted.any_of:
        conditions.append(_in_one_of(owner, wanted.any_of))
    if wanted.none_of:
        conditions.append(~_in_one_of(owner, wanted.none_of))
    return conditions


def _in_one_of(owner: InstrumentedAttribute[UUID], segments: Collection[str]) -> ColumnElement[bool]:
    newer = aliased(Membership)
    contradicted = exists().where(
        newer.customer_id == Membership.customer_id,
        newer.segment == Membership.segment,
        tuple_(newer.changed_at, Membership.origin_customer_id)
        > tuple_(Membership.changed_at, newer.origin_customer_id),
    )
    return exists().where(
        Membership.customer_id == owner,
        Membership.segment == func.any(literal(sorted(segments), ARRAY(Text))),
        Membership.member,
        ~contradicted,
    )
