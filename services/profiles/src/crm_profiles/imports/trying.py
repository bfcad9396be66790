"""Dry runs: rows are written where nobody sees it and taken back, and what they led to counts for later ones.

What a chunk would make of customers is kept until the run has ended. Of it, the next chunks find again what
has to do with them, so that each row gets the verdict that the real run would give it, and nobody waits for
a lock longer than a chunk takes.
"""

from collections.abc import Collection, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from uuid import UUID

from sqlalchemy import ARRAY, DateTime, Text, Uuid, bindparam, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from crm_profiles.bulk import arrays, one_of
from crm_profiles.customers import customers
from crm_profiles.customers.describing import FIELDS
from crm_profiles.imports import judging
from crm_profiles.imports.judging import Verdict
from crm_profiles.imports.preparing import Chunk, Run
from crm_profiles.models.imports import ImportTrialName, RowStatus
from crm_shared.clock import Clock
from crm_shared.customers import stop_merges


@dataclass(frozen=True)
class _Tried:
    """What a chunk would come to: verdicts, customers' states in JSON, and what names and reaches them."""

    verdicts: Sequence[Verdict]
    states: Mapping[UUID, str]
    names: Set[tuple[UUID, str]]


class _TakenBack(Exception):
    """Ends what was only tried."""

    def __init__(self, tried: _Tried) -> None:
        self.tried = tried


async def write(session: AsyncSession, run: Run, chunk: Chunk, clock: Clock) -> list[Verdict]:
    """The verdict on each row, as `judging.write` would give it after the chunks before.

    Who has to do with whom is only known in the end: then it is tried once more, with all of them.
    """
    await stop_merges(session)
    earlier = await _find(session, run.run_id, {_name(key) for key in chunk.keys})
    while True:
        tried = await _try(session, run, chunk, clock, earlier)
        holders = {str(verdict.customer_id) for verdict in tried.verdicts}
        more = await _find(session, run.run_id, {name for _, name in tried.names} | holders) - earlier
        if not more:
            break
        earlier |= more
    await _keep(session, run.run_id, tried)
    ids = {verdict.customer_id for verdict in tried.verdicts if verdict.customer_id is not None}
    known = {*await customers.list_known(session, ids), None}
    # Whom only the dry run has created is nobody.
    return [
        verdict if verdict.customer_id in known else replace(verdict, customer_id=None)
        for verdict in tried.verdicts
    ]


async def _try(
    session: AsyncSession, run: Run, chunk: Chunk, clock: Clock, earlier: Collection[UUID]
) -> _Tried:
    try:
        async with session.begin_nested():
            if earlier:
                await _replay(session, run.run_id, earlier, clock)
            raise _TakenBack(await _look(session, await judging.write(session, run, chunk, clock)))
    except _TakenBack as end:
        return end.tried


_STATES = text(
    """
    SELECT DISTINCT ON (customer_id) customer_id, CAST(state AS text)
    FROM customer_versions WHERE customer_id = ANY(:ids) ORDER BY customer_id, version DESC
    """
).bindparams(bindparam("ids", type_=ARRAY(Uuid)))
_NAMES = text(
    r"""
    SELECT DISTINCT customer_id, name FROM customer_versions CROSS JOIN LATERAL (
        SELECT point ->> 'kind' || E'\x1f' || (point ->> 'value')
        FROM jsonb_array_elements(state -> 'contact_points') AS point
        UNION ALL
        SELECT id ->> 'source' || E'\x1f' || (id ->> 'external_id')
        FROM jsonb_array_elements(state -> 'external_ids') AS id
    ) AS names (name) WHERE customer_id = ANY(:ids)
    """
).bindparams(bindparam("ids", type_=ARRAY(Uuid)))


def _name(key: object) -> str:
    """What names or reaches a customer, as it is kept: a point, an external id, or an id of ours."""
    return "\x1f".join(map(str, key)) if isinstance(key, tuple) else str(key)


async def _look(session: AsyncSession, verdicts: Sequence[Verdict]) -> _Tried:
    """As long as it is there: all versions count, for whoever lets go of something matters, too."""
    written = (RowStatus.CREATED, RowStatus.UPDATED)
    ids = {
        "ids": sorted({each.customer_id for each in verdicts if each.status in written and each.customer_id})
    }
    states = {row[0]: row[1] for row in await session.execute(_STATES, ids)}
    names = {(row[0], row[1]) for row in await session.execute(_NAMES, ids)}
    return _Tried(verdicts, states, names | {(id, str(id)) for id in states})


