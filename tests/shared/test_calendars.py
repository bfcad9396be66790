"""Calendars: what they say is what governments announce, and their clock is right when others change."""

from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import chinese_calendar
import holidays
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from crm_shared.calendars.birthdays import LunarBirthday, SolarBirthday, birthdays_on
from crm_shared.calendars.clocks import instant_of
from crm_shared.calendars.days import Days
from crm_shared.calendars.holidays import days_of
from crm_shared.calendars.initial import initial_calendars
from crm_shared.calendars.lunar import LunarDay, from_gregorian, to_gregorian
from crm_shared.calendars.occurrences import next_birthday, next_holiday
from crm_shared.calendars.working import (
    NeverWorking,
    add_working_time,
    is_working,
    working_time_between,
)
from crm_shared.contracts.calendars import (
    BirthdayPolicy,
    Calendar,
    Holiday,
    LeapDay,
    LeapMonth,
    ShortMonth,
)

SECOND = timedelta(seconds=1)
ZONES = (
    "UTC",
    "America/New_York",
    "Australia/Lord_Howe",
    "America/Havana",
    "America/Sao_Paulo",
    "Pacific/Apia",
)
HOLIDAY = TypeAdapter[Holiday](Holiday)

# Around changes of the clock: New York, Havana and São Paulo (midnight), Lord Howe, Apia's lost day.
EDGES = [
    datetime(2026, 3, 7, tzinfo=UTC),
    datetime(2026, 10, 31, tzinfo=UTC),
    datetime(2026, 4, 4, tzinfo=UTC),
    datetime(2017, 10, 14, tzinfo=UTC),
    datetime(2018, 2, 17, tzinfo=UTC),
    datetime(2011, 12, 29, tzinfo=UTC),
]
seconds = st.integers(0, 3 * 24 * 3600)
instants = st.builds(lambda start, since: start + since * SECOND, st.sampled_from(EDGES), seconds)
times = st.integers(0, 1440).map(lambda minutes: f"{minutes // 60:02}:{minutes % 60:02}")
hours = (
    st.lists(times, min_size=2, max_size=6, unique=True)
    .map(sorted)
    .map(lambda cuts: [{"start": a, "end": b} for a, b in zip(cuts[::2], cuts[1::2], strict=False)])
)


def calendar(zone: str = "UTC", **fields: object) -> Days:
    body = {"name": "one", "time_zone": zone, "working_hours": [], "holidays": []}
    return Days(Calendar.model_validate(body | fields))


def every_day(*windows: tuple[str, str], zone: str = "UTC", **fields: object) -> Days:
    opening = [{"start": start, "end": end} for start, end in windows]
    return calendar(zone, working_hours=[{"days": [1, 2, 3, 4, 5, 6, 7], "hours": opening}], **fields)


@st.composite
def calendars(draw: st.DrawFn) -> Days:
    week = [{"days": [day], "hours": draw(hours)} for day in (1, 2, 3, 5, 6, 7)]
    off = draw(st.lists(st.dates(date(2011, 12, 28), date(2012, 1, 3)), max_size=3))
    rules = [
        {"kind": "dates", "key": "off", "names": {"en": "Off"}, "dates": [str(day) for day in off]},
        {"kind": "fixed", "key": "half", "names": {"en": "Half"}, "month": 3, "day": 8, "hours": draw(hours)},
    ]
    return calendar(
        draw(st.sampled_from(ZONES)),
        working_hours=week,
        holidays=rules if off else rules[1:],
        make_up_days=[{"on": "2026-11-01", "like": draw(st.integers(1, 7))}],
    )


def local(text: str, zone: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)


def test_chinas_working_days_are_those_that_its_government_announced() -> None:
    china = Days(initial_calendars()["CN"])
    for year in range(2020, 2027):
        assert china.is_known(year)
        for day in china.year(year):
            assert bool(day.hours) == chinese_calendar.is_workday(day.on), day


