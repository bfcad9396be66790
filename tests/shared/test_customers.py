"""Merging moves what belongs to whom, undoing it gives it back, in whatever order others hear of it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from random import Random
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Column, Integer, MetaData, Table, Uuid, insert, select, text
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from tests.chance import examples

from crm_shared import customers, erasure
from crm_shared.contracts.base import Event
from crm_shared.contracts.profiles import (
    CustomerChanged,
    CustomerErased,
    CustomerMerged,
    CustomerUnmerged,
)
from crm_shared.customers import CustomerAlias, OwnedByCustomer, link, resolve, unlink
from crm_shared.database import TYPES, Sessions
from crm_shared.erasure import POLICY, Delete
from crm_shared.ids import uuid7
from crm_shared.subscriptions import Subscriptions
from crm_shared.testing import arrived, handle

TABLES = MetaData()
THINGS = Table(
    "things",
    TABLES,
    Column("id", Integer, primary_key=True),
    Column("customer_id", Uuid),
    Column("origin_customer_id", Uuid),
    prefixes=["TEMPORARY"],
    info={POLICY: Delete()},
)
NOW = datetime(2026, 3, 2, tzinfo=UTC)
PEOPLE = [uuid7() for _ in range(5)]

anybody = st.sampled_from(PEOPLE)
lenient = settings(max_examples=examples(80))


async def fresh(session: AsyncSession) -> None:
    """An empty table of things, nobody merged, nobody erased."""
    connection = await session.connection()
    await connection.execute(text("DROP TABLE IF EXISTS things"))
    await connection.run_sync(TABLES.create_all)
    for table in ("customer_aliases", "undone_merges", "erased_customers", "inbox"):
        await connection.execute(text(f"DELETE FROM {table}"))


async def write(session: AsyncSession, origin: UUID) -> None:
    owner = (await resolve(session, [origin], lock=True))[origin]
    await session.execute(insert(THINGS).values(customer_id=owner, origin_customer_id=origin))


async def owners(session: AsyncSession) -> list[tuple[UUID, UUID]]:
    """Of each thing under whom it was written and whose it is."""
    rows = await session.execute(select(THINGS.c.origin_customer_id, THINGS.c.customer_id))
    return sorted((row.origin_customer_id, row.customer_id) for row in rows)


async def aliases(session: AsyncSession) -> dict[UUID, UUID]:
    rows = await session.execute(select(CustomerAlias.absorbed, CustomerAlias.survivor))
    return {row.absorbed: row.survivor for row in rows}


@dataclass
class Truth:
    """Merges as profiles allows them, and the events by which others hear of them, in their true order."""

    numbers: Iterator[int] = field(default_factory=lambda: count(1))
    merged: dict[UUID, CustomerMerged] = field(default_factory=dict)
    erased: set[UUID] = field(default_factory=set)
    events: list[Event] = field(default_factory=list)

    def root(self, who: UUID) -> UUID:
        while who in self.merged:
            who = self.merged[who].survivor_id
        return who

    def merge(self, who: UUID, into: UUID) -> None:
        absorbed, survivor = self.root(who), self.root(into)
        if absorbed != survivor and not {absorbed, survivor} & self.erased:
            number = next(self.numbers)
            merge = CustomerMerged(
                customer_id=absorbed, version=number, survivor_id=survivor, merge_id=uuid7(), sequence=number
            )
            self.merged[absorbed] = merge
            self.events.append(merge)

    def unmerge(self, who: UUID, _: UUID) -> None:
        if who in self.merged and who not in self.erased:
            merge = self.merged.pop(who)
            self.events.append(CustomerUnmerged.model_validate(merge.model_dump()))

    def erase(self, who: UUID, _: UUID) -> None:
        root = self.root(who)
        if root not in self.erased:
            others = [one for one in PEOPLE if self.root(one) == root and one != root]
            self.erased |= {root, *others}
            self.events.append(
                CustomerErased(
                    customer_id=root, version=next(self.numbers), erasure_id=uuid7(), absorbed=others
                )
            )

    def write(self, who: UUID, _: UUID) -> None:
        if who not in self.erased:
            self.events.append(CustomerChanged(customer_id=who, version=next(self.numbers), name="Ann"))


histories = st.lists(
    st.tuples(st.sampled_from(["merge", "merge", "unmerge", "write", "write", "erase"]), anybody, anybody),
    max_size=25,
)


def happened(steps: Sequence[tuple[str, UUID, UUID]]) -> Truth:
    truth = Truth()
    for verb, who, whom in steps:
        getattr(truth, verb)(who, whom)
    return truth


def shuffled(events: Sequence[Event], random: Random) -> list[Event]:
    """Another order in which each customer's own events stay in theirs."""
    streams: dict[UUID, list[Event]] = {}
    for event in events:
        streams.setdefault(event.customer_id, []).append(event)
    order: list[Event] = []
    while streams:
        key = random.choice(sorted(streams))
        order.append(streams[key].pop(0))
        if not streams[key]:
            del streams[key]
    return order


