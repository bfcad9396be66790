"""L3: a household pool, tried from outside: members spend all points once, and go with their own."""

import asyncio
from collections import Counter
from uuid import UUID

import httpx2
import pytest

from crm_local.system import System
from crm_loyalty import reconcile
from crm_shared.callers import Role

from .conftest import Sign, Until, insist
from .test_l03_transfers import with_points

pytestmark = pytest.mark.capability("L3")


async def test_a_household_shares_its_points_and_spends_none_twice(
    agent: httpx2.AsyncClient, manager: httpx2.AsyncClient, sign_in: Sign, until: Until, system: System
) -> None:
    people = [await with_points(agent, manager, until, points) for points in (60, 30, 10)]
    head, friend, child = (sign_in(Role.CUSTOMER, UUID(customer)) for customer in people)
    pool = (await insist(head, "/v1/pools", {"head": people[0], "name": "The Lims"})).json()["id"]
    for customer, own in zip(people[1:], (friend, child), strict=True):
        asked = await insist(head, f"/v1/pools/{pool}/members", {"customer_id": customer})
        accept = f"/v1/pools/{pool}/members/{asked.json()['id']}/accept"
        assert (await insist(head, accept, None)).status_code == 404, "nobody agrees for another"
        assert (await insist(own, accept, None)).json()["state"] == "active"
    shared = (await child.get(f"/v1/accounts/{people[2]}")).json()
    assert (shared["balance"], shared["pool"]["available"]) == (10, 100)

    answers = await asyncio.gather(
        *(insist(agent, f"/v1/accounts/{people[n % 3]}/spend", {"points": 3}) for n in range(100))
    )

    assert Counter(answer.status_code for answer in answers) == {201: 33, 409: 67}
    left = [(await agent.get(f"/v1/accounts/{customer}")).json()["balance"] for customer in people]
    assert (sum(left), min(left)) == (1, 0)
    assert await reconcile.reconcile(system.databases["loyalty"].owner_url) == []


async def test_who_leaves_takes_their_own_honours_holds_and_gets_back_what_was_theirs(
    agent: httpx2.AsyncClient, manager: httpx2.AsyncClient, sign_in: Sign, until: Until, system: System
) -> None:
    people = [await with_points(agent, manager, until, points) for points in (20, 50)]
    leaving = sign_in(Role.CUSTOMER, UUID(people[1]))
    pool = (await insist(agent, "/v1/pools", {"head": people[0], "name": "The Lims"})).json()["id"]
    asked = await insist(agent, f"/v1/pools/{pool}/members", {"customer_id": people[1]})
    member = f"/v1/pools/{pool}/members/{asked.json()['id']}"
    await insist(agent, f"{member}/accept", None)
    spent = (await insist(agent, f"/v1/accounts/{people[0]}/spend", {"points": 30})).json()
    hold = await insist(agent, f"/v1/accounts/{people[0]}/holds", {"points": 15, "expires_in": 600})

    left = await insist(leaving, f"{member}/leave", None)
    alone = (await leaving.get(f"/v1/accounts/{people[1]}")).json()
    [reserved] = (await leaving.get(f"/v1/accounts/{people[1]}/holds")).json()["items"]
    refused = await insist(agent, f"/v1/accounts/{people[0]}/spend", {"points": 1})
    captured = await insist(agent, f"/v1/accounts/{people[0]}/holds/{hold.json()['id']}/capture", None)
    back = await manager.post(
        f"/v1/transactions/{spent['transaction_id']}/reversal", json={"reason": "returned"}
    )

    assert left.json()["ending"] == "left"
    assert (alone["balance"], alone["held"], alone["pool"]) == (40, 15, None)
    assert (reserved["customer_id"], reserved["own_points"]) == (people[0], 15)
    assert (refused.status_code, captured.json()["state"], back.status_code) == (409, "captured", 201)
    balances = [(await agent.get(f"/v1/accounts/{customer}")).json()["balance"] for customer in people]
    assert balances == [20, 35]

    async def told() -> bool:
        entries = (await agent.get(f"/v1/customers/{people[1]}/timeline")).json()["items"]
        types = Counter(entry["type"] for entry in entries)
        return (types["pool.joined"], types["pool.left"], types["points.shared"]) == (1, 1, 4)

    assert await until(told)
    assert await reconcile.reconcile(system.databases["loyalty"].owner_url) == []
