"""Chinese lunar days and the Gregorian ones they fall on, from 31 January 1900 to 8 February 2100."""

from datetime import date
from typing import NamedTuple

from lunardate import LunarDate

_FIRST, _LAST = date(1900, 1, 31), date(2100, 2, 8)
"""Beyond them the library's tables have nothing, and it does not say so."""


class LunarDay(NamedTuple):
    """A day of the lunar calendar; a leap month follows the month of the same number."""

    year: int
    month: int
    day: int
    leap_month: bool = False


def to_gregorian(day: LunarDay) -> date:
    """The Gregorian day; ValueError when the lunar calendar has no such day."""
    found: date = LunarDate(*day).to_solar_date()
    return found


def from_gregorian(day: date) -> LunarDay:
    """The lunar day; ValueError outside of the years that the tables have."""
    if not _FIRST <= day <= _LAST:
        raise ValueError(f"no lunar day is known of {day}")
    found = LunarDate.from_solar_date(day.year, day.month, day.day)
    return LunarDay(found.year, found.month, found.day, bool(found.is_leap_month))


def find_gregorian(day: LunarDay) -> date | None:
    """The Gregorian day; None where the year has no such month or day, or is outside of the tables."""
    try:
        return to_gregorian(day)
    except ValueError:
        return None
