"""Service recovery: an upheld complaint proposes points once, a second person grants them within a budget."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import httpx2
import pytest
from tests.loyalty.accounts import balance
from tests.loyalty.conftest import MakeEvent, Receive
from tests.loyalty.figures import given
from tests.patience import patiently

from crm_loyalty import reconcile
from crm_shared.callers import Role
from crm_shared.contracts.base import Event
from crm_shared.contracts.tickets import ComplaintUpheld
from crm_shared.database import Sessions
from crm_shared.ids import uuid7
from crm_shared.testing import FrozenClock, Signer, arrived, fresh_key

Ask = Callable[..., Awaitable[httpx2.Response]]

TERMS: dict[str, Any] = {
    "active": True,
    "points": {"normal": 100, "high": 500},
    "monthly_budget": 1000,
    "supervisor_limit": 100,
}


@pytest.fixture
def ask(loyalty: httpx2.AsyncClient, signer: Signer, clock: FrozenClock) -> Ask:
    """Posts as somebody: `await ask("sue", Role.SUPERVISOR, "/v1/recoveries/…/approve")`."""

    async def post(who: str, role: Role, path: str) -> httpx2.Response:
        token = signer.token((role,), at=clock.now(), subject=who)
        headers = {"Authorization": f"Bearer {token}"} | fresh_key()
        return await patiently(lambda: loyalty.post(path, json={"note": "sorry"}, headers=headers))

    return post


@pytest.fixture
async def terms(loyalty: httpx2.AsyncClient) -> dict[str, Any]:
    path = "/v1/programme/recovery-policy"
    answer = await loyalty.put(path, json=TERMS, headers={"If-Match": '"1"'})
    assert answer.status_code == 200, answer.text
    return TERMS


def upheld(
    customer: UUID, clock: FrozenClock, severity: str = "normal", complaint: UUID | None = None
) -> Event:
    return arrived(
        ComplaintUpheld(
            customer_id=customer,
            version=3,
            ticket_id=complaint or uuid7(),
            number=7,
            kind="complaint",
            severity=severity,
            status="resolved",
            title="The record is scratched",
            opened_at=clock.now(),
            cause="packed badly",
            compensation="A new disc",
        )
    )


async def proposals(loyalty: httpx2.AsyncClient, customer: UUID) -> list[dict[str, Any]]:
    found = await loyalty.get(f"/v1/recoveries?customer_id={customer}")
    items: list[dict[str, Any]] = found.json()["items"]
    return items


async def test_a_complaint_is_compensated_once_and_the_compensation_can_be_taken_back(
    loyalty: httpx2.AsyncClient,
    ask: Ask,
    receive: Receive,
    created: MakeEvent,
    terms: dict[str, Any],
    clock: FrozenClock,
    sessions: Sessions,
) -> None:
    ann, complaint = uuid7(), uuid7()
    for _ in range(2):
        await receive(created(ann), upheld(ann, clock, complaint=complaint))
    [proposed] = await proposals(loyalty, ann)
    assert (proposed["state"], proposed["points"], proposed["cause"]) == ("proposed", 100, "packed badly")
    assert proposed["compensation"] == "A new disc"
    assert await balance(loyalty, ann) == 0
    path = f"/v1/recoveries/{proposed['id']}"

    assert (await ask("amy", Role.AGENT, f"{path}/approve")).status_code == 403
    granted = (await ask("sue", Role.SUPERVISOR, f"{path}/approve")).json()
    assert (granted["state"], granted["decided_by"], granted["note"]) == ("granted", "sue", "sorry")
    assert await balance(loyalty, ann) == 100
    again = await ask("mia", Role.MANAGER, f"{path}/approve")
    assert (again.status_code, again.json()["code"]) == (409, "recovery_state_conflict")
    around = f"/v1/transactions/{granted['transaction_id']}/reversal"
    refused = await loyalty.post(around, json={"reason": "typo"}, headers={"Idempotency-Key": "around"})
    assert (refused.status_code, refused.json()["code"]) == (409, "compensation_was_granted")

    for _ in range(2):
        await ask("mia", Role.MANAGER, f"{path}/reverse")
    assert (await loyalty.get(path)).json()["state"] == "reversed"
    assert await balance(loyalty, ann) == 0
    async with sessions() as session:
        assert await reconcile.differences(await session.connection()) == []


async def test_more_than_the_limit_needs_a_manager_and_what_is_declined_gives_nothing(
    loyalty: httpx2.AsyncClient,
    ask: Ask,
    receive: Receive,
    created: MakeEvent,
    terms: dict[str, Any],
    clock: FrozenClock,
) -> None:
    ann = uuid7()
    await receive(created(ann), upheld(ann, clock, "high"), upheld(ann, clock), upheld(ann, clock, "low"))
    small, large = await proposals(loyalty, ann)
    assert (small["points"], large["points"]) == (100, 500)

    refused = await ask("sue", Role.SUPERVISOR, f"/v1/recoveries/{large['id']}/approve")
    assert (refused.status_code, refused.json()["code"]) == (403, "above_your_limit")
    assert (await ask("mia", Role.MANAGER, f"/v1/recoveries/{large['id']}/approve")).status_code == 200
    declined = await ask("sue", Role.SUPERVISOR, f"/v1/recoveries/{small['id']}/decline")
    assert declined.json()["state"] == "declined"
    assert await balance(loyalty, ann) == 500
    assert await given(loyalty) == {"compensations": 500}


async def test_who_upheld_the_complaint_does_not_grant_the_points(
    loyalty: httpx2.AsyncClient,
    ask: Ask,
    receive: Receive,
    created: MakeEvent,
    terms: dict[str, Any],
    clock: FrozenClock,
) -> None:
    ann = uuid7()
    event = upheld(ann, clock)
    own = event.received(event.model_dump_json(), event.envelope.model_copy(update={"actor": "sue"}))
    await receive(created(ann), own)
    [proposed] = await proposals(loyalty, ann)

    answer = await ask("sue", Role.SUPERVISOR, f"/v1/recoveries/{proposed['id']}/approve")

    assert (answer.status_code, answer.json()["code"]) == (403, "own_request")
    assert (await ask("tom", Role.SUPERVISOR, f"/v1/recoveries/{proposed['id']}/approve")).is_success


async def test_no_month_grants_more_than_its_budget_however_many_approve_at_once(
    committed: dict[str, Sessions],
    loyalty: httpx2.AsyncClient,
    ask: Ask,
    receive: Receive,
    created: MakeEvent,
    terms: dict[str, Any],
    clock: FrozenClock,
) -> None:
    ann = uuid7()
    await receive(created(ann), *(upheld(ann, clock, "high") for _ in range(6)))
    ids = [each["id"] for each in await proposals(loyalty, ann)]

    answers = await asyncio.gather(*(ask("mia", Role.MANAGER, f"/v1/recoveries/{id}/approve") for id in ids))

    assert Counter(answer.status_code for answer in answers) == {200: 2, 409: 4}
    assert {a.json()["code"] for a in answers if a.status_code == 409} == {"recovery_budget_spent"}
    assert await balance(loyalty, ann) == 1000
    done = next(a.json()["id"] for a in answers if a.is_success)
    assert (await ask("mia", Role.MANAGER, f"/v1/recoveries/{done}/reverse")).status_code == 200
    waiting = (await loyalty.get("/v1/recoveries?state=proposed")).json()["items"]
    assert (await ask("mia", Role.MANAGER, f"/v1/recoveries/{waiting[0]['id']}/approve")).status_code == 200


async def test_without_a_policy_nothing_is_proposed(
    loyalty: httpx2.AsyncClient, receive: Receive, created: MakeEvent, clock: FrozenClock
) -> None:
    ann = uuid7()
    await receive(created(ann), upheld(ann, clock))
    assert await proposals(loyalty, ann) == []


async def test_the_words_about_somebody_who_was_erased_are_cleared_and_no_points_are_given(
    loyalty: httpx2.AsyncClient,
    ask: Ask,
    receive: Receive,
    created: MakeEvent,
    erased: MakeEvent,
    terms: dict[str, Any],
    clock: FrozenClock,
) -> None:
    ann = uuid7()
    await receive(created(ann), upheld(ann, clock))
    [proposed] = await proposals(loyalty, ann)
    await receive(erased(ann))

    cleared = (await loyalty.get(f"/v1/recoveries/{proposed['id']}")).json()
    assert (cleared["cause"], cleared["compensation"]) == (None, None)
    assert (await ask("mia", Role.MANAGER, f"/v1/recoveries/{proposed['id']}/approve")).status_code == 410
