"""Points for what is no purchase: reported or published, reckoned once, by the one evaluator."""

import asyncio
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import httpx2
import pytest
from sqlalchemy import text
from tests.loyalty.accounts import balance
from tests.loyalty.conftest import MakeEvent, Put, Receive
from tests.loyalty.events import FIFTY, NOON, REVIEWS, report, review

from crm_loyalty import reconcile
from crm_loyalty.handlers import due_work
from crm_shared import due
from crm_shared.callers import Role
from crm_shared.database import Sessions
from crm_shared.ids import uuid7
from crm_shared.testing import FrozenClock

MakeClient = Callable[..., httpx2.AsyncClient]


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
