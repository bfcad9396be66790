"""Care plans: who is reached, when by their own clock, once per cycle, and why not."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx2
import pytest
from fastapi import FastAPI

from crm_loyalty.carriers import sending
from crm_loyalty.handlers import due_work_of
from crm_shared import due
from crm_shared.contracts.base import Event
from crm_shared.contracts.permissions import Consent, ConsentState, PermissionState
from crm_shared.contracts.profiles import (
    ConsentChanged,
    ContactPointState,
    CustomerChanged,
    CustomerCreated,
    LunarDateState,
)
from crm_shared.contracts.tickets import TicketClosed, TicketOpened, TicketState
from crm_shared.database import Sessions
from crm_shared.ids import uuid7
from crm_shared.testing import FrozenClock, arrived, published

Receive = Callable[..., Awaitable[None]]
MakeEvent = Callable[..., Event]
Turn = Callable[[], Awaitable[None]]

BIRTHDAY: dict[str, Any] = {
    "names": {"en": "Birthday", "es": "Cumpleaños"},
    "trigger": {"kind": "birthday"},
    "action": {"message": {"template": "birthday", "channel": "email"}, "points": 1200},
}
TEMPLATE = {
    "default_language": "en",
    "texts": [
        {
            "language": "en",
            "channel": "email",
            "subject": "Happy birthday, {{ name }}!",
            "text": "{{ date }}: {{ points }} points",
        },
        {
            "language": "es",
            "channel": "email",
            "subject": "¡Felicidades, {{ name }}!",
            "text": "{{ date }}: {{ points }} puntos",
            "html": "<p>{{ name }}</p>",
        },
        {
            "language": "zh",
            "channel": "email",
            "subject": "{{ name }},生日快乐!",
            "text": "{{ date }}",
        },
    ],
}


def person(customer_id: UUID, **about: Any) -> Event:
    state = {
        "name": "Lucía",
        "language": "es-MX",
        "time_zone": "Asia/Shanghai",
        "birth_date": date(1990, 3, 3),
        "contact_points": [ContactPointState(kind="email", value="lucia@shop.example")],
    } | about
    return arrived(CustomerCreated(customer_id=customer_id, version=1, **state))


def complaint(kind: type[TicketState], customer_id: UUID, ticket_id: UUID, version: int) -> Event:
    return arrived(
        kind(
            customer_id=customer_id,
            version=version,
            ticket_id=ticket_id,
            number=1,
            kind="complaint",
            severity="critical",
            status="open" if kind is TicketOpened else "closed",
            title="It burnt",
            opened_at=datetime(2026, 3, 1, tzinfo=UTC),
        )
    )


@pytest.fixture
def turn(sessions: Sessions, clock: FrozenClock, apps: Callable[[str], FastAPI]) -> Turn:
    """What the worker does at this instant: all that is due, then all that is queued."""
    settings = apps("loyalty").state.settings
    work, send = due_work_of(settings), sending.sender(sending.carriers_of(settings))

    async def run() -> None:
        while await due.run(sessions, work, clock):
            pass
        while await send(sessions, clock):
            pass

    return run


@pytest.fixture
async def write(loyalty: httpx2.AsyncClient) -> Callable[..., Awaitable[None]]:
    """Writes the text and a plan."""

    async def put(key: str = "birthday", **terms: Any) -> None:
        for path, body in (("templates/birthday", TEMPLATE), (f"plans/{key}", BIRTHDAY | terms)):
            headers = {"If-None-Match": "*"}
            if etag := (await loyalty.get(f"/v1/care/{path}")).headers.get("ETag"):
                headers = {"If-Match": etag}
            answer = await loyalty.put(f"/v1/care/{path}", json=body, headers=headers)
            assert answer.status_code == 200, answer.text

    return put


async def mailbox(loyalty: httpx2.AsyncClient) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = (await loyalty.get("/v1/care/mailbox")).json()["items"]
    return items


async def occasions(loyalty: httpx2.AsyncClient, key: str = "birthday") -> list[tuple[str, str | None]]:
    items = (await loyalty.get(f"/v1/care/plans/{key}/occasions")).json()["items"]
    return [(each["state"], each["reason"]) for each in items]


async def test_a_birthday_greeting_comes_when_the_customers_own_day_has_its_window(
    loyalty: httpx2.AsyncClient,
    sessions: Sessions,
    clock: FrozenClock,
    receive: Receive,
    turn: Turn,
    write: Callable[..., Awaitable[None]],
) -> None:
    who = uuid7()
    await receive(person(who))
    clock.at = datetime(2026, 3, 2, 9, tzinfo=UTC)
    await write()
    await turn()
    assert await occasions(loyalty) == [], "3 March has not begun anywhere"
    clock.at = datetime(2026, 3, 3, 0, 59, 59, tzinfo=UTC)
    await turn()
    assert await occasions(loyalty) == [("planned", None)]
    assert await mailbox(loyalty) == []
    clock.advance(timedelta(seconds=1))
    await turn()
    [message] = await mailbox(loyalty)
    assert message["subject"] == "¡Felicidades, Lucía!"
    assert message["text"].startswith("3 de marzo de 2026: 1.200 puntos")
    assert message["unsubscribe_url"] in message["text"]
    assert message["address"] == "lucia@shop.example"
    assert (await loyalty.get(f"/v1/accounts/{who}")).json()["balance"] == 1200
    for _ in range(3):
        clock.advance(timedelta(hours=20))
        await turn()
    assert len(await mailbox(loyalty)) == 1
    report = (await loyalty.get("/v1/care/plans/birthday/report")).json()
    assert (report["done"]["value"], report["messages_sent"]["value"], report["points"]["value"]) == (
        1,
        1,
        1200,
    )
    told = [row for row in await published(sessions) if row.type == "loyalty.message.sent.v1"]
    assert [row.key for row in told] == [str(who)]


async def test_the_lunar_birthday_of_who_keeps_it_is_meant(
    loyalty: httpx2.AsyncClient,
    clock: FrozenClock,
    receive: Receive,
    turn: Turn,
    write: Callable[..., Awaitable[None]],
) -> None:
    born = {"birth_date": date(1990, 2, 10), "lunar_birth_date": LunarDateState(year=1990, month=1, day=15)}
    await receive(person(uuid7(), **born, language="zh"))
    await write()
    clock.at = datetime(2026, 3, 3, 1, tzinfo=UTC)  # the fifteenth of the first month
    await turn()
    [message] = await mailbox(loyalty)
    assert (message["subject"], message["text"].split("\n")[0]) == ("Lucía,生日快乐!", "2026年3月3日")


async def test_who_has_said_no_is_skipped_and_gets_no_gift_either(
    loyalty: httpx2.AsyncClient,
    clock: FrozenClock,
    receive: Receive,
    turn: Turn,
    write: Callable[..., Awaitable[None]],
) -> None:
    who = uuid7()
    no = Consent(
        purpose="greeting",
        channel="email",
        state=ConsentState.DENIED,
        basis="consent",
        since=datetime(2026, 1, 1, tzinfo=UTC),
    )
    said = ConsentChanged(customer_id=who, version=2, permission=PermissionState(consents=[no]))
    await receive(person(who), arrived(said))
    await write()
    clock.at = datetime(2026, 3, 3, 1, tzinfo=UTC)
    await turn()
    assert await occasions(loyalty) == [("skipped", "consent_denied")]
    assert (await loyalty.get(f"/v1/accounts/{who}")).json()["balance"] == 0


async def test_quiet_hours_put_a_greeting_off_to_the_first_allowed_instant(
    loyalty: httpx2.AsyncClient,
    clock: FrozenClock,
    receive: Receive,
    turn: Turn,
    write: Callable[..., Awaitable[None]],
) -> None:
    await receive(person(uuid7()))
    await write(window_start="00:00", window_end="24:00")
    clock.at = datetime(2026, 3, 2, 16, tzinfo=UTC)  # midnight in Shanghai
    await turn()
    assert await occasions(loyalty) == [("planned", "quiet_hours")]
    clock.at = datetime(2026, 3, 2, 23, 59, 59, tzinfo=UTC)
    await turn()
    assert await mailbox(loyalty) == []
    clock.advance(timedelta(seconds=1))
    await turn()
    assert len(await mailbox(loyalty)) == 1


@pytest.mark.parametrize(
    ("after", "outcome"), [("release", ("done", None)), ("drop", ("skipped", "severe_complaint"))]
)
async def test_an_open_severe_complaint_holds_a_greeting_back(
    loyalty: httpx2.AsyncClient,
    clock: FrozenClock,
    receive: Receive,
    turn: Turn,
    write: Callable[..., Awaitable[None]],
    after: str,
    outcome: tuple[str, str | None],
) -> None:
    who, ticket = uuid7(), uuid7()
    await receive(person(who), complaint(TicketOpened, who, ticket, 1))
    await write(after_complaint=after)
    clock.at = datetime(2026, 3, 3, 1, tzinfo=UTC)
    await turn()
    assert await occasions(loyalty) == [("held", "severe_complaint")]
    clock.advance(timedelta(hours=2))
    await turn()
    assert await occasions(loyalty) == [("held", "severe_complaint")]
    clock.advance(timedelta(minutes=1))
    await receive(complaint(TicketClosed, who, ticket, 2))
    await turn()
    assert await occasions(loyalty) == [outcome]


async def test_a_plan_that_comes_too_late_says_so(
    loyalty: httpx2.AsyncClient,
    clock: FrozenClock,
    receive: Receive,
    turn: Turn,
    write: Callable[..., Awaitable[None]],
) -> None:
    await receive(person(uuid7()))
    await write(patience_days=0)
    clock.at = datetime(2026, 3, 2, 17, tzinfo=UTC)
    await turn()
    clock.at = datetime(2026, 3, 3, 12, tzinfo=UTC)  # 20:00 there: the window has closed
    await turn()
    assert await occasions(loyalty) == [("skipped", "send_window")]


async def test_the_budget_ends_a_plan(
    loyalty: httpx2.AsyncClient,
    clock: FrozenClock,
    receive: Receive,
    turn: Turn,
    write: Callable[..., Awaitable[None]],
) -> None:
    await receive(*(person(uuid7()) for _ in range(5)))
    await write(budget=3)
    clock.at = datetime(2026, 3, 3, 1, tzinfo=UTC)
    await turn()
    found = sorted(await occasions(loyalty), key=str)
    assert found == [("done", None)] * 3 + [("skipped", "budget")] * 2


async def test_two_plans_on_one_day_share_the_customers_caps(
    loyalty: httpx2.AsyncClient,
    clock: FrozenClock,
    receive: Receive,
    turn: Turn,
    write: Callable[..., Awaitable[None]],
) -> None:
    await receive(person(uuid7()))
    for number in range(6):
        await write(f"birthday-{number}", patience_days=1)
    clock.at = datetime(2026, 3, 3, 1, tzinfo=UTC)
    for _ in range(7):
        await turn()
        clock.advance(timedelta(seconds=1))
    assert len(await mailbox(loyalty)) == 5, "five in a week, says the policy"


async def test_a_dry_run_says_who_when_and_why_not(
    loyalty: httpx2.AsyncClient,
    receive: Receive,
    write: Callable[..., Awaitable[None]],
) -> None:
    reached, silent = uuid7(), uuid7()
    await receive(person(reached), person(silent, contact_points=[]), person(uuid7(), birth_date=None))
    await write()
    answer = await loyalty.post("/v1/care/plans/birthday/dry-run?on=2026-03-03")
    found = {item["customer_id"]: item for item in answer.json()["items"]}
    assert found.keys() == {str(reached), str(silent)}
    assert (found[str(reached)]["outcome"], found[str(reached)]["at"]) == ("act", "2026-03-03T01:00:00Z")
    assert (found[str(silent)]["outcome"], found[str(silent)]["reason"]) == ("skip", "no_address")
    assert await occasions(loyalty) == []


async def test_the_audience_is_who_has_one_of_the_tags_and_the_language(
    loyalty: httpx2.AsyncClient,
    receive: Receive,
    write: Callable[..., Awaitable[None]],
) -> None:
    wanted = uuid7()
    await receive(
        person(wanted, tags=["jazz"]), person(uuid7()), person(uuid7(), tags=["jazz"], language="en")
    )
    await write(audience={"tags": ["jazz", "folk"], "languages": ["es"]})
    answer = await loyalty.post("/v1/care/plans/birthday/dry-run?on=2026-03-03")
    assert [item["customer_id"] for item in answer.json()["items"]] == [str(wanted)]


async def test_who_has_not_bought_for_long_is_written_to_unless_they_buy_again(
    loyalty: httpx2.AsyncClient,
    clock: FrozenClock,
    receive: Receive,
    purchased: MakeEvent,
    turn: Turn,
    write: Callable[..., Awaitable[None]],
) -> None:
    away, back = uuid7(), uuid7()
    early = datetime(2026, 2, 1, 12, tzinfo=UTC)
    await receive(person(away), person(back), purchased(away, 100, at=early), purchased(back, 100, at=early))
    await write("miss-you", trigger={"kind": "inactivity", "days": 30})
    clock.at = datetime(2026, 3, 2, 17, tzinfo=UTC)
    await turn()
    assert await occasions(loyalty, "miss-you") == [("planned", None)] * 2
    await receive(purchased(back, 100, at=datetime(2026, 3, 2, 20, tzinfo=UTC)))
    clock.at = datetime(2026, 3, 3, 1, tzinfo=UTC)
    await turn()
    assert sorted(await occasions(loyalty, "miss-you"), key=str) == [
        ("done", None),
        ("skipped", "bought_since"),
    ]


async def test_two_ids_of_one_person_are_greeted_once(
    loyalty: httpx2.AsyncClient,
    clock: FrozenClock,
    receive: Receive,
    merged: MakeEvent,
    turn: Turn,
    write: Callable[..., Awaitable[None]],
) -> None:
    absorbed, survivor = uuid7(), uuid7()
    await receive(person(absorbed), person(survivor))
    await write()
    clock.at = datetime(2026, 3, 2, 17, tzinfo=UTC)
    await turn()
    await receive(merged(absorbed, survivor, uuid7()))
    clock.at = datetime(2026, 3, 3, 1, tzinfo=UTC)
    await turn()
    clock.advance(timedelta(minutes=1))
    await turn()
    assert sorted(await occasions(loyalty), key=str) == [("done", None), ("skipped", "already")]


async def test_a_new_address_counts_for_what_has_not_happened_yet(
    loyalty: httpx2.AsyncClient,
    clock: FrozenClock,
    receive: Receive,
    turn: Turn,
    write: Callable[..., Awaitable[None]],
) -> None:
    who = uuid7()
    await receive(person(who))
    await write()
    clock.at = datetime(2026, 3, 2, 17, tzinfo=UTC)
    await turn()
    point = ContactPointState(kind="email", value="new@shop.example")
    changed = CustomerChanged(
        customer_id=who, version=2, name="Lucía", time_zone="Asia/Shanghai", contact_points=[point]
    )
    await receive(arrived(changed))
    clock.at = datetime(2026, 3, 3, 1, tzinfo=UTC)
    await turn()
    assert [each["address"] for each in await mailbox(loyalty)] == ["new@shop.example"]


async def test_nothing_of_an_erased_customer_is_left(
    loyalty: httpx2.AsyncClient,
    clock: FrozenClock,
    receive: Receive,
    erased: MakeEvent,
    turn: Turn,
    write: Callable[..., Awaitable[None]],
) -> None:
    who = uuid7()
    await receive(person(who))
    await write()
    clock.at = datetime(2026, 3, 3, 1, tzinfo=UTC)
    await turn()
    await receive(erased(who))
    assert await mailbox(loyalty) == []
    assert await occasions(loyalty) == []


async def test_two_workers_at_once_greet_everybody_once(
    committed: dict[str, Sessions],
    loyalty: httpx2.AsyncClient,
    clock: FrozenClock,
    receive: Receive,
    turn: Turn,
    write: Callable[..., Awaitable[None]],
) -> None:
    people = [uuid7() for _ in range(40)]
    await receive(*(person(who) for who in people))
    await write()
    clock.at = datetime(2026, 3, 3, 1, tzinfo=UTC)
    await asyncio.gather(turn(), turn(), turn())
    assert sorted(item["customer_id"] for item in await mailbox(loyalty)) == sorted(map(str, people))
    for who in people[:3]:
        assert (await loyalty.get(f"/v1/accounts/{who}")).json()["balance"] == 1200


async def test_a_plan_names_only_what_there_is(loyalty: httpx2.AsyncClient) -> None:
    new = {"If-None-Match": "*"}
    answer = await loyalty.put("/v1/care/plans/birthday", json=BIRTHDAY, headers=new)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == "/action/message/template"
    wrong = {"default_language": "en", "texts": [{"language": "en", "channel": "sms", "text": "{{ nmae }}"}]}
    answer = await loyalty.put("/v1/care/templates/birthday", json=wrong, headers=new)
    assert answer.status_code == 422
    assert "nmae" in answer.json()["errors"][0]["message"]


async def test_a_preview_is_in_the_language_asked_for_or_the_nearest(
    loyalty: httpx2.AsyncClient, write: Callable[..., Awaitable[None]]
) -> None:
    await write()
    asked = {"language": "es-MX", "channel": "email", "values": {"name": "<Ana>"}}
    answer = (await loyalty.post("/v1/care/templates/birthday/preview", json=asked)).json()
    assert (answer["language"], answer["subject"]) == ("es", "¡Felicidades, <Ana>!")
    assert answer["html"].startswith("<p>&lt;Ana&gt;</p>")
    answer = (
        await loyalty.post("/v1/care/templates/birthday/preview", json=asked | {"language": "fr"})
    ).json()
    assert answer["language"] == "en"
