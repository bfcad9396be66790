"""Pools: who belongs to them, by whose will, and what becomes of them as customers are merged and erased."""

import asyncio
from collections import Counter
from uuid import UUID

import httpx2
import pytest
from tests.conftest import ClientFactory
from tests.loyalty.accounts import differences
from tests.loyalty.conftest import Give, Household
from tests.loyalty.pools import active, member_of, post, shares, told

from crm_shared.callers import Role
from crm_shared.database import Sessions
from crm_shared.ids import uuid7


async def test_who_agrees_shares(sessions: Sessions, loyalty: httpx2.AsyncClient, people: list[UUID]) -> None:
    ann, bea, _ = people
    made = await post(loyalty, "/v1/pools", {"head": str(ann), "name": "The Lims", "daily_limit": 50})
    path = f"/v1/pools/{made.json()['id']}"
    invited = await post(loyalty, f"{path}/members", {"customer_id": str(bea)})
    before = await shares(loyalty, ann)

    accepted = await post(loyalty, f"{path}/members/{invited.json()['id']}/accept")

    assert (made.status_code, made.json()["spending"], made.json()["daily_limit"]) == (201, "any", 50)
    assert (invited.json()["state"], accepted.json()["state"]) == ("invited", "active")
    assert before == {str(ann): 10}
    assert await shares(loyalty, ann) == await shares(loyalty, bea) == {str(ann): 10, str(bea): 20}
    assert await active(loyalty, made.json()["id"]) == {str(ann): True, str(bea): False}
    assert await told(sessions) == [("joined", str(ann), None), ("joined", str(bea), None)]
    assert await differences(sessions) == []


async def test_an_account_without_a_pool_says_so_and_keeps_its_etag(
    loyalty: httpx2.AsyncClient, people: list[UUID], pool: Household
) -> None:
    alone = await loyalty.get(f"/v1/accounts/{people[0]}")
    await pool(people[:2])
    pooled = await loyalty.get(f"/v1/accounts/{people[0]}")

    assert alone.json()["pool"] is None
    assert ("ETag" in alone.headers, "ETag" in pooled.headers) == (True, False)
    assert pooled.json()["pool"]["available"] == 30
    assert pooled.json()["available"] == 10


async def test_asking_twice_is_asking_once(
    loyalty: httpx2.AsyncClient, people: list[UUID], pool: Household
) -> None:
    pool_id = await pool(people[:1])
    path, invitee = f"/v1/pools/{pool_id}/members", {"customer_id": str(people[1])}

    first, second = await post(loyalty, path, invitee), await post(loyalty, path, invitee)
    accept = f"{path}/{first.json()['id']}/accept"
    accepted, again = await post(loyalty, accept), await post(loyalty, accept)

    assert first.json() == second.json()
    assert accepted.json() == again.json()
    assert (await post(loyalty, path, invitee)).json() == again.json()


async def test_one_customer_has_one_pool(
    loyalty: httpx2.AsyncClient, people: list[UUID], pool: Household
) -> None:
    ann, bea, cid = people
    first, second = await pool([ann, bea]), await pool([cid])
    invited = await post(loyalty, f"/v1/pools/{second}/members", {"customer_id": str(bea)})

    refused = await post(loyalty, f"/v1/pools/{second}/members/{invited.json()['id']}/accept")
    another = await post(loyalty, "/v1/pools", {"head": str(bea), "name": "One more"})

    for answer in (refused, another):
        assert (answer.status_code, answer.json()["code"]) == (409, "already_in_pool")
        assert answer.json()["pool_id"] == first


async def test_a_pool_has_as_many_members_as_the_policy_says(
    loyalty: httpx2.AsyncClient, people: list[UUID], pool: Household
) -> None:
    terms = {"time_zone": "UTC", "expiry": "never", "pool_members_max": 2}
    policy = await loyalty.put("/v1/programme/points-policy", json=terms, headers={"If-Match": '"1"'})
    pool_id = await pool(people[:2])

    refused = await post(loyalty, f"/v1/pools/{pool_id}/members", {"customer_id": str(people[2])})

    assert policy.json()["pool_members_max"] == 2
    assert (refused.status_code, refused.json()["code"], refused.json()["limit"]) == (409, "pool_is_full", 2)


