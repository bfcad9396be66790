"""What applied at an instant does not depend on what came about later."""

from datetime import timedelta

import httpx2
from tests.loyalty.conftest import Give
from tests.loyalty.test_expiry import due_work_runs

from crm_shared.database import Sessions
from crm_shared.ids import uuid7
from crm_shared.testing import FrozenClock, fresh_key


async def test_what_comes_back_too_late_was_gone_until_it_came_back(
    loyalty: httpx2.AsyncClient, give: Give, clock: FrozenClock
) -> None:
    customer, end = uuid7(), clock.now() + timedelta(hours=1)
    path = f"/v1/accounts/{customer}"
    await give(customer, 10, expires_at=end)
    await give(customer, 20)
    spent = await loyalty.post(f"{path}/spend", json={"points": 12}, headers=fresh_key())
    clock.advance(timedelta(hours=2))
    between = {"effective_at": clock.now().isoformat()}
    assert (await loyalty.get(path, params=between)).json()["balance"] == 18
    clock.advance(timedelta(hours=1))
    undo = f"/v1/transactions/{spent.json()['transaction_id']}/reversal"
    undone = await loyalty.post(undo, json={"reason": "a mistake"}, headers=fresh_key())
    assert undone.status_code == 201, undone.text

    lots = (await loyalty.get(f"{path}/lots", params=between)).json()["items"]
    assert [lot["remaining"] for lot in lots] == [18]
    assert (await loyalty.get(path, params=between)).json()["balance"] == 18


async def test_what_a_hold_kept_past_its_time_was_there_until_it_was_released(
    loyalty: httpx2.AsyncClient, give: Give, clock: FrozenClock, sessions: Sessions
) -> None:
    customer, end = uuid7(), clock.now() + timedelta(hours=1)
    path = f"/v1/accounts/{customer}"
    await give(customer, 10, expires_at=end)
    held = await loyalty.post(f"{path}/holds", json={"points": 4, "expires_in": 90_000}, headers=fresh_key())
    clock.advance(timedelta(hours=2))
    await due_work_runs(sessions, clock)
    between = {"effective_at": clock.now().isoformat()}
    clock.advance(timedelta(hours=1))
    free = f"{path}/holds/{held.json()['id']}/release"
    assert (await loyalty.post(free, headers=fresh_key())).status_code == 200

    then = (await loyalty.get(path, params=between)).json()
    assert {name: then[name] for name in ("balance", "held", "available")} == {
        "balance": 4,
        "held": 4,
        "available": 0,
    }
