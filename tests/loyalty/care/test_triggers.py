"""What plans wait for: silence, tiers, anniversaries, holidays and dates, from the day to the message."""

from datetime import UTC, datetime

import pytest
from tests.loyalty.care.conftest import Care, person
from tests.loyalty.conftest import MakeEvent

from crm_shared.ids import uuid7


async def test_who_has_not_bought_for_long_is_written_to_unless_they_buy_again(
    care: Care, purchased: MakeEvent
) -> None:
    away, back = uuid7(), uuid7()
    early = datetime(2026, 2, 1, 12, tzinfo=UTC)
    await care.receive(
        person(away), person(back), purchased(away, 100, at=early), purchased(back, 100, at=early)
    )
    await care.write("miss-you", trigger={"kind": "inactivity", "days": 30})
    await care.at("2026-03-02T17:00:00Z")
    assert await care.occasions("miss-you") == [("planned", None)] * 2
    await care.receive(purchased(back, 100, at=datetime(2026, 3, 2, 20, tzinfo=UTC)))
    await care.at("2026-03-03T01:00:00Z")
    assert await care.occasions("miss-you") == [
        ("done", None),
        ("skipped", "bought_since"),
    ]


async def test_silence_is_counted_in_days_of_the_customers_own_calendar(
    care: Care, purchased: MakeEvent
) -> None:
    who = uuid7()
    evening = datetime(2026, 1, 31, 16, 30, tzinfo=UTC)  # after midnight in Shanghai
    await care.receive(person(who), purchased(who, 100, at=evening))
    await care.write("miss-you", trigger={"kind": "inactivity", "days": 30})
    assert (await care.dry_run("2026-03-02", "miss-you")).keys() == set()
    assert (await care.dry_run("2026-03-03", "miss-you")).keys() == {str(who)}


@pytest.mark.parametrize(
    ("created_at", "day"),
    [
        ("2025-03-02T15:59:59Z", "2026-03-02"),
        ("2025-03-02T16:00:00Z", "2026-03-03"),  # by then it was the third in Shanghai
        ("2024-02-29T04:00:00Z", "2026-02-28"),
    ],
)
async def test_an_anniversary_is_that_of_the_day_on_which_they_came_by_their_own_clock(
    care: Care, created_at: str, day: str
) -> None:
    care.clock.at = datetime(2026, 2, 1, tzinfo=UTC)
    await care.receive(person(uuid7(), created_at=datetime.fromisoformat(created_at)))
    await care.receive(person(uuid7(), created_at=datetime.fromisoformat(f"{day}T00:00:00Z")))
    await care.write("with-us", trigger={"kind": "anniversary"})
    await care.at(f"{day}T00:59:59Z")
    assert await care.mailbox() == []
    await care.at(f"{day}T01:00:00Z")
    assert len(await care.mailbox()) == 1, "who came today has no anniversary yet"


async def test_a_holiday_is_greeted_where_it_is_kept(care: Care) -> None:
    here, there = uuid7(), uuid7()
    await care.receive(person(here, region="CN"), person(there, region="ES", time_zone="Europe/Madrid"))
    festival = {"kind": "holiday", "calendar": "CN", "holiday": "mid-autumn-festival"}
    await care.write("moon", trigger=festival, audience={"regions": ["CN"]})
    epiphany = {"kind": "holiday", "calendar": "ES", "holiday": "epiphany", "days": -1}
    await care.write("kings", trigger=epiphany, audience={"regions": ["ES"]})
    for day in ("2026-09-24", "2026-09-25", "2026-09-26"):
        await care.at(f"{day}T01:00:00Z")
    assert [each["customer_id"] for each in await care.mailbox()] == [str(here)]
    await care.at("2027-01-05T07:59:59Z")
    assert len(await care.mailbox()) == 1
    await care.at("2027-01-05T08:00:00Z")
    assert [each["customer_id"] for each in await care.mailbox()] == [str(there), str(here)]


async def test_a_holiday_of_several_days_is_greeted_once_on_its_first(care: Care) -> None:
    care.clock.at = datetime(2026, 2, 10, tzinfo=UTC)
    await care.receive(person(uuid7()))
    festival = {"kind": "holiday", "calendar": "CN", "holiday": "spring-festival"}
    await care.write("spring", trigger=festival)
    sent = []
    for day in range(14, 25):
        await care.at(f"2026-02-{day}T01:00:00Z")
        sent.append(len(await care.mailbox()))
    assert (sent[2], sent[3], sent[-1]) == (0, 1, 1), "on the 17th"


async def test_a_date_is_everybodys(care: Care) -> None:
    await care.receive(person(uuid7(), birth_date=None), person(uuid7(), time_zone="America/New_York"))
    await care.write("opening", trigger={"kind": "date", "on": "2026-03-05"}, action={"points": 5})
    for instant, done in (
        ("2026-03-05T00:59:59Z", 0),
        ("2026-03-05T01:00:00Z", 1),
        ("2026-03-05T13:59:59Z", 1),
        ("2026-03-05T14:00:00Z", 2),
        ("2026-03-07T14:00:00Z", 2),
    ):
        await care.at(instant)
        assert (await care.occasions("opening")).count(("done", None)) == done, instant


LADDER = {
    "basis": "net_spend",
    "currency": "USD",
    "period": {"kind": "calendar_year"},
    "grace_days": 30,
    "tiers": [
        {"key": "silver", "names": {"en": "Silver"}, "threshold": 10_000},
        {"key": "gold", "names": {"en": "Gold"}, "threshold": 50_000},
    ],
}


async def test_rising_to_a_tier_is_greeted_and_falling_to_one_is_not(
    care: Care, purchased: MakeEvent
) -> None:
    who = uuid7()
    made = await care.loyalty.put("/v1/tiers", json=LADDER, headers={"If-None-Match": "*"})
    assert made.status_code == 200, made.text
    await care.receive(person(who))
    await care.write("welcome", trigger={"kind": "tier", "tiers": ["silver", "gold"]})
    await care.receive(purchased(who, 20_000, at=care.clock.now()))
    await care.at("2026-03-03T01:00:00Z")
    assert len(await care.mailbox()) == 1
    await care.receive(purchased(who, 40_000, at=care.clock.now()))
    await care.at("2026-03-03T01:10:00Z")
    assert len(await care.mailbox()) == 2
    care.clock.at = datetime(2027, 1, 5, tzinfo=UTC)
    await care.receive(purchased(who, 20_000, at=care.clock.now()))
    for day in ("2027-01-31", "2028-01-31", "2028-02-01"):
        await care.at(f"{day}T02:00:00Z")
    assert (await care.loyalty.get(f"/v1/accounts/{who}/tier")).json()["tier"] == "silver"
    assert len(await care.mailbox()) == 2
