"""L7: gifts for points, never more than there are, followed until the customer has them."""

import asyncio
from collections import Counter

import httpx2
import pytest

from crm_shared.ids import uuid7

from .conftest import Until, insist

pytestmark = pytest.mark.capability("L7")


async def test_gifts_are_never_oversold_and_are_followed_on_the_timeline(
    agent: httpx2.AsyncClient, manager: httpx2.AsyncClient, until: Until
) -> None:
    who = (await agent.post("/v1/customers", json={"name": "Ada"})).json()["id"]

    async def account() -> bool:
        return (await agent.get(f"/v1/accounts/{who}")).status_code == 200

    await until(account)
    given = await manager.post(f"/v1/accounts/{who}/adjust", json={"points": 1000, "reason": "welcome"})
    assert given.status_code == 201, given.text
    gift = f"bag-{uuid7().hex}"
    body = {"kind": "gift", "names": {"en": "A bag", "zh": "袋"}, "points": 10}
    await manager.put(f"/v1/rewards/{gift}", json=body, headers={"If-None-Match": "*"})
    await manager.post(f"/v1/rewards/{gift}/restock", json={"change": 7})

    path = f"/v1/accounts/{who}/reward-orders"
    answers = await asyncio.gather(*(insist(agent, path, {"reward": gift}) for _ in range(30)))
    assert Counter(answer.status_code for answer in answers) == {201: 7, 409: 23}
    assert {answer.json()["code"] for answer in answers if answer.status_code == 409} == {"out_of_stock"}
    assert (await agent.get(f"/v1/accounts/{who}")).json()["balance"] == 930

    [first, second, *_] = [answer.headers["Location"] for answer in answers if answer.status_code == 201]
    await agent.post(f"{first}/ship", json={"tracking": "SF1"})
    await agent.post(f"{first}/deliver")
    assert (await agent.post(f"{second}/cancel")).json()["state"] == "cancelled"
    assert (await agent.get(f"/v1/accounts/{who}")).json()["balance"] == 940
    assert (await agent.get(f"/v1/rewards/{gift}")).json()["remaining"] == 1

    async def told() -> bool:
        entries = (await agent.get(f"/v1/customers/{who}/timeline", params={"limit": 100})).json()["items"]
        return {"reward.ordered", "reward.shipped", "reward.delivered", "reward.cancelled"} <= {
            entry["type"] for entry in entries
        }

    await until(told)
