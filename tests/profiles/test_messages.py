"""The message log: complete in whatever order it is heard of, with what came of each message."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from itertools import permutations
from random import Random
from typing import Any
from uuid import UUID

import httpx2
import pytest

from crm_profiles.handlers import subscriptions
from crm_shared.contracts import loyalty
from crm_shared.contracts.messages import MessageState
from crm_shared.contracts.profiles import MessageLogged
from crm_shared.database import Sessions
from crm_shared.ids import uuid7
from crm_shared.testing import FrozenClock, arrived, handle, published

Make = Callable[..., Awaitable[str]]
DAY = timedelta(days=1)
SENT_AT = datetime.fromisoformat("2026-02-20T12:00:00Z")


@pytest.fixture
def make(profiles: httpx2.AsyncClient) -> Make:
    async def customer(**fields: Any) -> str:
        answer = await profiles.post("/v1/customers", json={"name": "Ada", **fields})
        assert answer.status_code == 201, answer.text
        identity: str = answer.json()["id"]
        return identity

    return customer


def told(kind: type[MessageState], customer: str, message: UUID, **fields: Any) -> MessageState:
    facts = {"purpose": "greeting", "channel": "email", "sent_at": SENT_AT} | fields
    return arrived(kind(customer_id=UUID(customer), version=1, message_id=message, **facts))


async def hear(sessions: Sessions, *events: MessageState, at: datetime) -> None:
    async with sessions.begin() as session:
        await handle(session, subscriptions, list(events), at=at)


async def buy(profiles: httpx2.AsyncClient, customer: str, at: datetime) -> str:
    answer = await profiles.post(
        "/v1/purchases",
        json={
            "source": "shop",
            "external_id": str(uuid7()),
            "customer_id": customer,
            "occurred_at": at.isoformat(),
            "currency": "USD",
            "lines": [{"quantity": 1, "total": {"amount": 100, "currency": "USD"}}],
        },
    )
    assert answer.status_code == 201, answer.text
    identity: str = answer.json()["id"]
    return identity


@pytest.mark.parametrize("order", list(permutations(range(3))))
async def test_effects_complete_a_message_in_whatever_order_they_are_heard_of(
    profiles: httpx2.AsyncClient,
    databases: dict[str, Sessions],
    make: Make,
    clock: FrozenClock,
    order: tuple[int, ...],
) -> None:
    ada, message = await make(), uuid7()
    events = [
        told(loyalty.MessageSent, ada, message, template="spring", template_version=2, language="zh"),
        told(loyalty.MessageDelivered, ada, message, delivered_at=SENT_AT + DAY),
        told(loyalty.MessageAnswered, ada, message, answered_at=SENT_AT + 2 * DAY),
    ]
    for index in order:
        await hear(databases["profiles"], events[index], at=clock.now())
    read = (await profiles.get(f"/v1/messages/{message}")).json()
    assert (read["template"], read["template_version"], read["language"]) == ("spring", 2, "zh")
    assert read["delivered_at"] == "2026-02-21T12:00:00Z"
    assert read["answered_at"] == "2026-02-22T12:00:00Z"
    assert (await profiles.get(f"/v1/customers/{ada}/messages")).json()["items"] == [read]
    entries = (await profiles.get(f"/v1/customers/{ada}/timeline")).json()["items"]
    assert Counter(entry["type"] for entry in entries) == {"message.sent": 1, "message.answered": 1}


async def test_what_counts_for_caps_is_told_to_whoever_sends_and_so_is_what_failed(
    databases: dict[str, Sessions], make: Make, clock: FrozenClock
) -> None:
    ada, greeting, receipt = await make(), uuid7(), uuid7()
    await hear(
        databases["profiles"],
        told(loyalty.MessageSent, ada, greeting),
        told(loyalty.MessageSent, ada, receipt, purpose="service"),
        told(loyalty.MessageDelivered, ada, receipt, purpose="service", delivered_at=SENT_AT),
        at=clock.now(),
    )
    failed = told(loyalty.MessageFailed, ada, greeting, failed_at=SENT_AT + DAY, failure="bounced")
    await hear(databases["profiles"], failed, at=clock.now())
    events = [
        MessageLogged.model_validate_json(row.data)
        for row in await published(databases["profiles"])
        if row.type == MessageLogged.type
    ]
    assert [(event.message_id, event.version, event.failed) for event in events] == [
        (greeting, 1, False),
        (greeting, 2, True),
    ]


async def test_a_partner_logs_a_message_once_and_completes_it(
    profiles: httpx2.AsyncClient, make: Make
) -> None:
    body = {
        "source": "mailer",
        "external_id": "m-1",
        "customer_id": await make(),
        "purpose": "greeting",
        "channel": "letter",
        "sent_at": "2026-02-20T12:00:00Z",
    }
    first = await profiles.post("/v1/messages", json=body)
    again = await profiles.post("/v1/messages", json=body)
    assert (first.status_code, again.status_code) == (201, 200), first.text
    assert again.json() == first.json()
    delivered = await profiles.post("/v1/messages", json=body | {"delivered_at": "2026-02-23T12:00:00Z"})
    assert delivered.json() == first.json() | {"delivered_at": "2026-02-23T12:00:00Z", "version": 2}
    other = await profiles.post("/v1/messages", json=body | {"channel": "email"})
    assert (other.status_code, other.json()["code"]) == (409, "message_differs")
    nobodys = await profiles.post("/v1/messages", json=body | {"customer_id": str(uuid7())})
    assert (nobodys.status_code, nobodys.json()["code"]) == (404, "customer_not_found")


async def test_what_went_out_against_consent_is_logged_and_flagged(
    profiles: httpx2.AsyncClient, databases: dict[str, Sessions], make: Make, clock: FrozenClock
) -> None:
    ada = await make()
    path = f"/v1/customers/{ada}/consents/marketing/email"
    for state, said_at in (("granted", "2026-02-10T00:00:00Z"), ("denied", "2026-02-15T00:00:00Z")):
        assert (await profiles.put(path, json={"state": state, "at": said_at})).status_code == 200
    flags = {}
    for day, purpose in ((5, "marketing"), (12, "marketing"), (20, "marketing"), (20, "service")):
        message = uuid7()
        at = datetime.fromisoformat(f"2026-02-{day:02}T12:00:00Z")
        sent = told(loyalty.MessageSent, ada, message, purpose=purpose, sent_at=at)
        await hear(databases["profiles"], sent, at=clock.now())
        flags[day, purpose] = (await profiles.get(f"/v1/messages/{message}")).json()["against_consent"]
    assert flags == {
        (5, "marketing"): True,
        (12, "marketing"): False,
        (20, "marketing"): True,
        (20, "service"): False,
    }


@pytest.mark.parametrize("first", ["message", "purchase"])
async def test_a_purchase_is_credited_to_the_last_message_before_it(
    profiles: httpx2.AsyncClient, databases: dict[str, Sessions], make: Make, clock: FrozenClock, first: str
) -> None:
    clock.advance(20 * DAY)
    ada = await make()
    old, last, later, receipt = (uuid7() for _ in range(4))

    async def write() -> None:
        events = [
            told(loyalty.MessageSent, ada, old, sent_at=SENT_AT - DAY),
            told(loyalty.MessageSent, ada, last),
            told(loyalty.MessageSent, ada, later, sent_at=SENT_AT + 3 * DAY),
            told(loyalty.MessageSent, ada, receipt, purpose="service", sent_at=SENT_AT + DAY),
        ]
        for event in events:
            await hear(databases["profiles"], event, at=clock.now())

    async def credited(message: UUID) -> list[str]:
        found: list[str] = (await profiles.get(f"/v1/messages/{message}")).json()["purchase_ids"]
        return found

    if first == "message":
        await write()
    purchase = await buy(profiles, ada, SENT_AT + 2 * DAY)
    await buy(profiles, ada, SENT_AT - 2 * DAY)
    await buy(profiles, ada, SENT_AT + 10 * DAY)
    if first == "purchase":
        await write()
    assert [await credited(each) for each in (old, last, later, receipt)] == [[], [purchase], [], []]
    failed = told(loyalty.MessageFailed, ada, last, failed_at=SENT_AT)
    await hear(databases["profiles"], failed, at=clock.now())
    assert [await credited(each) for each in (old, last)] == [[purchase], []]


async def test_a_message_and_a_purchase_at_once_find_each_other(
    profiles: httpx2.AsyncClient, committed: dict[str, Sessions], make: Make, clock: FrozenClock
) -> None:
    for _ in range(5):
        ada, message = await make(), uuid7()
        sent = told(loyalty.MessageSent, ada, message)
        purchase, _ = await asyncio.gather(
            buy(profiles, ada, SENT_AT + DAY), hear(committed["profiles"], sent, at=clock.now())
        )
        assert (await profiles.get(f"/v1/messages/{message}")).json()["purchase_ids"] == [purchase]


async def test_the_report_is_what_counting_the_messages_one_by_one_gives(
    profiles: httpx2.AsyncClient, databases: dict[str, Sessions], make: Make, clock: FrozenClock
) -> None:
    random = Random(20)
    clock.advance(20 * DAY)
    customers = [await make() for _ in range(4)]
    for _ in range(30):
        sent_at = SENT_AT + timedelta(hours=random.randrange(200))
        known = {
            "purpose": random.choice(["marketing", "greeting", "service"]),
            "channel": random.choice(["email", "sms"]),
            "sent_at": sent_at,
            "delivered_at": random.choice([None, sent_at + DAY]),
            "failed_at": random.choice([None, None, sent_at]),
            "answered_at": random.choice([None, sent_at + DAY]),
        }
        sent = told(loyalty.MessageSent, random.choice(customers), uuid7(), **known)
        await hear(databases["profiles"], sent, at=clock.now())
        await buy(profiles, random.choice(customers), SENT_AT + timedelta(hours=random.randrange(400)))

    since, until = SENT_AT + DAY, SENT_AT + 6 * DAY
    messages = [
        item
        for customer in customers
        for item in (await profiles.get(f"/v1/customers/{customer}/messages?limit=200")).json()["items"]
        if since <= datetime.fromisoformat(item["sent_at"]) < until
    ]
    period = {"from": since.isoformat(), "to": until.isoformat()}
    report = (await profiles.get("/v1/reports/messages", params=period)).json()

    assert len(messages) > 10
    assert {(line["purpose"], line["channel"]) for line in report["items"]} == {
        (item["purpose"], item["channel"]) for item in messages
    }
    for line in report["items"]:
        mine = [m for m in messages if (m["purpose"], m["channel"]) == (line["purpose"], line["channel"])]
        assert line["sent"] == len(mine)
        for name in ("delivered", "failed", "answered"):
            counted = sum(item[f"{name}_at"] is not None for item in mine)
            assert line[name] == {"numerator": counted, "denominator": len(mine)}
        credited = [item for item in mine if item["attribution_days"] is not None]
        converted = sum(item["converted_at"] is not None for item in credited)
        assert line["converted"] == {"numerator": converted, "denominator": len(credited)}
        assert line["against_consent"]["numerator"] == sum(item["against_consent"] for item in mine)
    assert report["definitions"].keys() == report["items"][0].keys() - {"purpose", "channel"}
    assert any(line["converted"]["numerator"] for line in report["items"])


async def test_a_period_that_ends_before_it_begins_is_refused(profiles: httpx2.AsyncClient) -> None:
    backwards = {"from": "2026-02-02T00:00:00Z", "to": "2026-02-01T00:00:00Z"}
    answer = await profiles.get("/v1/reports/messages", params=backwards)
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "from")
