"""Pools of customers who are merged, parted again, or erased."""

from uuid import UUID

import httpx2
from tests.loyalty.accounts import differences
from tests.loyalty.conftest import Give, Household, MakeEvent, Receive
from tests.loyalty.pools import active, post, shares, told

from crm_shared.database import Sessions
from crm_shared.ids import uuid7


async def test_two_members_who_are_one_person_are_one_member_and_two_again(
    sessions: Sessions,
    loyalty: httpx2.AsyncClient,
    people: list[UUID],
    pool: Household,
    receive: Receive,
    merged: MakeEvent,
    unmerged: MakeEvent,
) -> None:
    ann, bea, cid = people
    pool_id, merge_id = await pool(people), uuid7()

    await receive(merged(ann, bea, merge_id))
    together = await shares(loyalty, cid)
    await receive(unmerged(ann, bea, merge_id))

    assert together == {str(bea): 30, str(cid): 30}
    assert await shares(loyalty, cid) == {str(ann): 10, str(bea): 20, str(cid): 30}
    assert await active(loyalty, pool_id) == {str(ann): True, str(bea): False, str(cid): False}
    assert len(await told(sessions)) == 3, "nobody came or went"
    assert await differences(sessions) == []


async def test_who_is_merged_into_a_member_shares_too(
    sessions: Sessions,
    loyalty: httpx2.AsyncClient,
    people: list[UUID],
    pool: Household,
    receive: Receive,
    merged: MakeEvent,
    unmerged: MakeEvent,
) -> None:
    ann, bea, cid = people
    merge_id = uuid7()
    await pool([ann, bea])

    await receive(merged(bea, cid, merge_id))
    together = await shares(loyalty, ann)
    clean = await differences(sessions)
    await receive(unmerged(bea, cid, merge_id))

    assert together == {str(ann): 10, str(cid): 50}
    assert await shares(loyalty, ann) == {str(ann): 10, str(bea): 20}
    assert await shares(loyalty, cid) is None
    assert clean == await differences(sessions) == []


async def test_of_two_pools_that_meet_in_one_person_the_survivors_stays(
    sessions: Sessions,
    loyalty: httpx2.AsyncClient,
    people: list[UUID],
    pool: Household,
    give: Give,
    receive: Receive,
    merged: MakeEvent,
    unmerged: MakeEvent,
) -> None:
    ann, bea, cid = people
    dan, merge_id = uuid7(), uuid7()
    await give(dan, 40)
    left, kept = await pool([ann, bea]), await pool([cid, dan])

    await receive(merged(ann, dan, merge_id))
    together = await shares(loyalty, cid)
    clean = await differences(sessions)
    await receive(unmerged(ann, dan, merge_id))

    assert together == {str(cid): 30, str(dan): 50}
    assert await active(loyalty, left) == {str(bea): True}
    assert await active(loyalty, kept) == {str(cid): True, str(dan): False}
    assert (await told(sessions))[4:] == [("left", str(ann), "merged")]
    assert await shares(loyalty, ann) is None, "who left has left"
    assert clean == await differences(sessions) == []


async def test_who_was_erased_shares_no_more_and_names_no_pool(
    sessions: Sessions,
    loyalty: httpx2.AsyncClient,
    people: list[UUID],
    pool: Household,
    receive: Receive,
    erased: MakeEvent,
) -> None:
    ann, bea, cid = people
    pool_id = await pool(people)

    await receive(erased(bea))
    named = (await loyalty.get(f"/v1/pools/{pool_id}")).json()["name"]
    await receive(erased(ann))

    assert named == "The Lims"
    assert (await loyalty.get(f"/v1/pools/{pool_id}")).json()["name"] is None
    assert await shares(loyalty, cid) == {str(cid): 30}
    assert await active(loyalty, pool_id) == {str(cid): True}
    refused = await post(loyalty, f"/v1/pools/{pool_id}/members", {"customer_id": str(ann)})
    assert refused.json()["code"] == "customer_was_erased"
    assert await differences(sessions) == []
