"""Taking an import back: whom it created goes, what it changed gets back what was there before."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import ARRAY, Text, Uuid, bindparam, func, select, union, update
from sqlalchemy.ext.asyncio import AsyncSession

from crm_profiles.bulk import one_of
from crm_profiles.customers import attributes, drafts, history, writing
from crm_profiles.customers.attributes import Declared
from crm_profiles.customers.contact_points import Owner
from crm_profiles.customers.drafts import Draft
from crm_profiles.imports import imports
from crm_profiles.models.base import Base
from crm_profiles.models.customers import Channel, ContactPoint, ExternalId
from crm_profiles.models.history import CustomerVersion
from crm_profiles.models.imports import ImportRow, RowRevert, RowStatus
from crm_profiles.models.quality import VerificationTask
from crm_profiles.models.timeline import EntryType, TimelineEntry
from crm_profiles.privacy import privacy
from crm_profiles.schemas.customers import CustomerPatch
from crm_shared.clock import Clock
from crm_shared.customers import owned_tables, resolve, stop_writers
from crm_shared.database import Json, Sessions
from crm_shared.ids import derived
from crm_shared.jobs import RunningJob
from crm_shared.problems import Problem

CUSTOMERS_AT_ONCE = 200

_MEMBERS = CustomerPatch.model_fields.keys() - {"channel", "source", "lunar_birth_date"}
"""What a body can give back; the lunar birthday follows from the other."""
_ATTRIBUTE = "attributes."
_OF_ITSELF = (EntryType.LEVEL_CHANGED, EntryType.STAGE_CHANGED)
"""What the timeline tells of everybody, whether anything happened with them or not."""
_WRITTEN_ALONG = (ContactPoint, ExternalId, VerificationTask)
"""Of what belongs to customers, that which whoever is put on file gets by that alone."""

States = Mapping[tuple[UUID, int], Json]


class Touched(NamedTuple):
    """A customer and the versions that an import made of them, rising."""

    customer_id: UUID
    versions: Sequence[int]


async def revert(sessions: Sessions, job: RunningJob) -> Json:
    """Take back what an import did, some customers in a transaction; who takes the job over goes on there."""
    async with sessions() as session:
        found = await imports.get(session, UUID(job.params["import_id"]))
    run_id = found.run_id or found.id
    counts = Counter[str](job.checkpoint.get("counts", {}))
    while True:
        async with sessions.begin() as session:
            session.info["actor"] = job.actor
            await stop_writers(session)
            page = await _next(session, run_id)
            if not page:
                await session.execute(_GONE, {"of_run": run_id})
                return {"customers": counts.total(), "counts": dict(counts)}
            verdicts = await _take_back(session, page, source=found.source, clock=job.clock)
            counts += Counter(verdict.value for verdict in verdicts.values())
            await _record(session, run_id, verdicts)
            await privacy.remove(
                session,
                [id for id, verdict in verdicts.items() if verdict is RowRevert.REMOVED],
                erasure_id=derived("revert", run_id, page[0].customer_id),
                at=job.clock.now(),
            )
            sums = {"counts": dict(counts)}
            await job.progress(session, done=counts.total(), counts=dict(counts), checkpoint=sums)


_UNDECIDED = (
    ImportRow.run_id == bindparam("of_run"),
    ImportRow.status.in_([RowStatus.CREATED, RowStatus.UPDATED]),
    ImportRow.revert.is_(None),
)
_NEXT = (
    select(ImportRow.customer_id, func.array_agg(ImportRow.version.distinct()))
    .where(*_UNDECIDED, ImportRow.customer_id.is_not(None))
    .group_by(ImportRow.customer_id)
    .order_by(ImportRow.customer_id)
    .limit(CUSTOMERS_AT_ONCE)
)
_ROWS = ImportRow.metadata.tables[ImportRow.__tablename__]
_GONE = (
    update(_ROWS)
    .where(_ROWS.c.run_id == bindparam("of_run"), _ROWS.c.status.in_(["created", "updated"]))
    .where(_ROWS.c.revert.is_(None))
    .values(revert=RowRevert.GONE)
)
_DECIDED = select(
    func.unnest(bindparam("customers", type_=ARRAY(Uuid))).label("customer_id"),
    func.unnest(bindparam("verdicts", type_=ARRAY(Text))).label("verdict"),
).subquery()
_RECORD = (
    update(_ROWS)
    .where(_ROWS.c.run_id == bindparam("of_run"), _ROWS.c.customer_id == _DECIDED.c.customer_id)
    .where(_ROWS.c.status.in_(["created", "updated"]))
    .values(revert=_DECIDED.c.verdict)
)
_STATES = select(CustomerVersion.customer_id, CustomerVersion.version, CustomerVersion.state).where(
    one_of(CustomerVersion.customer_id)
)


async def _next(session: AsyncSession, run_id: UUID) -> list[Touched]:
    rows = await session.execute(_NEXT, {"of_run": run_id})
    return [
        Touched(customer_id, sorted(filter(None, versions))) for customer_id, versions in rows if customer_id
    ]


async def _record(session: AsyncSession, run_id: UUID, verdicts: Mapping[UUID, RowRevert]) -> None:
    asked = {"of_run": run_id, "customers": list(verdicts), "verdicts": list(verdicts.values())}
    await session.execute(_RECORD, asked)


async def _take_back(
    session: AsyncSession, page: Sequence[Touched], *, source: str, clock: Clock
) -> dict[UUID, RowRevert]:
    """What becomes of each customer: those to be removed are still there."""
    ids = [touched.customer_id for touched in page]
    current = await resolve(session, ids)
    locked = await drafts.lock(session, [Owner(id, id) for id in ids if current[id] == id])
    rows = await session.execute(_STATES, {"customer_id": list(locked)})
    states: States = {(row.customer_id, row.version): row.state for row in rows}
    dealt_with = await _dealt_with(session, locked)
    keys = {key for state in states.values() for key in state.get("attributes", ())}
    declared = await attributes.declared(session, keys)
    verdicts: dict[UUID, RowRevert] = {}
    restored: list[Draft] = []
    for customer_id, versions in page:
        draft = locked.get(customer_id)
        if draft is None:
            merged = current[customer_id] != customer_id
            verdicts[customer_id] = RowRevert.CHANGED_SINCE if merged else RowRevert.GONE
        elif versions[0] == 1:
            untouched = draft.version == len(versions) and customer_id not in dealt_with
            verdicts[customer_id] = RowRevert.REMOVED if untouched else RowRevert.CHANGED_SINCE
        else:
            whole = _restore(draft, versions, states, source, declared)
            verdicts[customer_id] = RowRevert.RESTORED if whole else RowRevert.CHANGED_SINCE
            restored.append(draft)
    outcomes = await writing.write(session, restored, clock=clock)
    for draft, outcome in zip(restored, outcomes, strict=True):
        if isinstance(outcome, Problem):  # somebody else has the contact point by now
            verdicts[draft.owner.id] = RowRevert.CHANGED_SINCE
    return verdicts


def _restore(draft: Draft, versions: Sequence[int], states: States, source: str, declared: Declared) -> bool:
    """Give members back what they were before the import; False: some have been changed again and stay."""
    id = draft.owner.id
    before: Json = {}
    after: Json = {}
    for version in versions:
        older, newer = states.get((id, version - 1), {}), states.get((id, version), {})
        for change in history.changes(older, newer):
            if change.member not in _MEMBERS and not change.member.startswith(_ATTRIBUTE):
                continue
            # What somebody else wrote between two rows of the file is what the later one replaced.
            if change.member not in after or after[change.member] != change.before:
                before[change.member] = change.before
            after[change.member] = change.after
    now = history.members(states.get((id, draft.version), {}))
    same = {
        name
        for name in after
        if now.get(name) == after[name]
        # Attributes may have been declared otherwise since.
        and (
            not name.startswith(_ATTRIBUTE)
            or attributes.fits(declared, name.removeprefix(_ATTRIBUTE), before[name])
        )
    }
    body: Json = {"channel": Channel.IMPORT, "attributes": {}}
    for name in same:
        if name.startswith(_ATTRIBUTE):
            body["attributes"][name.removeprefix(_ATTRIBUTE)] = before[name]
        else:
            body[name] = _patch(before[name], after[name])
    draft.apply(CustomerPatch.model_validate(body), source=source, declared=declared)
    return len(same) == len(after)


def _patch(before: object, after: object) -> object:
    """What, sent as a merge patch, makes `before` of `after`."""
    if isinstance(after, dict) or isinstance(before, dict):
        olds = before if isinstance(before, dict) else {}
        news = after if isinstance(after, dict) else {}
        return dict.fromkeys(news) | olds
    return before


async def _dealt_with(session: AsyncSession, customers: Collection[UUID]) -> set[UUID]:
    """Those with whom something has happened, or of whom somebody has said or asked something since."""
    told = select(TimelineEntry.customer_id).where(
        one_of(TimelineEntry.customer_id), TimelineEntry.type.not_in(_OF_ITSELF)
    )
    apart = {model.__tablename__ for model in (*_WRITTEN_ALONG, TimelineEntry)}
    others = [
        select(table.c.customer_id).where(
            table.c.customer_id == func.any(bindparam("customer_id", type_=ARRAY(Uuid)))
        )
        for table in owned_tables(Base.metadata)
        if table.name not in apart
    ]
    return set(await session.scalars(union(told, *others), {"customer_id": list(customers)}))
