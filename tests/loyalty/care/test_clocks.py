"""Birthdays by the customer's own clock, to the second, wherever they live and whenever clocks change."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from tests.loyalty.care.conftest import Care, person

from crm_shared.contracts.profiles import LunarDateState
from crm_shared.ids import uuid7

GIFT: dict[str, Any] = {"action": {"points": 5}}
"""Quiet hours do not apply to gifts, so that the window alone decides."""
ALL_DAY: dict[str, Any] = {"window_start": "00:00", "window_end": "24:00"}


@pytest.mark.parametrize(
    ("zone", "day", "opens"),
    [
        ("Pacific/Kiritimati", "2026-03-03", "2026-03-02T19:00:00Z"),  # where a day begins first
        ("Etc/GMT+12", "2026-03-03", "2026-03-03T21:00:00Z"),  # where it begins last
        ("Asia/Kathmandu", "2026-03-03", "2026-03-03T03:15:00Z"),
        ("Europe/Madrid", "2026-03-28", "2026-03-28T08:00:00Z"),
        ("Europe/Madrid", "2026-03-29", "2026-03-29T07:00:00Z"),  # the clock went forward that night
        ("America/New_York", "2026-10-31", "2026-10-31T13:00:00Z"),
        ("America/New_York", "2026-11-01", "2026-11-01T14:00:00Z"),  # and back
    ],
)
async def test_a_greeting_comes_with_the_window_of_the_customers_own_day(
    care: Care, zone: str, day: str, opens: str
) -> None:
    born = date.fromisoformat(day)
    care.clock.at = datetime(born.year, born.month, born.day, tzinfo=UTC) - timedelta(days=3)
    await care.receive(person(uuid7(), time_zone=zone, birth_date=born.replace(year=1990)))
    await care.write()
    await care.turn()
    instant = datetime.fromisoformat(opens)
    await care.at((instant - timedelta(seconds=1)).isoformat())
    assert await care.occasions() == [("planned", None)]
    await care.at(opens)
    assert await care.occasions() == [("done", None)]
    for hours in (1, 12, 24, 36, 48):
        await care.at((instant + timedelta(hours=hours)).isoformat())
    assert len(await care.mailbox()) == 1


@pytest.mark.parametrize(
    ("zone", "day", "begins"),
    [
        ("America/Santiago", "2026-09-06", "2026-09-06T04:00:00Z"),  # the day begins at one o'clock
        ("Pacific/Kiritimati", "2026-03-03", "2026-03-02T10:00:00Z"),
        ("Etc/GMT+12", "2026-03-03", "2026-03-03T12:00:00Z"),
    ],
)
async def test_a_window_of_the_whole_day_opens_when_the_day_begins(
    care: Care, zone: str, day: str, begins: str
) -> None:
    born = date.fromisoformat(day)
    instant = datetime.fromisoformat(begins)
    care.clock.at = instant - timedelta(days=1)
    await care.receive(person(uuid7(), time_zone=zone, birth_date=born.replace(year=1990)))
    await care.write(**GIFT, **ALL_DAY)
    await care.turn()
    await care.at((instant - timedelta(seconds=1)).isoformat())
    assert ("done", None) not in await care.occasions()
    await care.at(begins)
    await care.at((instant + timedelta(minutes=10)).isoformat())
    assert await care.occasions() == [("done", None)]


@pytest.mark.parametrize(
    ("leap_day", "days"),
    [
        ("february_28", ["2026-02-28", "2027-02-28", "2028-02-29"]),
        ("march_1", ["2026-03-01", "2027-03-01", "2028-02-29"]),
    ],
)
async def test_who_was_born_on_29_february_is_greeted_every_year_once(
    care: Care, leap_day: str, days: list[str]
) -> None:
    care.clock.at = datetime(2026, 2, 20, tzinfo=UTC)
    await care.receive(person(uuid7(), birth_date=date(1992, 2, 29)))
    await care.write(**GIFT, trigger={"kind": "birthday", "birthdays": {"leap_day": leap_day}})
    found: list[str] = []
    for year in (2026, 2027, 2028):
        for day in ("02-27", "02-28", "02-29", "03-01", "03-02"):
            if day == "02-29" and year != 2028:
                continue
            before = len(await care.occasions())
            await care.at(f"{year}-{day}T01:00:00Z")
            done = await care.occasions()
            assert set(done) <= {("done", None), ("planned", None)}
            if done.count(("done", None)) > len(found):
                found.append(f"{year}-{day}")
            assert before <= len(done)
    assert found == days


@pytest.mark.parametrize(
    ("leap_day", "days"),
    [
        ("february_28", ["2026-02-28", "2028-02-29"]),
        ("march_1", ["2026-03-01", "2028-02-29"]),
    ],
)
async def test_a_dry_run_finds_who_was_born_or_came_on_29_february_on_one_day_of_each_year(
    care: Care, leap_day: str, days: list[str]
) -> None:
    care.clock.at = datetime(2026, 2, 1, tzinfo=UTC)
    who, came = uuid7(), datetime(2024, 2, 29, 4, tzinfo=UTC)
    await care.receive(person(who, birth_date=date(1992, 2, 29), created_at=came))
    await care.write(**GIFT, trigger={"kind": "birthday", "birthdays": {"leap_day": leap_day}})
    await care.write("with-us", **GIFT, trigger={"kind": "anniversary"})
    asked = [f"2026-{day}" for day in ("02-27", "02-28", "03-01", "03-02")]
    asked += [f"2028-{day}" for day in ("02-28", "02-29", "03-01")]

    assert [day for day in asked if await care.dry_run(day)] == days
    assert [day for day in asked if await care.dry_run(day, "with-us")] == ["2026-02-28", "2028-02-29"]


@pytest.mark.parametrize(
    ("leap_month", "days"),
    [
        ("leap", ["2025-07-25", "2026-07-14"]),
        ("regular", ["2025-06-25", "2026-07-14"]),
    ],
)
async def test_who_was_born_in_a_leap_month_is_greeted_once_in_each_lunar_year(
    care: Care, leap_month: str, days: list[str]
) -> None:
    care.clock.at = datetime(2025, 6, 20, tzinfo=UTC)
    born = LunarDateState(year=2017, month=6, day=1, leap_month=True)
    await care.receive(person(uuid7(), birth_date=date(2017, 7, 23), lunar_birth_date=born))
    await care.write(**GIFT, trigger={"kind": "birthday", "birthdays": {"leap_month": leap_month}})
    found: list[str] = []
    for day in ("2025-06-25", "2025-07-24", "2025-07-25", "2026-06-25", "2026-07-14", "2026-07-23"):
        await care.at(f"{day}T01:00:00Z")
        if (await care.occasions()).count(("done", None)) > len(found):
            found.append(day)
    assert found == days
    assert await care.occasions() == [("done", None)] * 2
