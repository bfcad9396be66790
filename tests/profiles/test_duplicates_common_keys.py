"""A key that very many customers share leads to the same pairs whoever is looked at first, at little cost."""

import asyncio
import re
from collections.abc import Callable, Sequence
from datetime import timedelta
from random import Random
from uuid import UUID, uuid4

import httpx2
import pytest
from sqlalchemy import select, text

from crm_profiles.handlers import due_work
from crm_profiles.merging import duplicates
from crm_profiles.models.duplicates import Duplicate
from crm_shared import due
from crm_shared.database import Sessions
from crm_shared.testing import FrozenClock

BORN = "1988-04-12"
SEED = text(
    """
    INSERT INTO customers (customer_id, name, birth_date, tags, channel, birth_calendar, attributes, version,
                           created_at, updated_at)
    SELECT ('00000000-0000-7000-8000-' || lpad(n::text, 12, '0'))::uuid, 'Ann Lee', '1988-04-12', '{}', 'api',
           'solar', '{}', 1, now(), now()
    FROM generate_series(1, CAST(:count AS int)) AS n RETURNING customer_id
    """
)

Order = Callable[[list[UUID]], list[UUID]]


async def seed(sessions: Sessions, count: int) -> list[UUID]:
    """So many of one name, born on one day; the oldest first."""
    async with sessions.begin() as session:
        return sorted(await session.scalars(SEED, {"count": count}))


async def compare(
    sessions: Sessions, clock: FrozenClock, portions: Sequence[Sequence[UUID]]
) -> set[frozenset[UUID]]:
    """Gives the pairs that are open then."""
    for ids in portions:
        async with sessions.begin() as session:
            await duplicates.compare(session, ids, at=clock.now())
    async with sessions() as session:
        found = await session.execute(
            select(Duplicate.first_id, Duplicate.second_id).where(Duplicate.state == "open")
        )
        return {frozenset(pair) for pair in found}


def shuffled(ids: list[UUID]) -> list[UUID]:
    return Random(12).sample(ids, len(ids))


def backwards(ids: list[UUID]) -> list[UUID]:
    return ids[::-1]


@pytest.mark.parametrize("order", [list, backwards, shuffled])
async def test_pairs_by_a_common_key_are_the_same_in_whatever_order_customers_are_compared(
    databases: dict[str, Sessions], clock: FrozenClock, order: Order
) -> None:
    ids = await seed(databases["profiles"], 120)
    near = {frozenset((one, other)) for at, one in enumerate(ids) for other in ids[at + 1 : at + 51]}
    assert await compare(databases["profiles"], clock, [ids]) == near

    again = order(ids)
    portions = [again[:1], again[1:2], *(again[at : at + 20] for at in range(2, 120, 20))]
    for portion in portions:
        assert await compare(databases["profiles"], clock, [portion]) == near


@pytest.mark.parametrize(("count", "common"), [(51, []), (52, ["birth", "name_and_birth"])])
async def test_a_pair_says_by_which_keys_not_everybody_was_compared(
    profiles: httpx2.AsyncClient,
    databases: dict[str, Sessions],
    clock: FrozenClock,
    count: int,
    common: list[str],
) -> None:
    ids = await seed(databases["profiles"], count)
    found = await compare(databases["profiles"], clock, [ids])
    assert len(found) == 51 * 50 // 2 + 50 * (count - 51)

    first, *_ = (await profiles.get("/v1/duplicates", params={"limit": 2})).json()["items"]
    assert first["common_keys"] == common
    assert (await profiles.get(f"/v1/duplicates/{first['id']}")).json() == first


async def test_what_speaks_for_a_pair_is_the_same_by_whichever_key_it_was_found(
    profiles: httpx2.AsyncClient, databases: dict[str, Sessions], clock: FrozenClock
) -> None:
    ids = await seed(databases["profiles"], 60)
    give = text(
        "INSERT INTO external_ids (source, external_id, customer_id, origin_customer_id)"
        " VALUES ('shop', 'member-77', :first, :first), ('desk', 'member-77', :last, :last)"
    )
    async with databases["profiles"].begin() as session:
        await session.execute(give, {"first": ids[0], "last": ids[-1]})
    await compare(databases["profiles"], clock, [ids])

    [found, *_] = (await profiles.get("/v1/duplicates", params={"limit": 1})).json()["items"]
    assert [found["first_id"], found["second_id"]] == [str(ids[0]), str(ids[-1])]
    assert [each["reason"] for each in found["reasons"]] == [
        "same_birth_date",
        "same_external_id",
        "same_name",
    ]
    assert found["common_keys"] == ["birth", "name_and_birth"]


async def test_a_key_of_ten_thousand_is_read_only_around_who_has_changed(
    databases: dict[str, Sessions], clock: FrozenClock
) -> None:
    ids = await seed(databases["profiles"], 10_000)
    async with databases["profiles"].begin() as session:
        await session.execute(
            text(
                "INSERT INTO matching_keys (kind, value, customer_id, former)"
                " SELECT 'name_and_birth', '1988-04-12 ann lee', customer_id, false FROM customers"
            )
        )
        await session.execute(text("SET LOCAL enable_seqscan = off"))  # nothing was analysed here
        explain = text(f"EXPLAIN (ANALYZE, FORMAT JSON) {duplicates._PAIRS.text}").bindparams(duplicates._IDS)
        plan = str(await session.scalar(explain, {"ids": [ids[5_000]], "nearest": 50}))

    assert "'Scan Direction': 'Backward'" in plan
    assert set(re.findall(r"'Rows Removed by (?:Index Recheck|Filter|Join Filter)': (\d+)", plan)) <= {"0"}
    assert max(float(rows) for rows in re.findall(r"'Actual Rows': ([\d.]+)", plan)) <= 100


async def test_a_change_made_while_its_customer_is_compared_is_looked_at_next_time(
    profiles: httpx2.AsyncClient, committed: dict[str, Sessions], clock: FrozenClock
) -> None:
    sessions = committed["profiles"]

    async def look() -> None:
        async with sessions.begin() as session:
            await due.schedule(session, duplicates.MATCH, {uuid4(): clock.now() - timedelta(seconds=5)})
        await due.run(sessions, due_work, clock)

    async def make(birth_date: str) -> str:
        body = {"name": "Ann Lee", "birth_date": birth_date}
        return str((await profiles.post("/v1/customers", json=body)).json()["id"])

    await make(BORN)
    changed = await make("2001-01-01")
    async with sessions.begin() as holder:
        # The comparison has read the customer by then, and has not yet said up to which version.
        await holder.execute(text("LOCK TABLE matching_keys IN EXCLUSIVE MODE"))
        looking = asyncio.create_task(look())
        await _until_it_waits(sessions)
        await profiles.patch(f"/v1/customers/{changed}", json={"birth_date": BORN})
    await looking
    assert (await profiles.get("/v1/duplicates")).json()["items"] == []

    await look()
    assert len((await profiles.get("/v1/duplicates")).json()["items"]) == 1


async def _until_it_waits(sessions: Sessions) -> None:
    waiting = text("SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'matching_keys'::regclass")
    async with asyncio.timeout(10), sessions() as session:
        while True:
            if await session.scalar(waiting):
                return
            await asyncio.sleep(0.01)
