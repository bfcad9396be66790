"""Traces: what undone merges have left of somebody with others.

While two were taken for one customer, the states of the survivor told of both. Those states stay in the
survivor's history when the merge is undone. They must not tell of who is erased later, and are no business of
the survivor, who asks what is held about them.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from crm_profiles.merging import duplicates
from crm_profiles.models.history import CustomerVersion
from crm_profiles.models.merges import Merge, MergeImage
from crm_profiles.privacy import suppression
from crm_shared.contracts.profiles import CustomerChanged
from crm_shared.database import Json
from crm_shared.idempotency import IdempotencyKey
from crm_shared.outbox import Outbox

_OWN, _THEIRS = aliased(MergeImage), aliased(MergeImage)
_UNDONE = (
    select(Merge, _OWN.before, _THEIRS.before)
    .join(_OWN, (_OWN.merge_id == Merge.id) & (_OWN.customer_id == Merge.survivor_id))
    .join(_THEIRS, (_THEIRS.merge_id == Merge.id) & (_THEIRS.customer_id == Merge.absorbed_id))
    .where(Merge.undone_at.is_not(None))
)


@dataclass(frozen=True)
class Trace:
    """Somebody was taken for this customer: for how long, and what each of the two was before."""

    customer_id: UUID
    since: datetime
    until: datetime
    own: Json
    foreign: Json


@dataclass(frozen=True)
class Belongings:
    """All by which somebody was ever reached and named, as states have it."""

    points: Sequence[Json]
    names: Sequence[Json]


async def remove(session: AsyncSession, erased: Collection[UUID], *, at: datetime) -> int:
    """Take these customers, who are one person, out of the states of those they were once taken for.

    Says in how many states there was something of them. To be called while their own histories are there.
    """
    traces = await _find(session, erased)
    if not traces:
        return 0
    belongings = await _belongings(session, erased)
    cleaned = 0
    for trace in traces:
        cleaned += await _clean_history(session, trace, belongings)
        await _clean_images(session, trace, belongings)
        await _clean_outbox(session, trace, belongings)
        await _forget_replies(session, trace)
    await session.flush()
    # They are no more recognised by what they had with the other one.
    await duplicates.compare(session, sorted({trace.customer_id for trace in traces}), at=at)
    return cleaned


async def leave_out(session: AsyncSession, customers: Collection[UUID], lines: Sequence[str]) -> list[str]:
    """The lines of an export of these customers, without others whom they were once taken for.

    Merges that were made by mistake and undone are told of by their ids alone.
    """
    merges = await session.execute(
        _UNDONE.where(Merge.survivor_id.in_(customers), Merge.absorbed_id.not_in(customers))
    )
    traces = [(_trace(merge, own, foreign), merge.absorbed_id) for merge, own, foreign in merges]
    theirs = [(trace, await _belongings(session, [other])) for trace, other in traces]
    return [_own_line(line, theirs) for line in lines] if theirs else list(lines)


def _own_line(line: str, traces: Sequence[tuple[Trace, Belongings]]) -> str:
    told: Json = orjson.loads(line)
    if told["table"] != CustomerVersion.__tablename__:
        return line
    row = told["row"]
    id, instant = UUID(row["customer_id"]), datetime.fromisoformat(row["recorded_at"])
    for trace, belongings in traces:
        if trace.customer_id == id and trace.since <= instant <= trace.until:
            row["state"] = without(row["state"], trace, belongings)
    return orjson.dumps(told).decode()


async def _belongings(session: AsyncSession, customers: Collection[UUID]) -> Belongings:
    points = await suppression.every_point(session, customers)
    names = await suppression.every_name(session, customers)
    return Belongings(
        [{"kind": point.kind, "value": point.value} for point in points],
        [{"source": source, "external_id": external_id} for source, external_id in names],
    )


async def _find(session: AsyncSession, erased: Collection[UUID]) -> list[Trace]:
    """Of those who absorbed one of them for a while, and of those who absorbed these meanwhile."""
    first = await session.execute(
        _UNDONE.where(Merge.absorbed_id.in_(erased), Merge.survivor_id.not_in(erased))
    )
    new = [_trace(merge, own, foreign) for merge, own, foreign in first]
    found = [*new]
    while new:
        later = (
            await session.execute(_UNDONE.where(Merge.absorbed_id.in_({trace.customer_id for trace in new})))
        ).all()
        new = [
            _trace(merge, own, trace.foreign)
            for trace in new
            for merge, own, _ in later
            if merge.absorbed_id == trace.customer_id and trace.since <= merge.made_at < trace.until
        ]
        found += new
    return found


def _trace(merge: Merge, own: Json, foreign: Json) -> Trace:
    assert merge.undone_at is not None
    return Trace(merge.survivor_id, merge.made_at, merge.undone_at, own, foreign)


async def _clean_history(session: AsyncSession, trace: Trace, belongings: Belongings) -> int:
    versions = await session.scalars(
        select(CustomerVersion).where(
            CustomerVersion.customer_id == trace.customer_id,
            CustomerVersion.recorded_at.between(trace.since, trace.until),
        )
    )
    cleaned = 0
    for version in versions:
        state = without(version.state, trace, belongings)
        cleaned += state != version.state
        version.state = state
    return cleaned


async def _clean_images(session: AsyncSession, trace: Trace, belongings: Belongings) -> None:
    """What this merge has left, and what others found and left meanwhile."""
    images = await session.scalars(
        select(MergeImage)
        .join(Merge, Merge.id == MergeImage.merge_id)
        .where(
            MergeImage.customer_id == trace.customer_id,
            Merge.made_at.between(trace.since, trace.until),
        )
    )
    for image in images:
        image.before = without(image.before, trace, belongings)
        image.after = image.after and without(image.after, trace, belongings)


async def _clean_outbox(session: AsyncSession, trace: Trace, belongings: Belongings) -> None:
    sent = await session.scalars(
        select(Outbox).where(
            Outbox.key == str(trace.customer_id),
            Outbox.type == CustomerChanged.type,
            Outbox.time.between(trace.since, trace.until),
        )
    )
    for event in sent:
        event.data = orjson.dumps(without(orjson.loads(event.data), trace, belongings)).decode()


async def _forget_replies(session: AsyncSession, trace: Trace) -> None:
    await session.execute(
        update(IdempotencyKey)
        .where(
            IdempotencyKey.customer_ids.overlap([trace.customer_id]),
            IdempotencyKey.created_at.between(trace.since, trace.until),
        )
        .values(body=None, headers={}, customer_ids=[])
    )


def without(state: Json, trace: Trace, belongings: Belongings) -> Json:
    """The state with what was on file before in the place of what came from the other customer."""
    theirs = {"contact_points": belongings.points, "external_ids": belongings.names}
    foreign = trace.foreign | theirs
    return {name: _own(name, value, foreign.get(name), trace.own.get(name)) for name, value in state.items()}


def _own(name: str, there: Any, foreign: Any, own: Any) -> Any:
    """A member; of lists each element for itself, of the custom attributes each value."""
    if isinstance(there, list):
        return [each for each in there if each in (own or ()) or each not in (foreign or ())]
    if name == "attributes":
        foreign, own = foreign or {}, own or {}
        values = {key: _own(key, value, foreign.get(key), own.get(key)) for key, value in there.items()}
        return {key: value for key, value in values.items() if value not in (None, [])}
    return own if there is not None and there == foreign != own else there
