"""The flow of a ticket: step by step to its end, each step kept and told, no step out of turn."""

import asyncio
from collections.abc import Callable
from datetime import timedelta

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError

from crm_shared.database import Sessions
from crm_shared.ids import uuid7
from crm_shared.problems import Conflict
from crm_shared.testing import FrozenClock, published
from crm_tickets import flow
from crm_tickets.flow import Status, Step, Verdict

from .conftest import Json, Open

BODIES = {
    "judge": {"verdict": "upheld", "cause": "It was packed badly."},
    "respond": {"message": "We are sorry."},
    "resolve": {"resolution": "Replaced."},
    "close": None,
}


async def take(tickets: httpx2.AsyncClient, ticket: Json, step: str, **headers: str) -> httpx2.Response:
    return await tickets.post(f"/v1/tickets/{ticket['id']}/{step}", json=BODIES[step], headers=headers)


async def test_a_ticket_goes_from_opening_to_closing_and_every_step_is_kept_and_told(
    tickets: httpx2.AsyncClient, open_ticket: Open, sessions: Sessions, clock: FrozenClock
) -> None:
    ticket = await open_ticket(uuid7(), severity="high", channel="phone")
    assert (ticket["status"], ticket["version"], ticket["due_at"]) == ("open", 1, "2026-03-02T13:00:00Z")
    clock.advance(timedelta(hours=1))
    responded = (await take(tickets, ticket, "respond")).json()
    assert (responded["status"], responded["responded_at"]) == ("responded", "2026-03-02T10:00:00Z")
    assert responded["due_at"] == ticket["resolve_due_at"]
    resolved = (await take(tickets, ticket, "resolve")).json()
    assert (resolved["status"], resolved["due_at"]) == ("resolved", None)
    closed = await take(tickets, ticket, "close")
    assert (closed.json()["status"], closed.headers["ETag"]) == ("closed", '"4"')

    steps = (await tickets.get(f"/v1/tickets/{ticket['id']}/steps")).json()["items"]
    assert [(step["version"], step["step"]) for step in steps] == [
        (1, "open"),
        (2, "respond"),
        (3, "resolve"),
        (4, "close"),
    ]
    assert steps[1]["artefact"] == {"message": "We are sorry."}
    assert {step["actor"] for step in steps} == {"tester"}
    assert flow.replay(Step(step["step"]) for step in steps) == closed.json()["status"]
    told = await published(sessions)
    assert [(row.type, row.version) for row in told] == [
        ("tickets.ticket.opened.v1", 1),
        ("tickets.ticket.responded.v1", 2),
        ("tickets.ticket.resolved.v1", 3),
        ("tickets.ticket.closed.v1", 4),
    ]
    assert {row.key for row in told} == {ticket["customer_id"]}


@pytest.mark.parametrize(
    ("taken", "step", "code", "allowed"),
    [
        ([], "resolve", "ticket_not_responded", ["judge", "respond"]),
        ([], "close", "ticket_not_resolved", ["judge", "respond"]),
        (["judge"], "close", "ticket_not_resolved", ["respond"]),
        (["judge"], "judge", "complaint_already_judged", ["respond"]),
        (["respond"], "close", "ticket_not_resolved", ["judge", "respond", "resolve"]),
        (["respond", "resolve"], "respond", "ticket_already_resolved", ["judge", "close"]),
        (["respond", "resolve"], "resolve", "ticket_already_resolved", ["judge", "close"]),
        (["respond", "resolve", "close"], "judge", "ticket_closed", []),
        (["respond", "resolve", "close"], "respond", "ticket_closed", []),
        (["respond", "resolve", "close"], "close", "ticket_closed", []),
    ],
)
async def test_a_step_out_of_turn_is_a_conflict_that_says_what_is_possible(
    tickets: httpx2.AsyncClient, open_ticket: Open, taken: list[str], step: str, code: str, allowed: list[str]
) -> None:
    ticket = await open_ticket(uuid7())
    for before in taken:
        assert (await take(tickets, ticket, before)).status_code == 200

    refused = await take(tickets, ticket, step)
    assert (refused.status_code, refused.json()["code"]) == (409, code)
    assert refused.json()["allowed"] == allowed
    assert (await tickets.get(f"/v1/tickets/{ticket['id']}")).json()["version"] == len(taken) + 1


STEPS = [Step.JUDGE, Step.RESPOND, Step.RESOLVE, Step.CLOSE]


@given(st.lists(st.sampled_from(STEPS), max_size=8), st.booleans())
def test_whatever_is_tried_the_steps_that_were_taken_replay_to_the_status(
    tried: list[Step], complaint: bool
) -> None:
    status, verdict, taken = Status.OPEN, None, [Step.OPEN]
    for step in tried:
        try:
            status = flow.after(status, step, complaint=complaint, verdict=verdict)
        except Conflict:
            continue
        taken.append(step)
        verdict = Verdict.REJECTED if step is Step.JUDGE else verdict
    assert flow.replay(taken) is status
    assert taken.count(Step.JUDGE) <= complaint


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("status", list(Status))
@pytest.mark.parametrize(
    ("complaint", "verdict"), [(True, None), (True, Verdict.UPHELD), (False, None)], ids=str
)
def test_every_ticket_takes_a_step_or_names_those_it_takes(
    status: Status, step: Step, complaint: bool, verdict: Verdict | None
) -> None:
    judgeable = complaint and verdict is None
    following = dict(flow.NEXT[status])
    if not judgeable:
        following.pop(Step.JUDGE, None)
    if step in following:
        assert flow.after(status, step, complaint=complaint, verdict=verdict) is following[step]
    else:
        with pytest.raises(Conflict) as refused:
            flow.after(status, step, complaint=complaint, verdict=verdict)
        assert refused.value.extensions["allowed"] == list(following)