_FIND = select(ImportTrialName.customer_id).where(
    ImportTrialName.run_id == bindparam("of_run"), one_of(ImportTrialName.name)
)


async def _find(session: AsyncSession, run_id: UUID, names: Collection[str]) -> set[UUID]:
    """Whom earlier chunks would have changed, of those whom these names name or reach, or did so."""
    return set(await session.scalars(_FIND, {"of_run": run_id, "name": sorted(names)}))


_KEEP = text(
    """
    INSERT INTO import_trials (run_id, customer_id, state)
    SELECT :run_id, customer_id, CAST(state AS jsonb)
    FROM unnest(:customer_id, :state) AS states (customer_id, state)
    ON CONFLICT (run_id, customer_id) DO UPDATE SET state = excluded.state
    """
).bindparams(
    bindparam("run_id", type_=Uuid),
    bindparam("customer_id", type_=ARRAY(Uuid)),
    bindparam("state", type_=ARRAY(Text)),
)
_KEEP_NAMES = text(
    """
    INSERT INTO import_trial_names (run_id, name, customer_id)
    SELECT :run_id, name, customer_id FROM unnest(:name, :customer_id) AS t (name, customer_id)
    ON CONFLICT DO NOTHING
    """
).bindparams(
    bindparam("run_id", type_=Uuid),
    bindparam("customer_id", type_=ARRAY(Uuid)),
    bindparam("name", type_=ARRAY(Text)),
)


async def _keep(session: AsyncSession, run_id: UUID, tried: _Tried) -> None:
    states = {"customer_id": list(tried.states), "state": list(tried.states.values())}
    await session.execute(_KEEP, states | {"run_id": run_id})
    names = [{"customer_id": id, "name": name} for id, name in sorted(tried.names)]
    await session.execute(_KEEP_NAMES, arrays(names, "customer_id", "name") | {"run_id": run_id})


_GIVEN = (
    bindparam("run_id", type_=Uuid),
    bindparam("ids", type_=ARRAY(Uuid)),
    bindparam("now", type_=DateTime(timezone=True)),
)
_COLUMNS = ("customer_id", "source", "channel", "version", "created_at", *FIELDS)
_TRIED = "import_trials AS tried WHERE run_id = :run_id AND tried.customer_id = ANY(:ids)"
_LET_GO = "DELETE FROM contact_points WHERE customer_id = ANY(:ids)"
_PUT_ON_FILE = f"""
    INSERT INTO customers ({", ".join(_COLUMNS)}, updated_at)
    SELECT {", ".join(f"state.{name}" for name in _COLUMNS)}, :now FROM (
        SELECT tried.state FROM {_TRIED}
    ) AS tried, jsonb_populate_record(CAST(NULL AS customers), tried.state) AS state
    ON CONFLICT (customer_id) DO UPDATE
    SET {", ".join(f"{name} = excluded.{name}" for name in ("version", "updated_at", *FIELDS))}
"""
_NAME = f"""
    INSERT INTO external_ids (source, external_id, customer_id, origin_customer_id)
    SELECT source, external_id, customer_id, customer_id FROM (
        SELECT * FROM {_TRIED}
    ) AS tried, jsonb_to_recordset(state -> 'external_ids') AS id (source text, external_id text)
    ON CONFLICT DO NOTHING
"""
_REACH = f"""
    INSERT INTO contact_points (kind, value, customer_id, origin_customer_id)
    SELECT kind, value, customer_id, customer_id FROM (
        SELECT * FROM {_TRIED}
    ) AS tried, jsonb_to_recordset(state -> 'contact_points') AS point (kind text, value text)
    ON CONFLICT DO NOTHING
"""

_REPLAY = [
    text(statement).bindparams(*(each for each in _GIVEN if f":{each.key}" in statement))
    for statement in (_LET_GO, _PUT_ON_FILE, _NAME, _REACH)
]


async def _replay(session: AsyncSession, run_id: UUID, ids: Collection[UUID], clock: Clock) -> None:
    """Make of customers again what earlier chunks would have made of them."""
    given = {"run_id": run_id, "ids": sorted(ids), "now": clock.now()}
    for statement in _REPLAY:
        await session.execute(statement, given)