async def test_a_programme_may_have_no_pools(loyalty: httpx2.AsyncClient, people: list[UUID]) -> None:
    terms = {"time_zone": "UTC", "expiry": "never", "pool_members_max": 0}
    await loyalty.put("/v1/programme/points-policy", json=terms, headers={"If-Match": '"1"'})

    refused = await post(loyalty, "/v1/pools", {"head": str(people[0]), "name": "The Lims"})

    assert (refused.status_code, refused.json()["code"]) == (409, "pool_is_full")


async def test_who_goes_takes_what_is_their_own(
    sessions: Sessions, loyalty: httpx2.AsyncClient, people: list[UUID], pool: Household
) -> None:
    ann, bea, cid = people
    pool_id = await pool(people)
    gone = (await member_of(loyalty, bea))["id"]

    left = await post(loyalty, f"/v1/pools/{pool_id}/members/{gone}/leave")
    again = await post(loyalty, f"/v1/pools/{pool_id}/members/{gone}/leave")

    assert (left.json()["state"], left.json()["ending"]) == ("ended", "left")
    assert again.json() == left.json()
    assert await shares(loyalty, bea) is None
    assert await shares(loyalty, ann) == {str(ann): 10, str(cid): 30}
    assert (await told(sessions))[-1] == ("left", str(bea), "left")
    assert await differences(sessions) == []


@pytest.mark.parametrize(("verb", "ending"), [("leave", "declined"), ("remove", "withdrawn")])
async def test_an_invitation_can_be_declined_and_withdrawn(
    sessions: Sessions,
    loyalty: httpx2.AsyncClient,
    people: list[UUID],
    pool: Household,
    verb: str,
    ending: str,
) -> None:
    path = f"/v1/pools/{await pool(people[:1])}/members"
    invited = (await post(loyalty, path, {"customer_id": str(people[1])})).json()["id"]

    ended = await post(loyalty, f"{path}/{invited}/{verb}")
    late = await post(loyalty, f"{path}/{invited}/accept")
    anew = await post(loyalty, path, {"customer_id": str(people[1])})

    assert (ended.json()["state"], ended.json()["ending"]) == ("ended", ending)
    assert (late.json()["code"], late.json()["ending"]) == ("membership_ended", ending)
    assert anew.json()["state"] == "invited"
    assert len(await told(sessions)) == 1, "an invitation is between them"


async def test_when_the_head_goes_the_eldest_member_is_it_and_the_last_one_ends_the_pool(
    sessions: Sessions, loyalty: httpx2.AsyncClient, people: list[UUID], pool: Household
) -> None:
    ann, bea, cid = people
    pool_id = await pool(people)
    path = f"/v1/pools/{pool_id}"

    await post(loyalty, f"{path}/members/{(await member_of(loyalty, ann))['id']}/leave")
    after = await active(loyalty, pool_id)
    for customer in (cid, bea):
        await post(loyalty, f"{path}/members/{(await member_of(loyalty, customer))['id']}/remove")

    assert after == {str(bea): True, str(cid): False}
    assert (await loyalty.get(path)).json()["dissolved_at"] is not None
    assert (await post(loyalty, f"{path}/members", {"customer_id": str(ann)})).json()[
        "code"
    ] == "pool_dissolved"
    assert await differences(sessions) == []


async def test_a_dissolved_pool_leaves_each_with_their_own(
    sessions: Sessions, loyalty: httpx2.AsyncClient, people: list[UUID], pool: Household
) -> None:
    ann, bea, cid = people
    pool_id = await pool([ann, bea])
    invited = await post(loyalty, f"/v1/pools/{pool_id}/members", {"customer_id": str(cid)})

    dissolved = await post(loyalty, f"/v1/pools/{pool_id}/dissolve")

    assert dissolved.json()["dissolved_at"] is not None
    assert (await post(loyalty, f"/v1/pools/{pool_id}/dissolve")).json()["code"] == "pool_dissolved"
    assert [await shares(loyalty, customer) for customer in people] == [None, None, None]
    assert (await member_of(loyalty, cid))["ending"] == "dissolved"
    assert invited.json()["id"] == (await member_of(loyalty, cid))["id"]
    endings = [("left", str(customer), "dissolved") for customer in (ann, bea)]
    assert sorted((await told(sessions))[2:]) == sorted(endings)
    assert await differences(sessions) == []


