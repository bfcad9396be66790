"""L1: the points ledger, tried from outside: many at once, as of any instant, and books that add up."""

import asyncio
from datetime import UTC, datetime

import httpx2
import pytest

from crm_local.system import System
from crm_loyalty import reconcile

from .conftest import Until, insist

pytestmark = pytest.mark.capability("L1")


async def customer(agent: httpx2.AsyncClient, until: Until) -> str:
    identity: str = (await agent.post("/v1/customers", json={"name": "Ada"})).json()["id"]

    async def has_an_account() -> bool:
        return (await agent.get(f"/v1/accounts/{identity}")).is_success

    await until(has_an_account)
    return identity


async def test_whatever_is_asked_at_once_the_entries_the_lots_and_the_balance_agree(
    agent: httpx2.AsyncClient, manager: httpx2.AsyncClient, until: Until, system: System
) -> None:
    who = await customer(agent, until)
    path = f"/v1/accounts/{who}"
    for points in (40, 30, 30):
        assert (
            await manager.post(f"{path}/adjust", json={"points": points, "reason": "Welcome"})
        ).status_code == 201

    answers = await asyncio.gather(*(insist(agent, f"{path}/spend", {"points": 3}) for _ in range(50)))

    spent = sum(answer.status_code == 201 for answer in answers)
    assert spent == 33
    account = (await agent.get(path)).json()
    entries = (await agent.get(f"{path}/entries", params={"limit": 200})).json()["items"]
    lots = (await agent.get(f"{path}/lots")).json()["items"]
    assert account["balance"] == 1
    assert sum(entry["amount"] for entry in entries) == 1
    assert [lot["remaining"] for lot in lots] == [1]
    assert await reconcile.reconcile(system.databases["loyalty"].owner_url) == []


async def test_what_was_on_record_at_an_instant_can_be_read_for_ever(
    agent: httpx2.AsyncClient, manager: httpx2.AsyncClient, until: Until
) -> None:
    path = f"/v1/accounts/{await customer(agent, until)}"
    await manager.post(f"{path}/adjust", json={"points": 10, "reason": "Welcome"})
    between = datetime.now(UTC)
    spent = (await agent.post(f"{path}/spend", json={"points": 4})).json()
    undone = await manager.post(
        f"/v1/transactions/{spent['transaction_id']}/reversal", json={"reason": "wrong customer"}
    )

    assert (undone.status_code, undone.json()["balance"]) == (201, 10)
    after = {"as_of": spent["recorded_at"]}
    assert (await agent.get(path, params={"as_of": between.isoformat()})).json()["balance"] == 10
    assert (await agent.get(path, params=after)).json()["balance"] == 6
    [lot] = (await agent.get(f"{path}/lots", params=after)).json()["items"]
    assert lot["remaining"] == 6
