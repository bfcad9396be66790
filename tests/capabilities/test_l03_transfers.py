"""L3: holds, spends and transfers, tried from outside: what is there is used once, whoever asks at once."""

import asyncio
from collections import Counter
from uuid import UUID

import httpx2
import pytest

from crm_local.system import System
from crm_loyalty import reconcile
from crm_shared.callers import Role

from .conftest import Sign, Until, insist
from .test_l01_ledger import customer

pytestmark = pytest.mark.capability("L3")


async def with_points(
    agent: httpx2.AsyncClient, manager: httpx2.AsyncClient, until: Until, points: int
) -> str:
    who = await customer(agent, until)
    given = await manager.post(f"/v1/accounts/{who}/adjust", json={"points": points, "reason": "Welcome"})
    assert given.status_code == 201, given.text
    return who


async def test_a_hundred_at_once_spend_and_hold_no_more_than_there_is(
    agent: httpx2.AsyncClient, manager: httpx2.AsyncClient, until: Until, system: System
) -> None:
    path = f"/v1/accounts/{await with_points(agent, manager, until, 100)}"

    asked = (("spend", {"points": 3}), ("holds", {"points": 3, "expires_in": 600}))
    answers = await asyncio.gather(
        *(insist(agent, f"{path}/{what}", body) for _ in range(50) for what, body in asked)
    )

    assert Counter(answer.status_code for answer in answers) == {201: 33, 409: 67}
    holds = [answer.json()["id"] for answer in answers[1::2] if answer.status_code == 201]
    assert holds
    resolved = await asyncio.gather(
        *(
            insist(agent, f"{path}/holds/{hold}/{verb}", None)
            for hold in holds
            for verb in ("capture", "release")
        )
    )
    assert Counter(answer.status_code for answer in resolved) == {200: len(holds), 409: len(holds)}
    account = (await agent.get(path)).json()
    released = sum(answer.json().get("state") == "released" for answer in resolved)
    assert (account["balance"], account["held"]) == (1 + 3 * released, 0)
    assert await reconcile.reconcile(system.databases["loyalty"].owner_url) == []


async def test_customers_transfer_their_points_and_a_manager_undoes_it(
    agent: httpx2.AsyncClient, manager: httpx2.AsyncClient, sign_in: Sign, until: Until, system: System
) -> None:
    giver = await with_points(agent, manager, until, 50)
    to = await with_points(agent, manager, until, 1)
    own = sign_in(Role.CUSTOMER, UUID(giver))

    done = await insist(own, f"/v1/accounts/{giver}/transfers", {"to": to, "points": 20, "reason": "Trip"})
    refused = await insist(own, f"/v1/accounts/{to}/transfers", {"to": giver, "points": 1})

    assert (done.status_code, done.json()["balance"]) == (201, 30), done.text
    assert refused.status_code == 404
    assert (await agent.get(f"/v1/accounts/{to}")).json()["balance"] == 21
    undone = await manager.post(
        f"/v1/transactions/{done.json()['transaction_id']}/reversal", json={"reason": "wrong friend"}
    )
    assert (undone.status_code, undone.json()["balance"]) == (201, 50)
    assert (await agent.get(f"/v1/accounts/{to}")).json()["balance"] == 1
    assert await reconcile.reconcile(system.databases["loyalty"].owner_url) == []
