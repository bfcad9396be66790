"""A complaint that tickets upholds becomes points in loyalty once somebody else agrees, and can be undone."""

from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import httpx2
import pytest
from tests.flows.conftest import Settle

from crm_shared.callers import Role
from crm_shared.testing import FrozenClock, Signer, fresh_key

Customer = Callable[..., Awaitable[UUID]]
Decide = Callable[[str, str], Awaitable[httpx2.Response]]
Json = dict[str, Any]

pytestmark = pytest.mark.capability("L15")

UPHELD = {"verdict": "upheld", "cause": "It was sent without strings", "compensation": "Strings, and points"}


@pytest.fixture
async def terms(loyalty: httpx2.AsyncClient) -> None:
    body = {"active": True, "points": {"critical": 800}, "monthly_budget": 1000}
    path = "/v1/programme/recovery-policy"
    assert (await loyalty.put(path, json=body, headers={"If-Match": '"1"'})).status_code == 200


@pytest.fixture
def decide(loyalty: httpx2.AsyncClient, signer: Signer, clock: FrozenClock) -> Decide:
    """What a manager of this name does: `await decide("mia", "/v1/recoveries/…/approve")`."""

    async def post(who: str, path: str) -> httpx2.Response:
        token = signer.token((Role.MANAGER,), at=clock.now(), subject=who)
        headers = {"Authorization": f"Bearer {token}"} | fresh_key()
        return await loyalty.post(path, json={}, headers=headers)

    return post


async def complain(tickets: httpx2.AsyncClient, who: UUID, verdict: Json) -> Json:
    """A critical complaint from its opening to its end, with a verdict between."""
    matter = {"kind": "complaint", "severity": "critical", "title": "The piano has no strings"}
    opened = (await tickets.post("/v1/tickets", json=matter | {"customer_id": str(who)})).json()
    path = f"/v1/tickets/{opened['id']}"
    answers = [
        await tickets.post(f"{path}/judge", json=verdict),
        await tickets.post(f"{path}/respond", json={"message": "Strings are on their way."}),
        await tickets.post(f"{path}/resolve", json={"resolution": "It has strings."}),
        await tickets.post(f"{path}/close"),
    ]
    assert [answer.status_code for answer in answers] == [200] * 4
    ticket: Json = answers[-1].json()
    return ticket


async def test_an_upheld_complaint_becomes_points_once_somebody_else_agrees_and_they_can_be_taken_back(
    customer: Customer,
    settle: Settle,
    tickets: httpx2.AsyncClient,
    loyalty: httpx2.AsyncClient,
    terms: None,
    decide: Decide,
) -> None:
    who = await customer()
    await settle()
    ticket = await complain(tickets, who, UPHELD)
    await settle()

    async def balance() -> int:
        return int((await loyalty.get(f"/v1/accounts/{who}")).json()["balance"])

    [proposed] = (await loyalty.get(f"/v1/recoveries?customer_id={who}")).json()["items"]
    assert (proposed["complaint_id"], proposed["points"]) == (ticket["id"], 800)
    assert (proposed["cause"], proposed["proposed_by"]) == (UPHELD["cause"], "tester")
    path = f"/v1/recoveries/{proposed['id']}"
    own = await decide("tester", f"{path}/approve")
    assert (own.status_code, own.json()["code"], await balance()) == (403, "own_request", 0)
    assert (await decide("mia", f"{path}/approve")).status_code == 200
    assert await balance() == 800
    assert (await decide("mia", f"{path}/reverse")).status_code == 200
    assert await balance() == 0


async def test_a_rejected_complaint_proposes_nothing(
    customer: Customer,
    settle: Settle,
    tickets: httpx2.AsyncClient,
    loyalty: httpx2.AsyncClient,
    terms: None,
) -> None:
    who = await customer()
    await complain(tickets, who, {"verdict": "rejected", "cause": "It never had strings"})
    await settle()
    assert (await loyalty.get(f"/v1/recoveries?customer_id={who}")).json()["items"] == []


async def test_what_is_upheld_for_somebody_who_is_merged_meanwhile_is_proposed_for_the_survivor(
    customer: Customer,
    settle: Settle,
    profiles: httpx2.AsyncClient,
    tickets: httpx2.AsyncClient,
    loyalty: httpx2.AsyncClient,
    terms: None,
    decide: Decide,
) -> None:
    who, survivor = await customer(), await customer("王晓明")
    await settle()
    await complain(tickets, who, UPHELD)
    pair = {"survivor_id": str(survivor), "absorbed_id": str(who), "reason": "one person"}
    merged = await profiles.post("/v1/merges", json=pair, headers={"Idempotency-Key": "merge"})
    assert merged.is_success, merged.text
    await settle()

    [proposed] = (await loyalty.get(f"/v1/recoveries?customer_id={survivor}")).json()["items"]
    assert (await decide("mia", f"/v1/recoveries/{proposed['id']}/approve")).status_code == 200
    assert (await loyalty.get(f"/v1/accounts/{survivor}")).json()["balance"] == 800


async def test_the_verdict_stands_on_the_timeline_and_the_customer_reads_no_words_of_staff(
    customer: Customer,
    settle: Settle,
    profiles: httpx2.AsyncClient,
    client: Callable[..., httpx2.AsyncClient],
    tickets: httpx2.AsyncClient,
) -> None:
    who = await customer()
    ticket = await complain(tickets, who, UPHELD)
    await settle()
    path = f"/v1/customers/{who}/timeline?family=ticket"

    async def verdict(reader: httpx2.AsyncClient) -> Json:
        entries = (await reader.get(path)).json()["items"]
        [found] = [each for each in entries if each["type"] == "ticket.complaint_upheld"]
        return dict(found)

    told = await verdict(profiles)
    assert told["title"] == f"Complaint {ticket['number']} was upheld"
    assert told["data"]["cause"] == UPHELD["cause"]
    own = await verdict(client("profiles", Role.CUSTOMER, customer_id=who))
    assert own["data"].keys() & {"cause", "compensation"} == set()
    assert own["data"]["verdict"] == "upheld"