def test_china_has_its_festivals_in_years_that_nobody_has_announced() -> None:
    china = Days(initial_calendars()["CN"])
    assert not china.is_known(2031)
    off = {day.on for day in china.year(2031) if any(each.holiday.hours == [] for each in day.holidays)}
    # New Year's Eve and Spring Festival, Qingming, Dragon Boat, Mid-Autumn falls on National Day.
    lunar = {date(2031, 1, 22), date(2031, 1, 23), date(2031, 1, 24), date(2031, 1, 25)}
    others = {date(2031, 4, 5), date(2031, 6, 24), date(2031, 10, 1)}
    assert lunar | others <= off


@pytest.mark.parametrize("year", range(2021, 2036))
def test_american_holidays_are_the_federal_ones(year: int) -> None:
    ours = Days(initial_calendars()["US"])
    theirs = holidays.country_holidays("US", years=year)
    off = {day.on for day in ours.year(year) if any(each.holiday.hours == [] for each in day.holidays)}
    assert off == set(theirs)


@pytest.mark.parametrize("year", range(2023, 2036))
def test_spanish_holidays_are_the_national_ones(year: int) -> None:
    ours = Days(initial_calendars()["ES"])
    theirs = holidays.country_holidays("ES", years=year)
    off = {day.on for day in ours.year(year) if any(each.holiday.hours == [] for each in day.holidays)}
    on_weekdays = {day for day in off if day.isoweekday() < 7}
    assert on_weekdays == {day for day in theirs if day.isoweekday() < 7}


@pytest.mark.parametrize("year", [1900, 1950, 2008, 2026, 2045, 2099])
def test_qingming_and_lunar_festivals_are_found_as_another_library_finds_them(year: int) -> None:
    theirs = holidays.country_holidays("HK", years=year, language="en_US") if year >= 1950 else {}
    rules: dict[str, dict[str, object]] = {
        "Tomb-Sweeping Day": {"kind": "qingming"},
        "Dragon Boat Festival": {"kind": "lunar", "month": 5, "day": 5},
        "Double Ninth Festival": {"kind": "lunar", "month": 9, "day": 9},
    }
    for name, rule in rules.items():
        found = HOLIDAY.validate_python(rule | {"key": "it", "names": {"en": name}})
        ours = {each.on for each in days_of(found, year)}
        assert len(ours) == 1
        if theirs:
            assert {day for day, named in theirs.items() if name in named.split("; ")} <= ours | {
                day + timedelta(days=1) for day in ours
            }


def test_a_year_without_such_a_day_goes_without_the_holiday() -> None:
    leap = HOLIDAY.validate_python(
        {"kind": "fixed", "key": "leap", "names": {"en": "Leap"}, "month": 2, "day": 29}
    )
    assert [each.on for year in range(2023, 2029) for each in days_of(leap, year)] == [
        date(2024, 2, 29),
        date(2028, 2, 29),
    ]
    far = HOLIDAY.validate_python(
        {"kind": "lunar", "key": "far", "names": {"en": "Far"}, "month": 1, "day": 1}
    )
    assert list(days_of(far, 2500)) == []


def test_a_day_that_makes_up_for_another_is_worked_whatever_else_it_is() -> None:
    rule = {"kind": "fixed", "key": "day", "names": {"en": "Day"}, "month": 10, "day": 10}
    days = calendar(
        working_hours=[{"days": [1], "hours": [{"start": "09:00", "end": "17:00"}]}],
        holidays=[rule],
        make_up_days=[{"on": "2026-10-10"}],
    )
    day = days.day(date(2026, 10, 10))
    assert (day.make_up, [each.end for each in day.hours], len(day.holidays)) == (True, ["17:00"], 1)


def test_new_years_day_that_is_observed_in_the_old_year_is_found_there() -> None:
    assert Days(initial_calendars()["US"]).day(date(2027, 12, 31)).hours == ()


@pytest.mark.parametrize(
    ("at", "open_"),
    [
        ("2026-03-02T08:59:59.999999", False),
        ("2026-03-02T09:00:00", True),
        ("2026-03-02T11:59:59.999999", True),
        ("2026-03-02T12:00:00", False),
        ("2026-03-02T13:00:00", True),
        ("2026-03-02T23:59:59.999999", True),
        ("2026-03-03T00:00:00", False),
    ],
)
def test_windows_hold_from_their_start_until_before_their_end(at: str, open_: bool) -> None:
    days = every_day(("09:00", "12:00"), ("13:00", "24:00"))
    assert is_working(days, local(at, "UTC")) is open_