async def test_a_step_needs_its_artefact(tickets: httpx2.AsyncClient, open_ticket: Open) -> None:
    ticket = await open_ticket(uuid7())
    for body in ({}, {"message": "  "}):
        response = await tickets.post(f"/v1/tickets/{ticket['id']}/respond", json=body)
        assert (response.status_code, response.json()["errors"][0]["pointer"]) == (422, "/message")


async def test_a_step_on_what_somebody_else_has_changed_is_refused(
    tickets: httpx2.AsyncClient, open_ticket: Open
) -> None:
    ticket = await open_ticket(uuid7())
    seen = {"If-Match": '"1"'}
    assert (await take(tickets, ticket, "respond", **seen)).status_code == 200
    stale = await take(tickets, ticket, "respond", **seen)
    assert (stale.status_code, stale.json()["current_version"]) == (412, 2)


async def test_of_two_agents_who_answer_what_they_saw_at_once_one_wins(
    tickets: httpx2.AsyncClient, committed: dict[str, Sessions], open_ticket: Open
) -> None:
    ticket = await open_ticket(uuid7())
    replies = await asyncio.gather(
        *(take(tickets, ticket, "respond", **{"If-Match": '"1"'}) for _ in range(8))
    )
    assert sorted(reply.status_code for reply in replies) == [200] + [412] * 7


async def test_of_two_agents_who_resolve_at_once_one_wins(
    tickets: httpx2.AsyncClient, committed: dict[str, Sessions], open_ticket: Open
) -> None:
    ticket = await open_ticket(uuid7())
    await take(tickets, ticket, "respond")
    replies = await asyncio.gather(*(take(tickets, ticket, "resolve") for _ in range(8)))

    assert sorted(reply.status_code for reply in replies) == [200] + [409] * 7
    assert {r.json()["code"] for r in replies if r.status_code == 409} == {"ticket_already_resolved"}
    resolved = [row for row in await published(committed["tickets"]) if "resolved" in row.type]
    assert [row.version for row in resolved] == [3]


async def test_answers_without_if_match_all_arrive_and_versions_rise_one_by_one(
    tickets: httpx2.AsyncClient, committed: dict[str, Sessions], open_ticket: Open
) -> None:
    ticket = await open_ticket(uuid7())
    replies = await asyncio.gather(*(take(tickets, ticket, "respond") for _ in range(6)))
    assert sorted(reply.json()["version"] for reply in replies) == [2, 3, 4, 5, 6, 7]
    assert [row.version for row in await published(committed["tickets"])] == [1, 2, 3, 4, 5, 6, 7]


async def test_a_repeated_opening_with_one_key_is_one_ticket(
    tickets: httpx2.AsyncClient, sessions: Sessions
) -> None:
    body = {"customer_id": str(uuid7()), "kind": "praise", "title": "Thank you"}
    headers = {"Idempotency-Key": "one"}
    first, again = [await tickets.post("/v1/tickets", json=body, headers=headers) for _ in range(2)]
    assert first.json() == again.json()
    assert again.headers["Idempotency-Replayed"] == "true"
    assert len(await published(sessions)) == 1


async def test_steps_cannot_be_changed_by_the_role_that_serves(sessions: Sessions) -> None:
    for statement in ("UPDATE ticket_events SET actor = 'x'", "DELETE FROM ticket_events"):
        with pytest.raises(ProgrammingError, match="permission denied"):
            async with sessions.begin() as session:
                await session.execute(text(statement))


async def test_a_ticket_that_is_not_there_is_not_found(tickets: httpx2.AsyncClient) -> None:
    for call in (tickets.get(f"/v1/tickets/{uuid7()}"), tickets.post(f"/v1/tickets/{uuid7()}/close")):
        response = await call
        assert (response.status_code, response.json()["code"]) == (404, "ticket_not_found")


OTHERS: list[Callable[[Json], Json]] = [
    lambda body: body | {"kind": "wish"},
    lambda body: body | {"customer_id": "ann"},
    lambda body: body | {"title": ""},
    lambda body: body | {"title": "x" * 201},
    lambda body: body | {"status": "closed"},
    lambda body: {"kind": "praise"},
]


@pytest.mark.parametrize("change", OTHERS)
async def test_what_is_no_ticket_is_refused(
    tickets: httpx2.AsyncClient, change: Callable[[Json], Json]
) -> None:
    body = {"customer_id": str(uuid7()), "kind": "praise", "title": "Thank you"}
    response = await tickets.post("/v1/tickets", json=change(body))
    assert (response.status_code, response.json()["code"]) == (422, "invalid_request")