def polls(events: Sequence[Event], random: Random) -> list[list[Event]]:
    """The events in portions, of which each is handled as one poll."""
    portions: list[list[Event]] = [[]]
    for event in events:
        if portions[-1] and random.random() < 0.4:
            portions.append([])
        portions[-1].append(event)
    return portions


listens = Subscriptions()


@listens.on(CustomerMerged)
async def _link(session: AsyncSession, events: Sequence[CustomerMerged], *, at: datetime) -> None:
    await link(session, TABLES, events)


@listens.on(CustomerUnmerged)
async def _unlink(session: AsyncSession, events: Sequence[CustomerUnmerged], *, at: datetime) -> None:
    await unlink(session, TABLES, events)


@listens.on(CustomerErased)
async def _erase(session: AsyncSession, events: Sequence[CustomerErased], *, at: datetime) -> None:
    for event in events:
        await erasure.erase(
            session,
            TABLES,
            event.customer_id,
            absorbed=event.absorbed,
            erasure_id=event.erasure_id,
            at=at,
        )


@listens.on(CustomerChanged)
async def _write(session: AsyncSession, events: Sequence[CustomerChanged], *, at: datetime) -> None:
    for event in events:
        await write(session, event.customer_id)


@given(steps=histories, random=st.randoms(use_true_random=False))
@lenient
async def test_whatever_the_order_of_arrival_all_end_as_profiles_has_it(
    sessions: Sessions, steps: list[tuple[str, UUID, UUID]], random: Random
) -> None:
    truth = happened(steps)
    async with sessions() as session:
        await fresh(session)
        for poll in polls(shuffled(truth.events, random), random):
            await handle(session, listens, [arrived(event) for event in poll], at=NOW)

        lively = set(PEOPLE) - truth.erased
        assert {old: new for old, new in (await aliases(session)).items() if old in lively} == {
            absorbed: merge.survivor_id for absorbed, merge in truth.merged.items() if absorbed in lively
        }
        written = sorted(
            (event.customer_id, truth.root(event.customer_id))
            for event in truth.events
            if isinstance(event, CustomerChanged) and event.customer_id in lively
        )
        assert await owners(session) == written
        assert await customers.erased(session, PEOPLE) == truth.erased
        roots = {one: truth.root(one) for one in truth.erased}
        assert {one: root for one, root in (await resolve(session, PEOPLE)).items() if one in roots} == roots
        await session.rollback()


@given(
    steps=st.lists(st.tuples(st.sampled_from(["write", "merge"]), anybody, anybody), max_size=12),
    random=st.randoms(use_true_random=False),
)
@lenient
async def test_undoing_all_merges_in_any_order_gives_every_row_back_to_its_origin(
    sessions: Sessions, steps: list[tuple[str, UUID, UUID]], random: Random
) -> None:
    truth = happened(steps)
    async with sessions() as session:
        await fresh(session)
        await handle(session, listens, [arrived(event) for event in truth.events], at=NOW)
        meant = await resolve(session, PEOPLE)
        assert all(owner == meant[origin] for origin, owner in await owners(session))
        undone = [CustomerUnmerged.model_validate(merge.model_dump()) for merge in truth.merged.values()]
        random.shuffle(undone)
        for each in undone:
            await unlink(session, TABLES, [each])
        assert all(owner == origin for origin, owner in await owners(session))
        await session.rollback()


