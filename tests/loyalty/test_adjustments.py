"""Adjustments: alone up to a limit, above it with a second person, each once."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import httpx2
import pytest
from tests.loyalty.accounts import balance
from tests.loyalty.conftest import Give, MakeEvent, Receive

from crm_loyalty import reconcile
from crm_shared.callers import Role
from crm_shared.database import Sessions
from crm_shared.ids import uuid7
from crm_shared.testing import FrozenClock, Signer, fresh_key

Ask = Callable[..., Awaitable[httpx2.Response]]


@pytest.fixture
def ask(loyalty: httpx2.AsyncClient, signer: Signer, clock: FrozenClock) -> Ask:
    """Posts as somebody: `await ask("ann", Role.AGENT, "/v1/adjustments", {...})`."""

    async def post(who: str, role: Role, path: str, body: dict[str, Any]) -> httpx2.Response:
        token = signer.token((role,), at=clock.now(), subject=who)
        headers = {"Authorization": f"Bearer {token}"} | fresh_key()
        return await loyalty.post(path, json=body, headers=headers)

    return post


@pytest.fixture
async def limit(loyalty: httpx2.AsyncClient) -> int:
    terms = {"time_zone": "UTC", "expiry": "never", "approval_above": 100}
    answer = await loyalty.put("/v1/programme/points-policy", json=terms, headers={"If-Match": '"1"'})
    assert answer.status_code == 200
    return 100


def wish(customer: UUID, points: int) -> dict[str, Any]:
    return {"customer_id": str(customer), "points": points, "reason": "parcel was lost"}


async def test_a_manager_acts_alone_up_to_the_limit_and_asks_above_it(
    loyalty: httpx2.AsyncClient, ask: Ask, give: Give, limit: int
) -> None:
    customer = uuid7()
    await give(customer, 1)

    small = (await ask("mia", Role.MANAGER, "/v1/adjustments", wish(customer, limit))).json()
    large = (await ask("mia", Role.MANAGER, "/v1/adjustments", wish(customer, limit + 1))).json()
    direct = await ask(
        "mia", Role.MANAGER, f"/v1/accounts/{customer}/adjust", {"points": -limit - 1, "reason": "x"}
    )

    assert (small["state"], small["decided_by"], large["state"]) == ("approved", "mia", "requested")
    assert (direct.status_code, direct.json()["code"]) == (409, "approval_required")
    assert await balance(loyalty, customer) == limit + 1


async def test_what_was_asked_for_happens_once_another_person_agrees(
    loyalty: httpx2.AsyncClient, ask: Ask, give: Give, limit: int, sessions: Sessions
) -> None:
    customer = uuid7()
    await give(customer, 1)
    asked = (await ask("mia", Role.MANAGER, "/v1/adjustments", wish(customer, 500))).json()
    path = f"/v1/adjustments/{asked['id']}"

    own = await ask("mia", Role.MANAGER, f"{path}/approve", {})
    agent = await ask("ann", Role.AGENT, f"{path}/approve", {})
    agreed = await ask("sue", Role.SUPERVISOR, f"{path}/approve", {"note": "seen it"})
    again = await ask("tom", Role.MANAGER, f"{path}/reject", {})

    assert (own.status_code, own.json()["code"]) == (403, "own_request")
    assert agent.status_code == 403
    assert (agreed.status_code, agreed.json()["state"], agreed.json()["version"]) == (200, "approved", 2)
    assert (again.status_code, again.json()["code"]) == (409, "adjustment_decided")
    assert await balance(loyalty, customer) == 501
    [entry] = (await loyalty.get(f"/v1/accounts/{customer}/entries?limit=1")).json()["items"]
    assert entry["transaction_id"] == agreed.json()["transaction_id"]
    async with sessions() as session:
        assert await reconcile.differences(await session.connection()) == []


async def test_an_agent_always_asks_and_what_is_rejected_never_happens(
    loyalty: httpx2.AsyncClient, ask: Ask, give: Give
) -> None:
    customer = uuid7()
    await give(customer, 1)
    asked = (await ask("ann", Role.AGENT, "/v1/adjustments", wish(customer, 5))).json()
    waiting = (await loyalty.get("/v1/adjustments?state=requested")).json()["items"]

    rejected = await ask("sue", Role.SUPERVISOR, f"/v1/adjustments/{asked['id']}/reject", {"note": "no"})

    assert [item["id"] for item in waiting] == [asked["id"]]
    assert (rejected.json()["state"], rejected.json()["transaction_id"]) == ("rejected", None)
    shown = await loyalty.get(f"/v1/adjustments/{asked['id']}")
    assert (shown.headers["ETag"], shown.json()["note"]) == ('"2"', "no")
    assert await balance(loyalty, customer) == 1


async def test_ten_who_agree_at_once_let_it_happen_once(
    committed: dict[str, Sessions], loyalty: httpx2.AsyncClient, ask: Ask, give: Give
) -> None:
    customer = uuid7()
    await give(customer, 1)
    asked = (await ask("ann", Role.AGENT, "/v1/adjustments", wish(customer, 5))).json()

    answers = await asyncio.gather(
        *(ask(f"m{n}", Role.MANAGER, f"/v1/adjustments/{asked['id']}/approve", {}) for n in range(10))
    )

    assert Counter(answer.status_code for answer in answers if answer.status_code != 503)[200] == 1
    assert await balance(loyalty, customer) == 6


async def test_points_that_are_not_there_cannot_be_taken_even_with_approval(
    loyalty: httpx2.AsyncClient, ask: Ask, give: Give
) -> None:
    customer = uuid7()
    await give(customer, 1)
    asked = (await ask("ann", Role.AGENT, "/v1/adjustments", wish(customer, -5))).json()

    answer = await ask("sue", Role.SUPERVISOR, f"/v1/adjustments/{asked['id']}/approve", {})

    assert (answer.status_code, answer.json()["code"]) == (409, "insufficient_points")
    assert (await loyalty.get(f"/v1/adjustments/{asked['id']}")).json()["state"] == "requested"


async def test_the_words_about_somebody_who_was_erased_are_cleared(
    loyalty: httpx2.AsyncClient, ask: Ask, give: Give, receive: Receive, erased: MakeEvent
) -> None:
    customer = uuid7()
    await give(customer, 1)
    asked = (await ask("ann", Role.AGENT, "/v1/adjustments", wish(customer, 5))).json()

    await receive(erased(customer))

    assert (await loyalty.get(f"/v1/adjustments/{asked['id']}")).json()["reason"] is None
    refused = await ask("ann", Role.AGENT, "/v1/adjustments", wish(customer, 5))
    assert refused.status_code == 410
