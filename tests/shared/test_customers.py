"""Merging moves what belongs to whom; undoing it gives every row back to the id it was written under."""

from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Column, Integer, MetaData, Table, Uuid, insert, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from crm_shared.customers import AliasCycle, link, resolve, unlink
from crm_shared.database import Sessions
from crm_shared.ids import uuid7

TABLES = MetaData()
THINGS = Table(
    "things",
    TABLES,
    Column("id", Integer, primary_key=True),
    Column("customer_id", Uuid),
    Column("origin_customer_id", Uuid),
    prefixes=["TEMPORARY"],
)

PEOPLE = [uuid7() for _ in range(5)]


async def fresh(session: AsyncSession) -> None:
    """An empty table of things, and nobody merged."""
    connection = await session.connection()
    await connection.execute(text("DROP TABLE IF EXISTS things"))
    await connection.run_sync(TABLES.create_all)
    await connection.execute(text("DELETE FROM customer_aliases"))


async def write(session: AsyncSession, origin: UUID) -> None:
    owner = (await resolve(session, [origin]))[origin]
    await session.execute(insert(THINGS).values(customer_id=owner, origin_customer_id=origin))


async def owners(session: AsyncSession) -> dict[int, UUID]:
    return {row.id: row.customer_id for row in await session.execute(select(THINGS))}


steps = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.sampled_from(PEOPLE), st.none()),
        st.tuples(st.just("merge"), st.sampled_from(PEOPLE), st.sampled_from(PEOPLE)),
    ),
    max_size=12,
)


@given(steps=steps, undo_order=st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_undoing_all_merges_in_any_order_gives_every_row_back_to_its_origin(
    sessions: Sessions, steps: list[tuple[str, UUID, UUID | None]], undo_order: object
) -> None:
    async with sessions() as session:
        await fresh(session)
        merges: list[tuple[UUID, UUID]] = []
        for verb, who, into in steps:
            if verb == "write":
                await write(session, who)
                continue
            assert into is not None
            roots = await resolve(session, [who, into])
            absorbed, survivor = roots[who], roots[into]
            if absorbed == survivor:
                continue
            merge_id = uuid7()
            await link(
                session,
                TABLES,
                absorbed=absorbed,
                survivor=survivor,
                merge_id=merge_id,
                version=len(merges) + 1,
            )
            merges.append((absorbed, merge_id))
            meant = await resolve(session, PEOPLE)
            for row in await session.execute(select(THINGS)):
                assert row.customer_id == meant[row.origin_customer_id]
        undo_order.shuffle(merges)  # type: ignore[attr-defined]
        for absorbed, merge_id in merges:
            await unlink(session, TABLES, absorbed=absorbed, merge_id=merge_id)
        for row in await session.execute(select(THINGS)):
            assert row.customer_id == row.origin_customer_id
        await session.rollback()


async def test_a_merge_delivered_twice_changes_nothing_the_second_time(
    sessions: Sessions,
) -> None:
    async with sessions() as session:
        await fresh(session)
        old, new, merge_id = PEOPLE[0], PEOPLE[1], uuid7()
        await write(session, old)
        await link(session, TABLES, absorbed=old, survivor=new, merge_id=merge_id, version=2)
        before = await owners(session)
        await link(session, TABLES, absorbed=old, survivor=new, merge_id=merge_id, version=2)
        assert await owners(session) == before
        assert set(before.values()) == {new}
        await session.rollback()


async def test_a_merge_that_comes_after_its_own_undoing_is_the_newer_one_only(
    sessions: Sessions,
) -> None:
    async with sessions() as session:
        await fresh(session)
        old, new, other = PEOPLE[:3]
        await link(session, TABLES, absorbed=old, survivor=new, merge_id=uuid7(), version=5)
        await link(session, TABLES, absorbed=old, survivor=other, merge_id=uuid7(), version=3)
        assert await resolve(session, [old]) == {old: new}
        await session.rollback()


async def test_nobody_can_be_merged_into_who_was_merged_into_them(sessions: Sessions) -> None:
    async with sessions() as session:
        await fresh(session)
        first, second = PEOPLE[:2]
        await link(session, TABLES, absorbed=first, survivor=second, merge_id=uuid7(), version=1)
        with pytest.raises(AliasCycle):
            await link(session, TABLES, absorbed=second, survivor=first, merge_id=uuid7(), version=1)
        await session.rollback()