async def test_the_terms_are_changed_by_who_has_seen_them(
    loyalty: httpx2.AsyncClient, people: list[UUID], pool: Household
) -> None:
    path = f"/v1/pools/{await pool(people[:1], daily_limit=5)}"
    seen = (await loyalty.get(path)).headers["ETag"]

    changed = await loyalty.patch(path, json={"daily_limit": None}, headers={"If-Match": seen})
    stale = await loyalty.patch(path, json={"spending": "head"}, headers={"If-Match": seen})
    nothing = await loyalty.patch(path, json={"name": "The Lims"})

    assert (changed.json()["daily_limit"], changed.json()["version"]) == (None, 2)
    assert stale.status_code == 412
    assert nothing.json()["version"] == 2


async def test_a_member_becomes_head_in_the_place_of_who_was_it(
    loyalty: httpx2.AsyncClient, people: list[UUID], pool: Household
) -> None:
    ann, bea, cid = people
    pool_id = await pool([ann, bea])
    path = f"/v1/pools/{pool_id}/members"
    invited = (await post(loyalty, path, {"customer_id": str(cid)})).json()["id"]

    done = await post(loyalty, f"{path}/{(await member_of(loyalty, bea))['id']}/appoint")
    refused = await post(loyalty, f"{path}/{invited}/appoint")

    assert done.json()["head"] is True
    assert await active(loyalty, pool_id) == {str(ann): False, str(bea): True}
    assert refused.json()["code"] == "not_a_member"


async def test_customers_act_for_themselves_and_heads_for_their_pool(
    client: ClientFactory, people: list[UUID]
) -> None:
    ann, bea, cid = (client("loyalty", Role.CUSTOMER, customer_id=customer) for customer in people)
    made = await post(ann, "/v1/pools", {"head": str(people[0]), "name": "The Lims"})
    path = f"/v1/pools/{made.json()['id']}"
    unseen = await bea.get(path)
    invited = (await post(ann, f"{path}/members", {"customer_id": str(people[1])})).json()["id"]
    member = f"{path}/members/{invited}"

    by_others = [await post(cid, f"{member}/{verb}") for verb in ("accept", "leave", "remove", "appoint")]
    by_head = await post(ann, f"{member}/accept")
    accepted = await post(bea, f"{member}/accept")
    for_another = await post(bea, "/v1/pools", {"head": str(people[2]), "name": "Not mine"})
    by_member = [
        await bea.patch(path, json={"spending": "head"}),
        await post(bea, f"{path}/dissolve"),
        await post(bea, f"{path}/members", {"customer_id": str(people[2])}),
        await post(bea, f"{member}/remove"),
    ]

    assert [answer.status_code for answer in (unseen, *by_others, by_head, for_another)] == [404] * 7
    assert accepted.json()["state"] == "active"
    assert {answer.json()["code"] for answer in by_member} == {"head_only"}
    assert (await bea.get(path)).status_code == (await bea.get(f"{path}/members")).status_code == 200
    assert (await post(ann, f"{member}/remove")).json()["ending"] == "removed"
    assert (await bea.get(path)).status_code == 404


async def test_of_all_who_accept_at_once_only_as_many_come_in_as_there_is_room_for(
    committed: dict[str, Sessions], loyalty: httpx2.AsyncClient, give: Give, pool: Household
) -> None:
    people = [uuid7() for _ in range(9)]
    for customer in people:
        await give(customer, 1)
    # Each of three pools asks all: whoever accepts several comes into one.
    pools = [await pool([head]) for head in people[:3]]
    asked = [
        (pool_id, await post(loyalty, f"/v1/pools/{pool_id}/members", {"customer_id": str(customer)}))
        for pool_id in pools
        for customer in people[3:8]
    ]

    answers = await asyncio.gather(
        *(
            post(loyalty, f"/v1/pools/{pool_id}/members/{invited.json()['id']}/accept")
            for pool_id, invited in asked
        )
    )

    assert Counter(answer.json().get("code", "done") for answer in answers) == {
        "done": 5,
        "already_in_pool": 10,
    }
    assert await differences(committed["loyalty"]) == []
