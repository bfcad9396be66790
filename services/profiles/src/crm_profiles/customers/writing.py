"""Writing customers: drafts become rows, versions and events, one statement however many they are."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import orjson
from sqlalchemy import ARRAY, DateTime, Text, Uuid, bindparam, column, func, literal_column, select
from sqlalchemy.dialects.postgresql import JSONB, insert
from sqlalchemy.ext.asyncio import AsyncSession

from crm_profiles.bulk import arrays, unnested
from crm_profiles.customers import contact_points, external_ids
from crm_profiles.customers.contact_points import Owner, Point
from crm_profiles.customers.describing import FIELDS
from crm_profiles.customers.drafts import Draft, Status
from crm_profiles.errors import ContactPointTaken
from crm_profiles.models.customers import Customer
from crm_profiles.models.history import Change, CustomerVersion
from crm_profiles.stages import stages
from crm_shared import outbox
from crm_shared.clock import Clock
from crm_shared.database import Json
from crm_shared.ids import row_id
from crm_shared.prepared import Prepared
from crm_shared.problems import Problem

RESOLUTION = timedelta(microseconds=1)


@dataclass(frozen=True)
class Written:
    """A customer as stored now; `before` is the version that was found, 0 for a new one."""

    customer_id: UUID
    status: Status
    before: int


async def write_one(session: AsyncSession, draft: Draft, *, clock: Clock) -> Written:
    """Store the draft; raises ContactPointTaken."""
    [outcome] = await write(session, [draft], clock=clock)
    if isinstance(outcome, Problem):
        raise outcome
    return outcome


async def write(session: AsyncSession, drafts: Sequence[Draft], *, clock: Clock) -> list[Written | Problem]:
    """Store drafts, whose customers are locked or new, and tell the world; a refused one leaves no trace."""
    claims: dict[Point, Owner] = {}
    for draft in drafts:
        for point in draft.points - draft.held.points:
            claims.setdefault(point, draft.owner)
    holders = await contact_points.claim(session, claims)
    outcomes: list[Written | Problem] = []
    refused: set[UUID] = set()
    released: set[Point] = set()
    for draft in drafts:
        lacking = draft.points - draft.held.points
        foreign = sorted(point for point in lacking if holders[point] != draft.owner.id)
        if foreign:
            holder = holders[foreign[0]]
            outcomes.append(_taken(foreign[0], None if holder in refused else holder))
            refused.add(draft.owner.id)
            released |= lacking - set(foreign)
        else:
            outcomes.append(Written(draft.owner.id, draft.status, draft.version))
            released |= draft.held.points - draft.points
    await contact_points.release(session, released)
    good = [d for d, outcome in zip(drafts, outcomes, strict=True) if isinstance(outcome, Written)]
    await external_ids.release(session, {key for draft in good for key in draft.held.keys - draft.keys})
    await _store(session, [draft for draft in good if draft.status is not Status.UNCHANGED], clock.now())
    return outcomes


_COLUMNS = [column.name for column in CustomerVersion.__table__.columns]
_TOLD = (
    select(
        *unnested(
            *(CustomerVersion.customer_id, CustomerVersion.version, CustomerVersion.recorded_at),
            *(CustomerVersion.actor, CustomerVersion.source, CustomerVersion.channel, CustomerVersion.change),
        ),
        func.unnest(bindparam("data", type_=ARRAY(Text))).label("data"),
        func.unnest(bindparam("event_id", type_=ARRAY(Uuid))).label("event_id"),
        func.unnest(bindparam("type", type_=ARRAY(Text))).label("type"),
        func.unnest(bindparam("traceparent", type_=ARRAY(Text))).label("traceparent"),
        func.unnest(bindparam("causation_id", type_=ARRAY(Text))).label("causation_id"),
    )
).cte("told")
_STATED = select(_TOLD, _TOLD.c.data.cast(JSONB).label("state")).cte("stated")
_CUSTOMERS = Customer.metadata.tables[Customer.__tablename__]
_NAMES = ("customer_id", "source", "channel", "version", "created_at", *FIELDS)
_STATE = func.jsonb_populate_record(literal_column("CAST(NULL AS customers)"), _STATED.c.state).table_valued(
    *(column(name, _CUSTOMERS.c[name].type) for name in _NAMES), name="state", joins_implicitly=True
)
_NEW_OR_CHANGED = insert(_CUSTOMERS).from_select(
    [*_NAMES, "updated_at"],
    select(*(_STATE.c[name] for name in _NAMES), _STATED.c.recorded_at).select_from(_STATED, _STATE),
    include_defaults=False,
)
_CHANGED = {name: _NEW_OR_CHANGED.excluded[name] for name in ("version", "updated_at", *FIELDS)}
_KEY = _TOLD.c.customer_id.cast(Text)
_EVENTS = select(
    *(_TOLD.c.event_id.label("id"), _TOLD.c.type, _KEY.label("key"), _KEY.label("subject")),
    *(_TOLD.c.version, _TOLD.c.data, _TOLD.c.recorded_at.label("time")),
    *(_TOLD.c.traceparent, _TOLD.c.causation_id, _TOLD.c.actor),
)
_STORE = Prepared(
    insert(CustomerVersion.metadata.tables[CustomerVersion.__tablename__])
    .from_select(_COLUMNS, select(*(_STATED.c[name] for name in _COLUMNS)), include_defaults=False)
    .add_cte(
        _NEW_OR_CHANGED.on_conflict_do_update(index_elements=["customer_id"], set_=_CHANGED).cte("stored"),
        outbox.publishing(_EVENTS).cte("published"),
        # Who is new, and who has another past now.
        stages.looking_again(
            _TOLD.c.customer_id,
            bindparam("now", type_=DateTime(timezone=True)),
            _TOLD.c.change != Change.CHANGED.value,
        ).cte("unstaged"),
    )
)
"""The states become rows of customers, versions of their histories and events, in one statement."""


async def _store(session: AsyncSession, drafts: Sequence[Draft], now: datetime) -> None:
    """Each version is recorded later than the one before, whatever the clock says."""
    if not drafts:
        return
    ours = outbox.author_of(session)
    rows: list[Json] = []
    for draft in drafts:
        at = now if draft.changed_at is None else max(now, draft.changed_at + RESOLUTION)
        draft.recorded_at = at
        cause, author = draft.cause, draft.author or ours
        data = orjson.dumps(draft.state(at), option=orjson.OPT_UTC_Z).decode()
        rows.append(
            {
                "customer_id": draft.owner.id,
                "version": draft.version + 1,
                "recorded_at": at,
                "actor": cause.envelope.actor if cause else author.actor,
                "source": draft.source,
                "channel": draft.channel,
                "change": draft.change,
                "data": outbox.fitting(draft.event.type, data),
                "event_id": row_id(),
                "type": draft.event.type,
                "traceparent": cause.envelope.traceparent if cause else author.traceparent,
                "causation_id": str(cause.id) if cause else None,
            }
        )
    await session.flush()
    await _STORE.fetch(session, arrays(rows, *rows[0]) | {"now": now})


def _taken(point: Point, holder: UUID | None) -> ContactPointTaken:
    """Holder None: an item of the same batch wanted it first and is refused itself."""
    detail = f"Another customer has this {point.kind}."
    if holder is None:
        detail = f"An earlier item of this batch wanted this {point.kind} and failed: send this one again."
    who = str(holder) if holder is not None else None
    return ContactPointTaken(detail, customer_id=who, kind=point.kind, value=point.value)