def test_a_time_that_the_clock_jumps_over_is_the_instant_of_the_jump() -> None:
    jump = local("2026-03-08T01:59:59", "America/New_York") + SECOND
    for minutes in (120, 121, 150, 179, 180):
        assert instant_of(date(2026, 3, 8), minutes, ZoneInfo("America/New_York")) == jump
    lost = [instant_of(date(2011, 12, 30), minutes, ZoneInfo("Pacific/Apia")) for minutes in (0, 720, 1440)]
    assert lost == [datetime(2011, 12, 30, 10, tzinfo=UTC)] * 3


def test_the_hour_that_a_clock_shows_twice_counts_twice_and_the_one_that_it_skips_not_at_all() -> None:
    days = every_day(("00:00", "06:00"), zone="America/New_York")
    for day, hours_ in (("2026-11-01", 7), ("2026-03-08", 5), ("2026-03-09", 6)):
        start = local(f"{day}T00:00", "America/New_York")
        assert working_time_between(days, start, start + timedelta(hours=20)) == timedelta(hours=hours_)


def test_what_is_due_at_closing_time_is_not_due_when_the_next_day_begins() -> None:
    days = every_day(("09:00", "17:00"))
    start = local("2026-03-02T16:00", "UTC")
    assert add_working_time(days, start, timedelta(hours=1)) == local("2026-03-02T17:00", "UTC")
    assert add_working_time(days, start, timedelta(hours=1) + SECOND) == local("2026-03-03T09:00:01", "UTC")


def test_a_calendar_without_hours_says_that_nothing_will_ever_be_done() -> None:
    with pytest.raises(NeverWorking):
        add_working_time(calendar(), EDGES[0], SECOND)
    assert working_time_between(calendar(), EDGES[3], EDGES[0]) == timedelta()


@given(calendars(), instants, st.integers(0, 10 * 24 * 3600))
def test_adding_working_time_is_undone_by_counting_it(days: Days, start: datetime, seconds: int) -> None:
    duration = seconds * SECOND
    try:
        end = add_working_time(days, start, duration)
    except NeverWorking:
        assert not any(day.hours for day in days.year(2030))
        return
    assert working_time_between(days, start, end) == duration
    assert duration == timedelta() or working_time_between(days, start, end - SECOND) < duration


@given(calendars(), st.sampled_from(EDGES), st.tuples(seconds, seconds, seconds))
def test_working_time_of_parts_adds_up(days: Days, edge: datetime, since: tuple[int, int, int]) -> None:
    a, b, c = (edge + number * SECOND for number in since)
    parts = working_time_between(days, a, b) + working_time_between(days, b, c)
    assert parts == working_time_between(days, a, c)


@given(calendars(), instants)
def test_there_is_work_exactly_where_working_time_passes(days: Days, at: datetime) -> None:
    moment = timedelta(microseconds=1)
    assert is_working(days, at) is (working_time_between(days, at, at + moment) == moment)


@given(st.dates(date(1900, 1, 31), date(2100, 2, 8)))
def test_lunar_days_lead_back_to_where_they_came_from(day: date) -> None:
    assert to_gregorian(from_gregorian(day)) == day


@pytest.mark.parametrize(
    ("policy", "expected"), [(LeapDay.FEBRUARY_28, date(2026, 2, 28)), (LeapDay.MARCH_1, date(2026, 3, 1))]
)
def test_somebody_born_on_a_leap_day_has_a_birthday_every_year(policy: LeapDay, expected: date) -> None:
    birthday = SolarBirthday(2, 29)
    assert birthday.days(2026, BirthdayPolicy(leap_day=policy)) == [expected]
    assert birthday.days(2028, BirthdayPolicy(leap_day=policy)) == [date(2028, 2, 29)]


