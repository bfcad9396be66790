"""Staging: finding out in which stages customers are, from all that stands on their timelines."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import delete, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from crm_profiles.activity import timeline
from crm_profiles.activity.timeline import Entry
from crm_profiles.bulk import arrays, insert_new, one_of
from crm_profiles.customers import customers
from crm_profiles.customers.contact_points import Owner
from crm_profiles.models.customers import Customer
from crm_profiles.models.purchases import Purchase, PurchaseStatus
from crm_profiles.models.stages import CustomerStage, StageSpell
from crm_profiles.models.timeline import EntryType, TimelineEntry
from crm_profiles.rules import instants
from crm_profiles.rules.lifecycle import Act, Fact, Spell, Stage, Standing, replay
from crm_profiles.schemas.stages import ExitIn
from crm_profiles.stages import stages
from crm_shared import due
from crm_shared.contracts.profiles import StageChanged
from crm_shared.customers import CustomerNotFound, resolve_one
from crm_shared.database import Json, rows_of
from crm_shared.ids import uuid7
from crm_shared.outbox import News, publish_many

_A_MOMENT = timedelta(seconds=1)


@dataclass(frozen=True)
class Known:
    """What is stored of a customer's stages."""

    version: int
    silent_at: datetime | None
    spells: tuple[StageSpell, ...]


@dataclass
class Change:
    """From which stay on a customer's stages are other ones than those stored."""

    customer_id: UUID
    known: Known
    standing: Standing

    def __post_init__(self) -> None:
        pairs = zip(self.known.spells, self.standing.spells, strict=False)
        same = [_meaning(old) == _meaning(new) for old, new in pairs]
        self.first = same.index(False) if False in same else len(same)
        if self.first == len(self.standing.spells) and self.stale:
            self.first -= 1  # something was undone: the stay that lasts again is told anew
        self.ids = [uuid7() for _ in self.new]

    @property
    def defers(self) -> bool:
        """Whether the silence that ends the last stay is another one now."""
        return self.standing.silent_at != self.known.silent_at

    @property
    def stale(self) -> Sequence[StageSpell]:
        return self.known.spells[self.first :]

    @property
    def new(self) -> Sequence[Spell]:
        return self.standing.spells[self.first :]


def _meaning(spell: Spell | StageSpell) -> tuple[Stage, datetime, str]:
    return spell.stage, spell.since, spell.reason


async def leave(session: AsyncSession, customer_id: UUID, body: ExitIn, *, at: datetime) -> UUID:
    """The customer says that they leave; the entry of the timeline.

    Raises CustomerNotFound, and InvalidRequest for an exit that has not happened yet.
    """
    instants.check("/occurred_at", body.occurred_at, now=at)
    current = await resolve_one(session, customer_id, lock=True)
    if current not in await customers.hold(session, [current]):
        raise CustomerNotFound(customer_id=str(customer_id))
    entry = Entry(
        uuid7(),
        Owner(current, customer_id),
        EntryType.CUSTOMER_LEFT,
        body.occurred_at or at,
        f"Left: {body.reason}",
        {"reason": body.reason, "note": body.note, "by": session.info.get("actor")},
    )
    await timeline.record(session, [entry], at=at)
    return entry.id


async def find_out(session: AsyncSession, ids: Collection[UUID], *, at: datetime) -> int:
    """Bring the stages of these customers up to date and tell what changed; how many changed.

    Who is not on file, being erased or merged into somebody, is left as they are. Who is just being erased or
    merged is looked at again in a moment: whoever does that wants the due work that we hold.
    """
    present = await customers.hold(session, ids, skip_locked=True)
    busy = await customers.list_known(session, set(ids) - present)
    await due.schedule(session, stages.STAGE, dict.fromkeys(busy, at + _A_MOMENT))
    policy = stages.rule_of(await stages.get_policy(session))
    facts = await _facts_of(session, present)
    known = await _known_of(session, present)
    changes = [
        Change(customer, known[customer], replay(facts[customer], policy, until=at))
        for customer in sorted(present)
    ]
    changed = [change for change in changes if change.new or change.stale]
    await _replace_spells(session, changed, policy.version, at=at)
    await _store(session, [each for each in changes if each.new or each.defers])
    await _tell(session, changed, policy.version, at=at)
    ahead = {change.customer_id: change.standing.silent_at for change in changes}
    await due.schedule(session, stages.STAGE, {id: instant for id, instant in ahead.items() if instant})
    return len(changed)


_ENTRIES = (
    select(
        TimelineEntry.customer_id,
        TimelineEntry.type,
        TimelineEntry.id,
        TimelineEntry.occurred_at,
        TimelineEntry.data["reason"].astext.label("reason"),
    )
    .outerjoin(Purchase, Purchase.id == TimelineEntry.id)
    .where(
        one_of(TimelineEntry.customer_id),
        TimelineEntry.type.in_(timeline.ACTS),
        or_(
            TimelineEntry.type != EntryType.INTERACTION_RECORDED,
            TimelineEntry.data["direction"].astext == "inbound",
        ),
        Purchase.status.is_distinct_from(PurchaseStatus.REFUNDED),
    )
    .order_by(TimelineEntry.customer_id, TimelineEntry.occurred_at, TimelineEntry.id)
)
_SPELLS = (
    select(StageSpell)
    .where(one_of(StageSpell.customer_id))
    .order_by(StageSpell.customer_id, StageSpell.number)
)
_STAGES = select(CustomerStage).where(one_of(CustomerStage.customer_id))
_CREATED = select(Customer.id, Customer.created_at).where(one_of(Customer.id))
_SPELL_COLUMNS = tuple(column.name for column in StageSpell.__table__.c)
_INSERT_SPELLS = insert_new(StageSpell, *_SPELL_COLUMNS)


