"""Complaints: investigated with a verdict, which is given once, kept and told."""

import asyncio
import json
from collections.abc import Callable

import httpx2
import pytest

from crm_shared.callers import Role
from crm_shared.database import Sessions
from crm_shared.ids import uuid7
from crm_shared.testing import published

from .conftest import Json, Open

Client = Callable[..., httpx2.AsyncClient]

UPHELD = {"verdict": "upheld", "cause": "Packed without padding", "compensation": "New discs"}
REJECTED = {"verdict": "rejected", "cause": "The discs are whole"}


async def judge(tickets: httpx2.AsyncClient, ticket: Json, body: Json, **headers: str) -> httpx2.Response:
    return await tickets.post(f"/v1/tickets/{ticket['id']}/judge", json=body, headers=headers)


async def test_a_verdict_stands_on_the_ticket_with_its_cause_and_who_gave_it(
    tickets: httpx2.AsyncClient, open_ticket: Open, sessions: Sessions
) -> None:
    ticket = await open_ticket(uuid7(), severity="high")
    answer = await judge(tickets, ticket, UPHELD)

    assert answer.status_code == 200, answer.text
    judged = answer.json()
    assert {name: judged[name] for name in UPHELD} == UPHELD
    assert (judged["judged_by"], judged["judged_at"]) == ("tester", "2026-03-02T09:00:00Z")
    assert (judged["status"], judged["due_at"]) == ("open", ticket["due_at"])
    assert (judged["version"], answer.headers["ETag"]) == (2, '"2"')
    assert (await tickets.get(f"/v1/tickets/{ticket['id']}")).json() == judged
    steps = (await tickets.get(f"/v1/tickets/{ticket['id']}/steps")).json()["items"]
    assert (steps[1]["step"], steps[1]["artefact"], steps[1]["actor"]) == ("judge", UPHELD, "tester")
    told = (await published(sessions))[-1]
    assert (told.type, told.key, told.version) == ("tickets.complaint.upheld.v1", ticket["customer_id"], 2)
    assert json.loads(told.data).items() >= {**UPHELD, "severity": "high", "status": "open"}.items()


async def test_a_rejected_complaint_is_told_as_that_and_later_events_carry_the_verdict(
    tickets: httpx2.AsyncClient, open_ticket: Open, sessions: Sessions
) -> None:
    ticket = await open_ticket(uuid7())
    assert (await judge(tickets, ticket, REJECTED)).json()["compensation"] is None
    await tickets.post(f"/v1/tickets/{ticket['id']}/respond", json={"message": "They are whole."})

    opened, rejected, responded = await published(sessions)
    assert rejected.type == "tickets.complaint.rejected.v1"
    assert json.loads(rejected.data)["cause"] == "The discs are whole"
    verdicts = [json.loads(event.data)["verdict"] for event in (opened, rejected, responded)]
    assert verdicts == [None, "rejected", "rejected"]


async def test_what_is_no_complaint_has_no_verdict(tickets: httpx2.AsyncClient, open_ticket: Open) -> None:
    for kind in ("enquiry", "suggestion", "praise"):
        ticket = await open_ticket(uuid7(), kind=kind)
        refused = await judge(tickets, ticket, UPHELD)
        assert (refused.status_code, refused.json()["code"]) == (409, "ticket_is_no_complaint")
        assert refused.json()["allowed"] == ["respond"]


async def test_a_verdict_stands_whoever_would_have_another(
    tickets: httpx2.AsyncClient, open_ticket: Open, sessions: Sessions
) -> None:
    ticket = await open_ticket(uuid7())
    first, again = [await judge(tickets, ticket, UPHELD, **{"Idempotency-Key": "one"}) for _ in range(2)]
    other = await judge(tickets, ticket, REJECTED)

    assert (again.status_code, again.json()) == (200, first.json())
    assert (other.status_code, other.json()["code"]) == (409, "complaint_already_judged")
    assert "upheld already" in other.json()["detail"]
    assert len(await published(sessions)) == 2


async def test_of_two_who_judge_at_once_one_is_heard(
    tickets: httpx2.AsyncClient, committed: dict[str, Sessions], open_ticket: Open
) -> None:
    ticket = await open_ticket(uuid7())
    answers = await asyncio.gather(
        *(judge(tickets, ticket, (UPHELD, REJECTED)[number % 2]) for number in range(8))
    )
    assert sorted(answer.status_code for answer in answers) == [200] + [409] * 7
    given = next(answer.json()["verdict"] for answer in answers if answer.is_success)
    assert (await tickets.get(f"/v1/tickets/{ticket['id']}")).json()["verdict"] == given
    told = [row.type for row in await published(committed["tickets"])]
    assert told == ["tickets.ticket.opened.v1", f"tickets.complaint.{given}.v1"]


async def test_a_verdict_on_what_somebody_else_has_changed_is_refused(
    tickets: httpx2.AsyncClient, open_ticket: Open
) -> None:
    ticket = await open_ticket(uuid7())
    await tickets.post(f"/v1/tickets/{ticket['id']}/respond", json={"message": "We look into it."})
    stale = await judge(tickets, ticket, UPHELD, **{"If-Match": '"1"'})
    assert (stale.status_code, stale.json()["current_version"]) == (412, 2)


@pytest.mark.parametrize(
    ("body", "pointer", "code"),
    [
        ({"verdict": "upheld"}, "/cause", "missing"),
        (UPHELD | {"cause": " "}, "/cause", "string_pattern_mismatch"),
        (UPHELD | {"verdict": "maybe"}, "/verdict", "union_tag_invalid"),
        (REJECTED | {"compensation": "New discs"}, "/compensation", "none_required"),
    ],
)
async def test_a_verdict_has_a_cause_and_only_an_upheld_one_a_compensation(
    tickets: httpx2.AsyncClient, open_ticket: Open, body: Json, pointer: str, code: str
) -> None:
    refused = await judge(tickets, await open_ticket(uuid7()), body)
    [error] = refused.json()["errors"]
    assert (refused.status_code, error["pointer"], error["code"]) == (422, pointer, code)


async def test_a_customer_learns_the_verdict_and_not_what_staff_have_found_and_propose(
    client: Client, tickets: httpx2.AsyncClient, open_ticket: Open
) -> None:
    ann = uuid7()
    ticket = await open_ticket(ann)
    await judge(tickets, ticket, UPHELD)
    own = client("tickets", Role.CUSTOMER, customer_id=ann)

    seen = (await own.get(f"/v1/tickets/{ticket['id']}")).json()
    [listed] = (await own.get("/v1/tickets")).json()["items"]
    assert seen == listed
    assert seen["verdict"] == "upheld"
    assert [seen[name] for name in ("cause", "compensation", "judged_by")] == [None] * 3
    assert (await own.post(f"/v1/tickets/{ticket['id']}/judge", json=REJECTED)).status_code == 403
