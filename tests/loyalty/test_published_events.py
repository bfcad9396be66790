"""Points for what other services publish: once, however often it is told, and forgotten with the customer."""

import httpx2
from sqlalchemy import text
from tests.loyalty.accounts import balance
from tests.loyalty.conftest import MakeEvent, Put, Receive
from tests.loyalty.events import FIFTY, NOON, REVIEWS, report, review, talk, ticket

from crm_shared.contracts.permissions import Consent, ConsentState, PermissionState
from crm_shared.contracts.profiles import ConsentChanged, CustomerChanged
from crm_shared.database import Sessions
from crm_shared.ids import uuid7
from crm_shared.testing import arrived


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


async def test_published_types_say_what_rules_may_ask_of_them(loyalty: httpx2.AsyncClient) -> None:
    items = (await loyalty.get("/v1/earning-events/types")).json()["items"]
    known = {item["type"]: item["properties"] for item in items}
    assert known["tickets.ticket.resolved"] == ["kind", "severity", "channel"]
    assert all(item["description"] for item in items)