async def _facts_of(session: AsyncSession, present: Collection[UUID]) -> Mapping[UUID, list[Fact]]:
    """What each did, in business time; that they were put on file comes before what happened right then."""
    facts: dict[UUID, list[Fact]] = defaultdict(list)
    given = {"customer_id": list(present)}
    for customer_id, created_at in await session.execute(_CREATED, given):
        facts[customer_id].append(Fact(Act.BECAME_KNOWN, created_at))
    for row in await session.execute(_ENTRIES, given):
        facts[row.customer_id].append(Fact(timeline.ACTS[row.type], row.occurred_at, row.id, row.reason))
    return {customer: sorted(done, key=lambda fact: fact.at) for customer, done in facts.items()}


async def _known_of(session: AsyncSession, present: Collection[UUID]) -> Mapping[UUID, Known]:
    given = {"customer_id": list(present)}
    rows = {row.customer_id: row for row in await session.scalars(_STAGES, given)}
    spells: dict[UUID, list[StageSpell]] = defaultdict(list)
    for spell in await session.scalars(_SPELLS, given):
        spells[spell.customer_id].append(spell)
    return {
        id: Known(row.version if row else 0, row.silent_at if row else None, tuple(spells[id]))
        for id, row in ((id, rows.get(id)) for id in present)
    }


async def _replace_spells(
    session: AsyncSession, changed: Sequence[Change], policy_version: int, *, at: datetime
) -> None:
    """Take away the stays that turned out otherwise, with their entries, and write the new ones."""
    stale = [spell.id for change in changed for spell in change.stale]
    if stale:
        await session.execute(delete(TimelineEntry).where(one_of(TimelineEntry.id)), {"id": stale})
        await session.execute(delete(StageSpell).where(one_of(StageSpell.id)), {"id": stale})
    rows: list[Json] = []
    ends: dict[UUID, datetime | None] = {}
    for change in changed:
        begins = [spell.since for spell in change.standing.spells] + [None]
        if change.first:
            ends[change.known.spells[change.first - 1].id] = begins[change.first]
        for number, spell, id in zip(
            range(change.first + 1, len(begins)), change.new, change.ids, strict=True
        ):
            rows.append(
                {
                    "id": id,
                    "customer_id": change.customer_id,
                    "number": number,
                    "stage": spell.stage,
                    "since": spell.since,
                    "until": begins[number],
                    "reason": spell.reason,
                    "explanation": spell.explanation,
                    "ref": spell.ref,
                    "policy_version": policy_version,
                    "recorded_at": at,
                }
            )
    if ends:
        ended = rows_of({StageSpell.id: list(ends), StageSpell.until: list(ends.values())})
        await session.execute(
            update(StageSpell).where(StageSpell.id == ended.c.id).values(until=ended.c.until),
            execution_options={"synchronize_session": False},
        )
    if rows:
        await session.execute(_INSERT_SPELLS, arrays(rows, *_SPELL_COLUMNS))


async def _store(session: AsyncSession, changes: Sequence[Change]) -> None:
    """The stage that each is in now, one version further for each new stay."""
    if not changes:
        return
    last = [change.standing.spells[-1] for change in changes]
    rows = rows_of(
        {
            CustomerStage.customer_id: [change.customer_id for change in changes],
            CustomerStage.stage: [spell.stage for spell in last],
            CustomerStage.since: [spell.since for spell in last],
            CustomerStage.silent_at: [change.standing.silent_at for change in changes],
            CustomerStage.version: [change.known.version + len(change.new) for change in changes],
        }
    )
    names = [column.name for column in CustomerStage.__table__.c]
    statement = insert(CustomerStage.metadata.tables[CustomerStage.__tablename__]).from_select(
        names, select(*(rows.c[name] for name in names))
    )
    new = {name: statement.excluded[name] for name in names if name != "customer_id"}
    await session.execute(statement.on_conflict_do_update(index_elements=["customer_id"], set_=new))


async def _tell(
    session: AsyncSession, changed: Sequence[Change], policy_version: int, *, at: datetime
) -> None:
    """The event of each new stay, and its entry of the timeline unless it is the very first."""
    entries, news = [], []
    for change in changed:
        for number, (spell, id) in enumerate(zip(change.new, change.ids, strict=True)):
            before = change.standing.spells[change.first + number - 1] if change.first + number else None
            event = StageChanged(
                customer_id=change.customer_id,
                version=change.known.version + number + 1,
                stage=spell.stage,
                previous=before.stage if before else None,
                since=spell.since,
                reason=spell.reason,
                explanation=spell.explanation,
                policy_version=policy_version,
            )
            news.append(News(event, id=id))
            if before:
                data = event.model_dump(mode="json", exclude={"customer_id", "version"})
                owner = Owner(change.customer_id, change.customer_id)
                title = f"Stage is now {spell.stage}"
                entries.append(Entry(id, owner, EntryType.STAGE_CHANGED, spell.since, title, data))
    await timeline.record(session, entries, at=at)
    await publish_many(session, news, at=at)
