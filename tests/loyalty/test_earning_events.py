"""Points for what is no purchase: reported or published, reckoned once, by the one evaluator."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx2
import pytest
from sqlalchemy import text

from crm_loyalty import reconcile
from crm_loyalty.handlers import due_work
from crm_shared import due
from crm_shared.callers import Role
from crm_shared.contracts.base import Event
from crm_shared.contracts.permissions import Consent, ConsentState, PermissionState
from crm_shared.contracts.profiles import ConsentChanged, CustomerChanged, InteractionRecorded
from crm_shared.contracts.tickets import TicketOpened, TicketResolved
from crm_shared.database import Sessions
from crm_shared.ids import uuid7
from crm_shared.testing import FrozenClock, arrived

Receive = Callable[..., Awaitable[None]]
MakeEvent = Callable[..., Event]
Put = Callable[..., Awaitable[None]]
MakeClient = Callable[..., httpx2.AsyncClient]

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
FIFTY: dict[str, Any] = {"kind": "fixed", "points": 50}
REVIEWS: dict[str, Any] = {"types": ["review_written"]}


def review(customer_id: UUID, **more: Any) -> dict[str, Any]:
    return {
        "type": "review_written",
        "customer_id": str(customer_id),
        "source": "web-shop",
        "external_id": str(uuid7()),
        "occurred_at": NOON.isoformat(),
        "properties": {"stars": 5, "with_photo": True},
    } | more


def talk(customer_id: UUID, score: int | None = None) -> Event:
    return arrived(
        InteractionRecorded(
            customer_id=customer_id,
            version=1,
            interaction_id=uuid7(),
            channel="call",
            direction="inbound",
            occurred_at=NOON,
            feedback_score=score,
        )
    )


async def report(loyalty: httpx2.AsyncClient, body: dict[str, Any], status: int = 201) -> Any:
    answer = await loyalty.post("/v1/earning-events", json=body)
    assert answer.status_code == status, answer.text
    return answer.json()


async def balance(loyalty: httpx2.AsyncClient, customer_id: UUID) -> int:
    found: int = (await loyalty.get(f"/v1/accounts/{customer_id}")).json()["balance"]
    return found


async def test_an_event_earns_what_its_rule_says_and_the_entry_says_why(
    loyalty: httpx2.AsyncClient, receive: Receive, put: Put, created: MakeEvent
) -> None:
    good = [{"name": "stars", "at_least": 4}, {"name": "with_photo", "one_of": [True]}]
    await put("review", event=REVIEWS | {"properties": good}, rate=FIFTY)
    ann = uuid7()
    await receive(created(ann))

    answer = await report(loyalty, review(ann))
    poor = await report(loyalty, review(ann, properties={"stars": 3, "with_photo": True}))

    [line] = answer["explanation"]
    assert (answer["points"], line["rule"], line["text"]) == (50, "review", "50 for the event review_written")
    assert (poor["points"], poor["explanation"]) == (0, [])
    assert answer["properties"]["with_photo"] is True
    [entry] = (await loyalty.get(f"/v1/accounts/{ann}/entries")).json()["items"]
    assert (entry["amount"], entry["explanation"], entry["effective_at"]) == (
        50,
        [line],
        NOON.isoformat().replace("+00:00", "Z"),
    )
    shown = (await loyalty.get(f"/v1/accounts/{ann}/earning-events")).json()["items"]
    assert shown == [poor, answer]
    assert (await loyalty.get(f"/v1/earning-events/{answer['id']}")).json() == answer


async def test_telling_of_an_event_again_gets_the_first_answer_whatever_became_of_the_rules(
    loyalty: httpx2.AsyncClient, receive: Receive, put: Put, created: MakeEvent
) -> None:
    await put("review", event=REVIEWS, rate=FIFTY)
    ann = uuid7()
    await receive(created(ann))
    body = review(ann)
    first = await report(loyalty, body)

    await put("review", event=REVIEWS, rate={"kind": "fixed", "points": 70})

    assert await report(loyalty, body, 200) == first
    assert await balance(loyalty, ann) == 50
    other = await report(loyalty, body | {"properties": {"stars": 1}}, 409)
    assert (other["code"], other["event_id"]) == ("event_differs", first["id"])


async def test_of_all_who_tell_of_one_event_at_once_one_earns(
    committed: dict[str, Sessions],
    forget_rules: None,
    loyalty: httpx2.AsyncClient,
    receive: Receive,
    put: Put,
    created: MakeEvent,
) -> None:
    await put("review", event=REVIEWS, rate=FIFTY, budget=120)
    people = [uuid7() for _ in range(4)]
    await receive(*map(created, people))
    bodies = [review(person) for person in people]

    async def insist(body: dict[str, Any]) -> httpx2.Response:
        # For as long as there is no room for the request, or no time.
        while True:
            answer = await loyalty.post("/v1/earning-events", json=body)
            if answer.status_code not in (503, 504):
                return answer
            await asyncio.sleep(0.05)

    answers = await asyncio.gather(*(insist(body) for body in bodies for _ in range(10)))

    statuses = Counter(answer.status_code for answer in answers)
    assert statuses[200] + statuses[201] == 40
    assert statuses[201] <= 4
    for n, body in enumerate(bodies):
        told = {answer.text for answer in answers[n * 10 : n * 10 + 10]}
        assert len(told) == 1, body
    async with committed["loyalty"]() as session:
        points = list(await session.scalars(text("SELECT points FROM earning_events ORDER BY points")))
        assert await reconcile.differences(await session.connection()) == []
    assert points == [0, 20, 50, 50]


async def test_a_cap_is_the_persons_even_after_a_merge(
    loyalty: httpx2.AsyncClient, receive: Receive, put: Put, created: MakeEvent, merged: MakeEvent
) -> None:
    await put("review", event=REVIEWS, rate=FIFTY, caps=[{"period": "month", "points": 120}])
    ann, anne = uuid7(), uuid7()
    await receive(created(ann), created(anne))
    points = [(await report(loyalty, review(who)))["points"] for who in (ann, anne)]

    await receive(merged(anne, ann, uuid7()))
    points += [(await report(loyalty, review(who)))["points"] for who in (anne, ann)]
    points.append((await report(loyalty, review(ann, occurred_at="2026-02-28T23:59:59Z")))["points"])

    assert points == [50, 50, 20, 0, 50]
    assert await balance(loyalty, ann) == 170


async def test_rules_of_events_and_of_purchases_leave_each_other_alone(
    loyalty: httpx2.AsyncClient, receive: Receive, put: Put, created: MakeEvent, purchased: MakeEvent
) -> None:
    await put("review", event=REVIEWS, rate=FIFTY, group="base")
    double = {"kind": "multiplier", "percent": 100, "of": "base"}
    await put("purchase-days", rate=double, group="days")
    await put("event-days", event=REVIEWS, rate=double, group="days")
    ann = uuid7()
    await receive(created(ann), purchased(ann, 1000))

    answer = await report(loyalty, review(ann))

    assert [line["rule"] for line in answer["explanation"]] == ["event-days", "review"]
    [_, purchase] = (await loyalty.get(f"/v1/accounts/{ann}/entries")).json()["items"]
    assert {line["rule"] for line in purchase["explanation"]} == {"base", "purchase-days"}


async def test_points_of_an_event_may_have_to_wait(
    loyalty: httpx2.AsyncClient,
    receive: Receive,
    put: Put,
    created: MakeEvent,
    sessions: Sessions,
    clock: FrozenClock,
) -> None:
    await put("review", event=REVIEWS, rate=FIFTY, pending_days=14)
    ann = uuid7()
    await receive(created(ann))

    answer = await report(loyalty, review(ann))

    available_at = NOON + timedelta(days=14)
    assert datetime.fromisoformat(answer["available_at"]) == available_at
    [waiting] = (await loyalty.get(f"/v1/accounts/{ann}/pending")).json()["items"]
    assert (waiting["event_id"], waiting["event_type"], waiting["purchase_id"], waiting["points"]) == (
        answer["id"],
        "review_written",
        None,
        50,
    )
    assert await balance(loyalty, ann) == 0
    clock.advance(available_at - clock.now())
    assert await due.run(sessions, due_work, clock) == 1
    [entry] = (await loyalty.get(f"/v1/accounts/{ann}/entries")).json()["items"]
    assert (entry["amount"], entry["explanation"]) == (50, answer["explanation"])


async def test_a_dry_run_says_what_an_event_would_earn_and_why_each_rule_does_not_apply(
    loyalty: httpx2.AsyncClient, receive: Receive, put: Put, created: MakeEvent
) -> None:
    await put("review", event=REVIEWS | {"properties": [{"name": "stars", "at_least": 4}]}, rate=FIFTY)
    await put("survey", event={"types": ["survey_answered"]}, rate=FIFTY)
    ann = uuid7()
    await receive(created(ann))
    asked = {"customer_id": str(ann), "event": {"type": "review_written", "properties": {"stars": 5}}}

    tried = (await loyalty.post("/v1/earning-rules/evaluate", json=asked)).json()
    poor = asked | {"event": {"type": "review_written", "properties": {"stars": 3}}}
    refused = (await loyalty.post("/v1/earning-rules/evaluate", json=poor)).json()

    assert (tried["points"], refused["points"]) == (50, 0)
    assert {rule["rule"]: rule["why_not"] for rule in refused["rules"]} == {
        "base": ["it is about purchases"],
        "review": ["stars 3 is less than 4"],
        "survey": ["review_written is not survey_answered"],
    }
    assert (await loyalty.get(f"/v1/accounts/{ann}/earning-events")).json()["items"] == []
    for body in ({}, asked | {"currency": "USD"}, {"currency": "USD"}):
        assert (await loyalty.post("/v1/earning-rules/evaluate", json=body)).status_code == 422


@pytest.mark.parametrize(
    ("terms", "pointer", "code"),
    [
        ({"currency": "USD"}, "/currency", "not_of_events"),
        ({"rate": {"kind": "per_item", "points": 1}}, "/rate", "not_of_events"),
        ({"when": {"categories": ["jazz"]}}, "/when", "not_of_events"),
        ({"when": {"purchase_numbers": [1]}}, "/when", "not_of_events"),
        ({"caps": [{"period": "purchase", "points": 1}]}, "/caps", "not_of_events"),
        ({"event": {"types": ["a", "tickets.ticket.lost"]}}, "/event/types/1", "event_type_unknown"),
        ({"event": {"types": []}}, "/event/types", "too_short"),
    ],
)
async def test_a_rule_of_events_asks_nothing_that_only_purchases_have(
    loyalty: httpx2.AsyncClient, terms: dict[str, Any], pointer: str, code: str
) -> None:
    body = {"description": "x", "event": REVIEWS, "rate": FIFTY} | terms

    answer = await loyalty.put("/v1/earning-rules/x", json=body, headers={"If-None-Match": "*"})

    assert answer.status_code == 422
    [fault] = answer.json()["errors"]
    assert (fault["pointer"], fault["code"]) == (pointer, code)


async def test_a_rule_of_events_is_explained_in_words(loyalty: httpx2.AsyncClient, put: Put) -> None:
    await put(
        "review",
        event=REVIEWS | {"properties": [{"name": "stars", "at_least": 4}, {"name": "product"}]},
        rate=FIFTY,
        when={"segments": {"any_of": ["readers"], "none_of": ["employees"]}},
        pending_days=3,
    )

    assert (await loyalty.get("/v1/earning-rules/review")).json()["explanation"] == (
        "50 points for each event review_written; with stars of at least 4; with product."
        " For events for customers in segment readers; not for customers in segment employees."
        " The points can be spent 3 days after the event."
    )


def ticket(customer_id: UUID, kind: str, *, resolved: bool = False, ticket_id: UUID | None = None) -> Event:
    made = TicketResolved if resolved else TicketOpened
    return arrived(
        made(
            customer_id=customer_id,
            version=2 if resolved else 1,
            ticket_id=ticket_id or uuid7(),
            number=1,
            kind=kind,
            severity="normal",
            status="resolved" if resolved else "open",
            title="An idea",
            opened_at=NOON,
        )
    )


async def test_published_events_earn_once_however_often_they_are_told(
    loyalty: httpx2.AsyncClient, receive: Receive, put: Put, created: MakeEvent
) -> None:
    idea = {"types": ["tickets.ticket.opened"], "properties": [{"name": "kind", "one_of": ["suggestion"]}]}
    await put("idea", event=idea, rate=FIFTY)
    await put("end", event={"types": ["tickets.ticket.resolved"]}, rate={"kind": "fixed", "points": 7})
    ann, number = uuid7(), uuid7()

    await receive(created(ann), ticket(ann, "suggestion"), ticket(ann, "enquiry"))
    twice = [ticket(ann, kind, resolved=True, ticket_id=number) for kind in ("enquiry", "complaint")]
    await receive(*twice)
    await receive(ticket(ann, "enquiry", resolved=True, ticket_id=number))

    assert await balance(loyalty, ann) == 57
    shown = (await loyalty.get(f"/v1/accounts/{ann}/earning-events")).json()["items"]
    assert sorted((event["type"], event["points"]) for event in shown) == [
        ("tickets.ticket.opened", 0),
        ("tickets.ticket.opened", 50),
        ("tickets.ticket.resolved", 7),
    ]
    [end] = [event for event in shown if event["type"] == "tickets.ticket.resolved"]
    assert end["properties"] == {"kind": "enquiry", "severity": "normal"}, "as it was told first"


async def test_published_events_that_no_rule_names_leave_no_trace(
    loyalty: httpx2.AsyncClient, receive: Receive, created: MakeEvent
) -> None:
    ann = uuid7()
    await receive(created(ann), ticket(ann, "suggestion"))
    assert (await loyalty.get(f"/v1/accounts/{ann}/earning-events")).json()["items"] == []


async def test_what_customers_tell_of_themselves_and_allow_may_earn_points_once(
    loyalty: httpx2.AsyncClient, receive: Receive, put: Put, created: MakeEvent
) -> None:
    once = [{"period": "total", "points": 50}]
    whole = {
        "types": ["profiles.customer.created", "profiles.customer.changed"],
        "properties": [{"name": "birth_date"}, {"name": "region"}],
    }
    yes = [{"name": "newsletter.email", "one_of": ["granted"]}]
    await put("whole", event=whole, rate=FIFTY, caps=once)
    await put(
        "yes",
        event={"types": ["profiles.consent.changed"], "properties": yes},
        rate={"kind": "fixed", "points": 5},
    )
    ann = uuid7()
    known = {"name": "Ann", "birth_date": NOON.date()}
    said = Consent(
        purpose="newsletter", channel="email", state=ConsentState.GRANTED, basis="consent", since=NOON
    )

    await receive(created(ann))
    await receive(arrived(CustomerChanged(customer_id=ann, version=2, **known)))
    assert await balance(loyalty, ann) == 0
    await receive(arrived(CustomerChanged(customer_id=ann, version=3, region="CN-31", **known)))
    await receive(arrived(CustomerChanged(customer_id=ann, version=4, region="CN-11", **known)))
    assert await balance(loyalty, ann) == 50
    permission = PermissionState(consents=[said])
    await receive(arrived(ConsentChanged(customer_id=ann, version=1, permission=permission)))
    assert await balance(loyalty, ann) == 55


async def test_events_that_come_together_count_for_the_same_cap(
    loyalty: httpx2.AsyncClient, receive: Receive, put: Put, created: MakeEvent
) -> None:
    await put(
        "talk",
        event={
            "types": ["profiles.interaction.recorded"],
            "properties": [{"name": "feedback_score", "at_least": 9}],
        },
        rate=FIFTY,
        caps=[{"period": "day", "points": 120}],
    )
    ann = uuid7()

    await receive(created(ann), *(talk(ann, score) for score in (9, 10, None, 8, 9, 9)))

    assert await balance(loyalty, ann) == 120


async def test_erasure_clears_what_was_told_along_and_keeps_that_points_were_given(
    loyalty: httpx2.AsyncClient,
    sessions: Sessions,
    receive: Receive,
    put: Put,
    created: MakeEvent,
    erased: MakeEvent,
) -> None:
    await put("review", event=REVIEWS, rate=FIFTY)
    ann = uuid7()
    await receive(created(ann))
    body = review(ann, properties={"words": "I, Ann, like it"})
    await report(loyalty, body)

    await receive(erased(ann))

    async with sessions() as session:
        kept = await session.execute(text("SELECT external_id, properties, points FROM earning_events"))
        assert kept.all() == [(None, None, 50)]
    assert (await report(loyalty, body, 410))["code"] == "customer_was_erased"


async def test_who_was_erased_earns_nothing_by_events_that_come_again(
    loyalty: httpx2.AsyncClient,
    sessions: Sessions,
    receive: Receive,
    put: Put,
    created: MakeEvent,
    erased: MakeEvent,
) -> None:
    await put("talk", event={"types": ["profiles.interaction.recorded"]}, rate=FIFTY)
    ann = uuid7()
    await receive(created(ann), told := talk(ann))
    await receive(erased(ann))

    await receive(arrived(told), talk(ann))

    async with sessions() as session:
        kept = await session.execute(text("SELECT external_id, points FROM earning_events"))
        assert kept.all() == [(None, 50)]


async def test_only_who_may_give_points_reports_events(
    client: MakeClient, receive: Receive, created: MakeEvent
) -> None:
    ann = uuid7()
    await receive(created(ann))
    statuses = {
        role: (await client("loyalty", role).post("/v1/earning-events", json=review(ann))).status_code
        for role in (Role.AGENT, Role.PARTNER, Role.MANAGER)
    }
    assert statuses == {Role.AGENT: 403, Role.PARTNER: 201, Role.MANAGER: 201}


async def test_an_event_of_nobody_or_of_the_future_is_refused(
    loyalty: httpx2.AsyncClient, receive: Receive, created: MakeEvent, clock: FrozenClock
) -> None:
    ann = uuid7()
    await receive(created(ann))
    tomorrow = (clock.now() + timedelta(days=1)).isoformat()

    assert (await report(loyalty, review(uuid7()), 404))["code"] == "account_not_found"
    premature = await report(loyalty, review(ann, occurred_at=tomorrow), 422)
    assert (premature["code"], premature["errors"][0]["pointer"]) == ("event_not_yet", "/occurred_at")


async def test_published_types_say_what_rules_may_ask_of_them(loyalty: httpx2.AsyncClient) -> None:
    items = (await loyalty.get("/v1/earning-events/types")).json()["items"]
    known = {item["type"]: item["properties"] for item in items}
    assert known["tickets.ticket.resolved"] == ["kind", "severity", "channel"]
    assert all(item["description"] for item in items)
