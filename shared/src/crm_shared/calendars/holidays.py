"""On which days the rules of a calendar put their holidays."""

from calendar import isleap, monthrange
from collections.abc import Iterator
from datetime import date, timedelta
from typing import NamedTuple, assert_never

from chinese_calendar import get_solar_terms
from dateutil.easter import EASTER_ORTHODOX, EASTER_WESTERN, easter

from crm_shared.calendars import lunar
from crm_shared.calendars.lunar import LunarDay
from crm_shared.contracts.calendars import (
    DatesHoliday,
    EasterHoliday,
    EasterOf,
    FixedHoliday,
    Holiday,
    LunarHoliday,
    Observed,
    QingmingHoliday,
    WeekdayHoliday,
)

_DAY = timedelta(days=1)
_SATURDAY, _SUNDAY = 6, 7
_SHORT_MONTH = 29
_TERMS = (1900, 2099)
"""For these years the formula of the solar terms holds."""
_RECKONING = {EasterOf.WESTERN: EASTER_WESTERN, EasterOf.ORTHODOX: EASTER_ORTHODOX}


class HolidayOn(NamedTuple):
    """A holiday on one of its days; `observed`: the day off in its stead, for it falls on a weekend."""

    on: date
    holiday: Holiday
    observed: bool = False


def days_of(holiday: Holiday, year: int) -> Iterator[HolidayOn]:
    """The days of the holiday of that year; an offset, or what is observed, may lie in a neighbouring one."""
    if (holiday.from_year or year) <= year <= (holiday.until_year or year):
        for start in _starts(holiday, year):
            for number in range(holiday.length):
                on = start + (holiday.offset + number) * _DAY
                yield HolidayOn(on, holiday)
                if (instead := _observed(holiday.observed, on)) != on:
                    yield HolidayOn(instead, holiday, observed=True)


def _starts(holiday: Holiday, year: int) -> list[date]:
    match holiday:
        case FixedHoliday():
            exists = (holiday.month, holiday.day) != (2, 29) or isleap(year)
            return [date(year, holiday.month, holiday.day)] if exists else []
        case WeekdayHoliday():
            return _nth_weekday(year, holiday.month, holiday.weekday, holiday.nth)
        case EasterHoliday():
            found: date = easter(year, _RECKONING[holiday.reckoning])
            return [found]
        case LunarHoliday():
            return _lunar(year, holiday.month, holiday.day)
        case QingmingHoliday():
            return _qingming(year)
        case DatesHoliday():
            return [day for day in holiday.dates if day.year == year]
        case _:
            assert_never(holiday)


def _nth_weekday(year: int, month: int, weekday: int, nth: int) -> list[date]:
    first, length = monthrange(year, month)
    days = range(1 + (weekday - 1 - first) % 7, length + 1, 7)
    return [date(year, month, days[nth if nth < 0 else nth - 1])] if nth <= len(days) else []


def _lunar(year: int, month: int, day: int) -> list[date]:
    """That of the lunar year that begins in this Gregorian one, and may end in the next."""
    last = lunar.find_gregorian(LunarDay(year, month, min(day, _SHORT_MONTH)))
    found = lunar.find_gregorian(LunarDay(year, month, day)) or last
    return [found] if found else []


def _qingming(year: int) -> list[date]:
    if not _TERMS[0] <= year <= _TERMS[1]:
        return []
    terms = get_solar_terms(date(year, 4, 3), date(year, 4, 7))
    return [day for day, name in terms if name == "清明"]


def _observed(how: Observed, on: date) -> date:
    weekday = on.isoweekday()
    if weekday < _SATURDAY or how is Observed.SAME_DAY:
        return on
    if how is Observed.NEAREST_WEEKDAY and weekday == _SATURDAY:
        return on - _DAY
    return on + (_SUNDAY + 1 - weekday) * _DAY
