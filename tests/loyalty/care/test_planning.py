"""Whom plans reach, on which day by their own clock, and once per cycle."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from tests.loyalty.care.conftest import Care, changed, person
from tests.loyalty.conftest import MakeEvent

from crm_loyalty.care import planning
from crm_shared import due
from crm_shared.contracts.profiles import ContactPointState, LunarDateState
from crm_shared.ids import uuid7
from crm_shared.testing import published


async def test_a_birthday_greeting_comes_when_the_customers_own_day_has_its_window(care: Care) -> None:
    who = uuid7()
    await care.receive(person(who))
    care.clock.at = datetime(2026, 3, 2, 9, tzinfo=UTC)
    await care.write()
    await care.turn()
    assert await care.occasions() == [], "3 March has not begun anywhere"
    await care.at("2026-03-03T00:59:59Z")
    assert await care.occasions() == [("planned", None)]
    assert await care.mailbox() == []
    care.clock.advance(timedelta(seconds=1))
    await care.turn()
    [message] = await care.mailbox()
    assert message["subject"] == "¡Felicidades, Lucía!"
    assert message["text"].startswith("3 de marzo de 2026: 1.200 puntos")
    assert message["unsubscribe_url"] in message["text"]
    assert message["address"] == "lucia@shop.example"
    assert await care.balance(who) == 1200
    for _ in range(3):
        care.clock.advance(timedelta(hours=20))
        await care.turn()
    assert len(await care.mailbox()) == 1
    report = (await care.loyalty.get("/v1/care/plans/birthday/report")).json()
    assert (report["done"]["value"], report["messages_sent"]["value"], report["points"]["value"]) == (
        1,
        1,
        1200,
    )
    told = [row for row in await published(care.sessions) if row.type == "loyalty.message.sent.v1"]
    assert [row.key for row in told] == [str(who)]


async def test_the_lunar_birthday_of_who_keeps_it_is_meant(care: Care) -> None:
    born = {"birth_date": date(1990, 2, 10), "lunar_birth_date": LunarDateState(year=1990, month=1, day=15)}
    await care.receive(person(uuid7(), **born, language="zh"))
    await care.write()
    await care.at("2026-03-03T01:00:00Z")  # the fifteenth of the first month
    [message] = await care.mailbox()
    assert (message["subject"], message["text"].split("\n")[0]) == ("Lucía,生日快乐!", "2026年3月3日")


async def test_the_audience_is_who_has_one_of_the_tags_and_the_language(care: Care) -> None:
    wanted = uuid7()
    await care.receive(
        person(wanted, tags=["jazz"]), person(uuid7()), person(uuid7(), tags=["jazz"], language="en")
    )
    await care.write(audience={"tags": ["jazz", "folk"], "languages": ["es"]})
    assert (await care.dry_run("2026-03-03")).keys() == {str(wanted)}


async def test_two_ids_of_one_person_are_greeted_once(care: Care, merged: MakeEvent) -> None:
    absorbed, survivor = uuid7(), uuid7()
    await care.receive(person(absorbed), person(survivor))
    await care.write()
    await care.at("2026-03-02T17:00:00Z")
    await care.receive(merged(absorbed, survivor, uuid7()))
    await care.at("2026-03-03T01:00:00Z")
    care.clock.advance(timedelta(minutes=1))
    await care.turn()
    assert await care.occasions() == [("done", None), ("skipped", "already")]


async def test_a_new_address_counts_for_what_has_not_happened_yet(care: Care) -> None:
    who = uuid7()
    await care.receive(person(who))
    await care.write()
    await care.at("2026-03-02T17:00:00Z")
    point = ContactPointState(kind="email", value="new@shop.example")
    await care.receive(changed(who, contact_points=[point]))
    await care.at("2026-03-03T01:00:00Z")
    assert [each["address"] for each in await care.mailbox()] == ["new@shop.example"]


async def test_nothing_of_an_erased_customer_is_left(care: Care, erased: MakeEvent) -> None:
    who = uuid7()
    await care.receive(person(who))
    await care.write()
    await care.at("2026-03-03T01:00:00Z")
    await care.receive(erased(who))
    assert await care.mailbox() == []
    assert await care.occasions() == []


async def test_a_day_of_many_is_written_down_in_several_transactions(
    care: Care, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planning, "_PAGE", 3)
    people = [uuid7() for _ in range(10)]
    await care.receive(*(person(who) for who in people))
    await care.write("opening", trigger={"kind": "date", "on": "2026-03-03"}, action={"points": 5})
    care.clock.at = datetime(2026, 3, 2, 17, tzinfo=UTC)
    planned: list[int] = []
    while len(planned) < 20 and await due.run(care.sessions, care.work, care.clock):
        planned.append(len(await care.occasions("opening")))
        care.clock.advance(timedelta(milliseconds=1))
    assert planned == [3, 6, 9, 10]
    late = uuid7()
    await care.receive(person(late))
    care.clock.advance(planning.EVERY_FOR_ALL)
    await care.turn()
    assert len(await care.occasions("opening")) == 11


async def test_a_plan_that_is_written_anew_begins_the_day_anew(
    care: Care, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planning, "_PAGE", 3)
    await care.receive(*(person(uuid7(), tags=["jazz"] if n < 2 else []) for n in range(8)))
    terms: dict[str, Any] = {"trigger": {"kind": "date", "on": "2026-03-03"}, "action": {"points": 5}}
    await care.write("opening", **terms, audience={"languages": ["en"]})
    await care.at("2026-03-02T17:00:00Z")
    await care.write("opening", **terms)
    await due.run(care.sessions, care.work, care.clock)
    assert len(await care.occasions("opening")) == 3
    await care.write("opening", **terms, audience={"tags": ["jazz"]})
    care.clock.advance(timedelta(seconds=1))
    await care.at("2026-03-03T01:00:00Z")
    assert await care.occasions("opening") == [("done", None)] * 2
