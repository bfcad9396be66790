"""What members of a pool spend and reserve: the lots of all, once, and back to whom they came from."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID

import httpx2
import orjson
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine
from tests.loyalty.accounts import balances, differences
from tests.loyalty.conftest import Give, Household
from tests.loyalty.pool_spending import account, hold, leave, lots, post, spend

from crm_local.provisioning import Databases
from crm_loyalty.handlers import due_work
from crm_loyalty.ledger import ledger, pooling
from crm_loyalty.postings import Earn, Posting, Spend
from crm_shared import due
from crm_shared.database import Sessions, async_url
from crm_shared.ids import uuid7
from crm_shared.testing import FrozenClock, published


async def test_what_expires_first_is_spent_first_whosever_it_is(
    sessions: Sessions, loyalty: httpx2.AsyncClient, give: Give, pool: Household, clock: FrozenClock
) -> None:
    ann, bea = uuid7(), uuid7()
    await give(ann, 10, expires_at=clock.now() + timedelta(days=3))
    await give(bea, 10, expires_at=clock.now() + timedelta(days=1))
    await give(ann, 10, expires_at=clock.now() + timedelta(days=2))
    await pool([ann, bea])

    first = await spend(loyalty, ann, 15)
    second = await spend(loyalty, ann, 10)
    refused = await spend(loyalty, bea, 6)

    assert (first.status_code, first.json()["points"], first.json()["balance"]) == (201, 15, 15)
    assert second.json()["balance"] == 5
    assert (refused.status_code, refused.json()["available"]) == (409, 5)
    assert await balances(sessions) == {ann: (5, 0), bea: (0, 0)}
    [entry, *_] = (await loyalty.get(f"/v1/accounts/{bea}/entries")).json()["items"]
    assert (entry["amount"], entry["kind"], entry["moved_by"]) == (-10, "spend", str(ann))
    assert await differences(sessions) == []


async def test_a_customer_at_a_glance_shows_the_household_and_what_may_be_spent_of_it(
    loyalty: httpx2.AsyncClient, give: Give, pool: Household
) -> None:
    ann, bea, cem = uuid7(), uuid7(), uuid7()
    for who, points in ((ann, 30), (bea, 25), (cem, 20)):
        await give(who, points)
    pool_id = await pool([ann, bea], daily_limit=10)

    async def glance(who: UUID) -> dict[str, Any]:
        found: dict[str, Any] = (await loyalty.get(f"/v1/customers/{who}/summary/loyalty")).json()
        return found

    household = {"pool_id": pool_id, "name": "The Lims"}
    assert (await glance(ann))["pool"] == household | {"head": True, "available": 40, "of_others": 10}
    of_bea = await glance(bea)
    assert of_bea["pool"] == household | {"head": False, "available": 35, "of_others": 10}
    assert (of_bea["balance"], of_bea["available"]) == (25, 25)
    assert "pool" not in await glance(cem)
    assert (await spend(loyalty, bea, 36)).status_code == 409
    assert (await spend(loyalty, bea, 35)).status_code == 201
    assert (await glance(bea))["pool"] == household | {"head": False, "available": 0, "of_others": 0}


async def test_others_whose_points_are_used_are_told(
    sessions: Sessions, loyalty: httpx2.AsyncClient, give: Give, pool: Household
) -> None:
    ann, bea = uuid7(), uuid7()
    await give(ann, 10)
    await give(bea, 10)
    await pool([ann, bea])

    placed = (await hold(loyalty, bea, 14)).json()["id"]
    await post(loyalty, f"/v1/accounts/{bea}/holds/{placed}/capture")
    last = await spend(loyalty, ann, 6)
    await post(loyalty, f"/v1/transactions/{last.json()['transaction_id']}/reversal", {"reason": "wrong"})

    told = [
        (event.key, *(data[name] for name in ("movement", "points", "change", "balance", "held", "moved_by")))
        for event in await published(sessions)
        if event.type == "loyalty.points.shared.v1"
        for data in [orjson.loads(event.data)]
    ]
    assert told == [
        (str(ann), "hold", 10, 0, 10, 10, str(bea)),
        (str(ann), "capture", 10, -10, 0, 0, str(bea)),
        (str(bea), "spend", 6, -6, 0, 0, str(ann)),
        (str(bea), "reverse", 6, 6, 6, 0, str(ann)),
    ]


async def test_only_the_head_spends_what_all_have_where_the_pool_says_so(
    sessions: Sessions, loyalty: httpx2.AsyncClient, give: Give, pool: Household
) -> None:
    ann, bea = uuid7(), uuid7()
    await give(ann, 10)
    await give(bea, 10)
    await pool([ann, bea], spending="head")

    by_member = [await spend(loyalty, bea, 11), await hold(loyalty, bea, 11)]
    of_the_own = await spend(loyalty, bea, 4)
    by_head = await spend(loyalty, ann, 16)

    assert {(answer.status_code, answer.json()["available"]) for answer in by_member} == {(409, 10)}
    assert (await account(loyalty, bea))["pool"]["available"] == 0
    assert (of_the_own.status_code, by_head.status_code) == (201, 201)
    assert await balances(sessions) == {ann: (0, 0), bea: (0, 0)}
    assert await differences(sessions) == []


async def test_a_day_has_a_limit_for_what_is_others(
    sessions: Sessions, loyalty: httpx2.AsyncClient, give: Give, pool: Household, clock: FrozenClock
) -> None:
    ann, bea = uuid7(), uuid7()
    await give(ann, 100)
    await give(bea, 5)
    await pool([ann, bea], daily_limit=10)

    spent = await spend(loyalty, bea, 8)  # all of it is Ann's, whose points are older
    placed = (await hold(loyalty, bea, 2)).json()["id"]
    full = await account(loyalty, bea)
    refused = await spend(loyalty, bea, 6)
    own = await spend(loyalty, bea, 5)
    await post(loyalty, f"/v1/accounts/{bea}/holds/{placed}/release")
    released = await spend(loyalty, bea, 2)
    late = await spend(loyalty, bea, 1)
    clock.advance(timedelta(days=1))
    tomorrow = await spend(loyalty, bea, 10)

    assert [answer.status_code for answer in (spent, own, released, tomorrow)] == [201] * 4
    assert (full["pool"]["drawn_today"], full["pool"]["available"], full["available"]) == (10, 5, 5)
    assert [(a.json()["code"], a.json()["available"]) for a in (refused, late)] == [
        ("insufficient_points", 5),
        ("insufficient_points", 0),
    ]
    assert await balances(sessions) == {ann: (80, 0), bea: (0, 0)}
    assert await differences(sessions) == []


async def test_the_limit_holds_within_one_batch(
    sessions: Sessions, loyalty: httpx2.AsyncClient, give: Give, pool: Household, clock: FrozenClock
) -> None:
    ann, bea = uuid7(), uuid7()
    await give(ann, 100)
    await give(bea, 1)
    await pool([ann, bea], daily_limit=10)
    postings: list[Posting] = [
        Spend(customer_id=bea, source="test", reference=str(number), effective_at=clock.now(), points=4)
        for number in range(4)
    ]

    async with sessions.begin() as session:
        verdicts = await ledger.post(session, postings, at=clock.now())

    assert [verdict.refusal is None for verdict in verdicts] == [True, True, False, False]
    assert await differences(sessions) == []


def rows_read(node: dict[str, Any], table: str) -> int:
    """How many rows of the table a plan that was run has looked at."""
    read = sum(rows_read(each, table) for each in node.get("Plans", ()))
    if node.get("Relation Name") == table:
        read += (node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"]
    return int(read)


async def test_the_limit_of_a_day_looks_at_none_of_the_holds_before_it(
    committed: dict[str, Sessions],
    addresses: Mapping[str, Databases],
    loyalty: httpx2.AsyncClient,
    give: Give,
    pool: Household,
    clock: FrozenClock,
) -> None:
    ann, bea = uuid7(), uuid7()
    await give(ann, 100)
    await give(bea, 5)
    pool_id = await pool([ann, bea], daily_limit=10)
    await hold(loyalty, bea, 4)
    owner = create_async_engine(async_url(addresses["loyalty"].owner_url))
    async with owner.begin() as connection:
        await connection.exec_driver_sql(
            """
            INSERT INTO holds SELECT (jsonb_populate_record(holds, jsonb_build_object(
                'id', gen_random_uuid(), 'state', 'captured', 'resolved_at', placed_at,
                'placed_at', placed_at - make_interval(days => n)
            ))).* FROM holds, generate_series(1, 2000) AS n
            """
        )
        await connection.exec_driver_sql(
            """
            INSERT INTO hold_parts (hold_id, account_id, points)
            SELECT holds.id, account_id, part.points FROM holds, hold_parts AS part WHERE holds.id <> hold_id
            """
        )
        await connection.exec_driver_sql("ANALYZE holds, hold_parts")
        explained = await connection.execute(
            text(f"EXPLAIN (ANALYZE, FORMAT JSON) {pooling.DRAWN.text}"),
            {"pools": [UUID(pool_id)], "since": clock.now() - timedelta(hours=1)},
        )
        plan = explained.scalar_one()[0]["Plan"]
    await owner.dispose()

    assert (await account(loyalty, bea))["pool"]["drawn_today"] == 4
    assert (rows_read(plan, "holds"), rows_read(plan, "hold_parts")) == (1, 1)


async def test_what_one_member_owes_is_no_other_members(
    sessions: Sessions, loyalty: httpx2.AsyncClient, give: Give, pool: Household, clock: FrozenClock
) -> None:
    ann, bea = uuid7(), uuid7()
    await give(bea, 10)
    posting = Earn(customer_id=ann, source="test", reference="lent", effective_at=clock.now(), points=20)
    async with sessions.begin() as session:
        [earned] = await ledger.post(session, [posting], at=clock.now())
    await spend(loyalty, ann, 20)
    await post(loyalty, f"/v1/transactions/{earned.accepted().id}/reversal", {"reason": "returned"})
    await give(ann, 5)
    await pool([ann, bea])

    pooled = (await account(loyalty, ann))["pool"]
    refused, done = await spend(loyalty, ann, 11), await spend(loyalty, ann, 10)

    assert {each["customer_id"]: each["available"] for each in pooled["shares"]} == {
        str(ann): 0,
        str(bea): 10,
    }
    assert (refused.status_code, refused.json()["available"], done.status_code) == (409, 10, 201)
    assert await balances(sessions) == {ann: (-15, 0), bea: (0, 0)}
    assert await differences(sessions) == []


async def test_a_hold_is_honoured_after_its_owner_has_left(
    sessions: Sessions, loyalty: httpx2.AsyncClient, give: Give, pool: Household
) -> None:
    ann, bea, cid = uuid7(), uuid7(), uuid7()
    for customer in (ann, bea, cid):
        await give(customer, 10)
    pool_id = await pool([ann, bea, cid])
    placed = [(await hold(loyalty, ann, 15)).json()["id"], (await hold(loyalty, cid, 15)).json()["id"]]

    await leave(loyalty, pool_id, bea)
    held = await balances(sessions)
    kept = await spend(loyalty, bea, 1)
    captured = await post(loyalty, f"/v1/accounts/{ann}/holds/{placed[0]}/capture")
    released = await post(loyalty, f"/v1/accounts/{cid}/holds/{placed[1]}/release")

    assert held == {ann: (10, 10), bea: (10, 10), cid: (10, 10)}
    assert (kept.status_code, kept.json()["available"]) == (409, 0)
    assert (captured.json()["state"], released.json()["state"]) == ("captured", "released")
    assert await balances(sessions) == {ann: (0, 0), bea: (5, 0), cid: (10, 0)}
    assert await differences(sessions) == []


async def test_what_comes_back_comes_back_to_the_lots_that_it_came_from(
    sessions: Sessions, loyalty: httpx2.AsyncClient, give: Give, pool: Household
) -> None:
    ann, bea = uuid7(), uuid7()
    await give(ann, 10)
    await give(bea, 20)
    before = await lots(loyalty, ann) | await lots(loyalty, bea)
    pool_id = await pool([ann, bea])
    spent = await spend(loyalty, ann, 25)
    await leave(loyalty, pool_id, bea)

    back = await post(
        loyalty, f"/v1/transactions/{spent.json()['transaction_id']}/reversal", {"reason": "returned"}
    )

    assert (back.status_code, back.json()["points"], back.json()["balance"]) == (201, 25, 10)
    assert await lots(loyalty, ann) | await lots(loyalty, bea) == before
    assert await balances(sessions) == {ann: (10, 0), bea: (20, 0)}
    assert await differences(sessions) == []


async def test_nobody_spends_what_is_over_of_others_and_it_expires(
    sessions: Sessions, loyalty: httpx2.AsyncClient, give: Give, pool: Household, clock: FrozenClock
) -> None:
    ann, bea = uuid7(), uuid7()
    await give(ann, 10)
    await give(bea, 10, expires_at=clock.now() + timedelta(minutes=5))
    await pool([ann, bea])
    placed = (await hold(loyalty, ann, 4)).json()["id"]

    clock.advance(timedelta(minutes=6))
    refused, done = await spend(loyalty, ann, 11), await spend(loyalty, ann, 3)
    await post(loyalty, f"/v1/accounts/{ann}/holds/{placed}/capture")

    assert (refused.status_code, refused.json()["available"], done.status_code) == (409, 10, 201)
    assert await balances(sessions) == {ann: (7, 0), bea: (0, 0)}
    [*_, taken] = [
        entry for entry in (await loyalty.get(f"/v1/accounts/{bea}/entries")).json()["items"][::-1]
    ]
    assert (taken["kind"], taken["amount"]) == ("capture", -4)
    assert await differences(sessions) == []


async def test_what_a_hold_lets_go_of_that_is_over_expires_at_once(
    sessions: Sessions, loyalty: httpx2.AsyncClient, give: Give, pool: Household, clock: FrozenClock
) -> None:
    ann, bea = uuid7(), uuid7()
    await give(ann, 1)
    await give(bea, 10, expires_at=clock.now() + timedelta(minutes=5))
    pool_id = await pool([ann, bea])
    placed = (await hold(loyalty, ann, 10)).json()["id"]
    await leave(loyalty, pool_id, bea)

    clock.advance(timedelta(minutes=6))
    await post(loyalty, f"/v1/accounts/{ann}/holds/{placed}/release")

    assert await balances(sessions) == {ann: (1, 0), bea: (0, 0)}
    assert await differences(sessions) == []


async def test_a_hold_that_nobody_captures_is_free_again_in_every_account(
    sessions: Sessions, loyalty: httpx2.AsyncClient, give: Give, pool: Household, clock: FrozenClock
) -> None:
    ann, bea = uuid7(), uuid7()
    await give(ann, 10)
    await give(bea, 10)
    await pool([ann, bea])
    await hold(loyalty, ann, 15)

    clock.advance(timedelta(minutes=11))
    while await due.run(sessions, due_work, clock):
        pass

    assert await balances(sessions) == {ann: (10, 0), bea: (10, 0)}
    assert await differences(sessions) == []


async def test_a_member_gives_and_is_put_right_only_by_their_own(
    loyalty: httpx2.AsyncClient, give: Give, pool: Household
) -> None:
    ann, bea, cid = uuid7(), uuid7(), uuid7()
    for customer in (ann, bea, cid):
        await give(customer, 10)
    await pool([ann, bea])

    given = await post(loyalty, f"/v1/accounts/{ann}/transfers", {"to": str(cid), "points": 11})
    taken = await post(loyalty, f"/v1/accounts/{ann}/adjust", {"points": -11, "reason": "mistake"})

    assert {answer.json()["code"] for answer in (given, taken)} == {"insufficient_points"}


async def test_rewards_and_quotes_are_paid_by_the_pool(
    sessions: Sessions, loyalty: httpx2.AsyncClient, give: Give, pool: Household
) -> None:
    ann, bea = uuid7(), uuid7()
    await give(ann, 10)
    await give(bea, 10)
    await pool([ann, bea])
    gift = {"kind": "gift", "names": {"en": "A bag"}, "points": 12, "limited": False}
    await loyalty.put("/v1/rewards/bag", json=gift, headers={"If-None-Match": "*"})
    basket = {"currency": "USD", "lines": [{"price": 10_000}]}

    ordered = await post(loyalty, f"/v1/accounts/{ann}/reward-orders", {"reward": "bag"})
    quote = await post(loyalty, "/v1/quotes", {"customer_id": str(ann), "basket": basket, "points": 8})
    order = {"order": {"source": "shop", "external_id": "1"}}
    committed = await post(loyalty, f"/v1/quotes/{quote.json()['id']}/commit", order)
    cancelled = await post(loyalty, f"/v1/reward-orders/{ordered.json()['id']}/cancel")

    assert (ordered.status_code, committed.status_code, cancelled.status_code) == (201, 200, 200)
    have = await balances(sessions)
    assert sum(balance for balance, _ in have.values()) == 12
    assert await differences(sessions) == []