def test_somebody_born_in_a_leap_month_has_a_birthday_in_the_years_that_lack_it() -> None:
    born = LunarBirthday(6, 10, leap_month=True)  # 2025 has a sixth leap month
    leap, regular = to_gregorian(LunarDay(2025, 6, 10, True)), to_gregorian(LunarDay(2025, 6, 10))
    assert born.days(2025, BirthdayPolicy(leap_month=LeapMonth.LEAP)) == [leap]
    assert born.days(2025, BirthdayPolicy(leap_month=LeapMonth.REGULAR)) == [regular]
    assert born.days(2026, BirthdayPolicy()) == [to_gregorian(LunarDay(2026, 6, 10))]


def test_somebody_born_on_the_30th_has_a_birthday_in_short_months() -> None:
    born = LunarBirthday(12, 30)  # the twelfth month of 2024 has 29 days
    assert born.in_year(2024, BirthdayPolicy(short_month=ShortMonth.LAST_DAY)) == date(2025, 1, 28)
    assert born.in_year(2024, BirthdayPolicy(short_month=ShortMonth.NEXT_DAY)) == date(2025, 1, 29)
    assert born.in_year(2023, BirthdayPolicy()) == date(2024, 2, 9)


@given(
    st.builds(
        BirthdayPolicy,
        leap_day=st.sampled_from(LeapDay),
        leap_month=st.sampled_from(LeapMonth),
        short_month=st.sampled_from(ShortMonth),
    ),
    st.integers(1, 12),
    st.integers(1, 30),
    st.booleans(),
    st.integers(1950, 2090),
)
def test_whoever_has_a_birthday_on_a_day_is_found_by_that_day(
    policy: BirthdayPolicy, month: int, day: int, leap_month: bool, year: int
) -> None:
    born = LunarBirthday(month, day, leap_month)
    found = born.in_year(year, policy)
    assert found is not None, "every lunar year has it"
    assert born in birthdays_on(found, policy)
    assert born not in birthdays_on(found - timedelta(days=3), policy)


@given(st.sampled_from(ZONES), instants)
def test_the_next_birthday_begins_at_the_first_instant_of_its_day(zone: str, after: datetime) -> None:
    place = ZoneInfo(zone)
    born = SolarBirthday(after.month, after.day)
    found = next_birthday(born, after, zone, BirthdayPolicy())
    assert found is not None
    assert after < found <= after + timedelta(days=1 + 366)
    day = found.astimezone(place).date()
    assert (day.month, day.day) == (born.month, born.day) or day == date(2011, 12, 31)
    assert (found - SECOND).astimezone(place).date() < day


def test_the_next_holiday_is_the_next_of_its_days() -> None:
    spring = next(each for each in initial_calendars()["CN"].holidays if each.key == "spring-festival")
    after = local("2026-02-17T00:00", "Asia/Shanghai")
    assert next_holiday(spring, after - SECOND, "Asia/Shanghai") == after
    assert next_holiday(spring, after, "Asia/Shanghai") == local("2026-02-18T00:00", "Asia/Shanghai")
    assert next_holiday(spring, local("2026-02-19T00:00", "Asia/Shanghai"), "Asia/Shanghai") == local(
        "2027-02-06T00:00", "Asia/Shanghai"
    )


@pytest.mark.parametrize(
    "wrong",
    [
        {"time_zone": "Nowhere/At_All"},
        {"working_hours": [{"days": [1], "hours": [{"start": "10:00", "end": "09:00"}]}]},
        {"working_hours": [{"days": [1, 1], "hours": [{"start": "09:00", "end": "10:00"}]}]},
        {
            "working_hours": [
                {
                    "days": [1],
                    "hours": [{"start": "09:00", "end": "11:00"}, {"start": "10:59", "end": "12:00"}],
                }
            ]
        },
        {"holidays": [{"kind": "fixed", "key": "no", "names": {"en": "No"}, "month": 2, "day": 30}]},
        {"holidays": [{"kind": "qingming", "key": "twice", "names": {"en": "Twice"}}] * 2},
        {"make_up_days": [{"on": "2026-10-10"}, {"on": "2026-10-10", "like": 2}]},
    ],
)
def test_a_calendar_that_contradicts_itself_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        calendar(**wrong)