def merged(absorbed: UUID, survivor: UUID, number: int) -> CustomerMerged:
    return CustomerMerged(
        customer_id=absorbed, version=number, survivor_id=survivor, merge_id=uuid7(), sequence=number
    )


async def test_a_merge_that_is_heard_of_after_a_later_one_the_other_way_has_no_effect(
    sessions: Sessions,
) -> None:
    async with sessions() as session:
        await fresh(session)
        ann, bea = PEOPLE[:2]
        await link(session, TABLES, [merged(bea, ann, 2)])
        await link(session, TABLES, [merged(ann, bea, 1)])
        assert await resolve(session, [ann, bea]) == {ann: ann, bea: ann}
        await session.rollback()


async def test_a_merge_delivered_twice_changes_nothing_the_second_time(sessions: Sessions) -> None:
    async with sessions() as session:
        await fresh(session)
        old, new = PEOPLE[:2]
        await write(session, old)
        merge = merged(old, new, 1)
        await link(session, TABLES, [merge])
        await link(session, TABLES, [merge])
        assert await owners(session) == [(old, new)]
        await session.rollback()


async def test_not_even_contradictory_merges_make_a_circle(sessions: Sessions) -> None:
    async with sessions() as session:
        await fresh(session)
        ann, bea, cat = PEOPLE[:3]
        await link(session, TABLES, [merged(ann, bea, 1), merged(bea, cat, 1), merged(cat, ann, 1)])
        await link(session, TABLES, [merged(ann, ann, 2)])
        assert await resolve(session, PEOPLE[:3]) == {ann: ann, bea: bea, cat: cat}
        await session.rollback()


class Base(DeclarativeBase):
    """Tables of this test."""

    type_annotation_map = TYPES


class Wish(OwnedByCustomer, Base):
    """Each customer has one wish per topic."""

    __tablename__ = "wishes"
    __table_args__ = {"prefixes": ["TEMPORARY"], "info": {POLICY: Delete()}}

    origin_customer_id: Mapped[UUID] = mapped_column(primary_key=True)
    topic: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[str]
    wished_at: Mapped[datetime]


async def test_of_what_there_is_one_per_customer_the_newest_counts_until_the_merge_is_undone(
    sessions: Sessions,
) -> None:
    ann, bea = PEOPLE[:2]
    async with sessions() as session:
        await fresh(session)
        await (await session.connection()).run_sync(Base.metadata.create_all)
        for who, topic, value, minute in (
            (ann, "music", "jazz", 2),
            (bea, "music", "rock", 1),
            (bea, "tea", "no", 3),
        ):
            session.add(
                Wish(
                    customer_id=who,
                    origin_customer_id=who,
                    topic=topic,
                    value=value,
                    wished_at=NOW + timedelta(minutes=minute),
                )
            )
        await session.flush()

        async def wishes(owner: UUID) -> dict[str, str]:
            found = customers.current(Wish, [owner], per=[Wish.topic], newest=Wish.wished_at)
            return {wish.topic: wish.value for wish in await session.scalars(found)}

        merge = merged(bea, ann, 1)
        await link(session, Base.metadata, [merge])
        assert await wishes(ann) == {"music": "jazz", "tea": "no"}
        assert await wishes(bea) == {}
        await unlink(session, Base.metadata, [CustomerUnmerged.model_validate(merge.model_dump())])
        assert await wishes(ann) == {"music": "jazz"}
        assert await wishes(bea) == {"music": "rock", "tea": "no"}
        await session.rollback()
