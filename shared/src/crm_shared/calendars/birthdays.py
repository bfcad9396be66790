"""On which days people have their birthdays, in years too that lack the day on which they were born."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, timedelta

from crm_shared.calendars import lunar
from crm_shared.calendars.lunar import LunarDay
from crm_shared.contracts.calendars import BirthdayPolicy, LeapDay, LeapMonth, ShortMonth

_DAY = timedelta(days=1)
_LONG_MONTH = 30


@dataclass(frozen=True, slots=True)
class SolarBirthday:
    """Month and day of the Gregorian calendar."""

    month: int
    day: int

    def in_year(self, year: int, policy: BirthdayPolicy) -> date:
        """The birthday of that year."""
        try:
            return date(year, self.month, self.day)
        except ValueError:  # 29 February
            return date(year, 3, 1) if policy.leap_day is LeapDay.MARCH_1 else date(year, 2, 28)

    def days(self, year: int, policy: BirthdayPolicy) -> list[date]:
        """The birthdays that lie in the Gregorian year."""
        return [self.in_year(year, policy)]


@dataclass(frozen=True, slots=True)
class LunarBirthday:
    """Month and day of the Chinese lunar calendar; a Gregorian year may hold it not at all, or twice."""

    month: int
    day: int
    leap_month: bool = False

    def in_year(self, year: int, policy: BirthdayPolicy) -> date | None:
        """The birthday of that lunar year; None where the tables of the calendar end."""
        if self.leap_month and policy.leap_month is LeapMonth.LEAP:
            return self._in_month(year, True, policy) or self._in_month(year, False, policy)
        return self._in_month(year, False, policy)

    def days(self, year: int, policy: BirthdayPolicy) -> list[date]:
        """The birthdays that lie in the Gregorian year."""
        found = [self.in_year(lunar_year, policy) for lunar_year in (year - 1, year)]
        return [day for day in found if day is not None and day.year == year]

    def _in_month(self, year: int, leap_month: bool, policy: BirthdayPolicy) -> date | None:
        day = lunar.find_gregorian(LunarDay(year, self.month, self.day, leap_month))
        if day is not None or self.day < _LONG_MONTH:
            return day
        last = lunar.find_gregorian(LunarDay(year, self.month, _LONG_MONTH - 1, leap_month))
        return last + _DAY if last and policy.short_month is ShortMonth.NEXT_DAY else last


Birthday = SolarBirthday | LunarBirthday


def birthdays_on(day: date, policy: BirthdayPolicy) -> Collection[Birthday]:
    """Whoever was born on one of these has a birthday that day."""
    candidates: list[Birthday] = [SolarBirthday(day.month, day.day), SolarBirthday(2, 29)]
    candidates += [
        LunarBirthday(month, number, leap_month)
        for near in (day, day - _DAY)
        if (known := _lunar_day(near)) is not None
        for month in (known.month,)
        for number in (known.day, _LONG_MONTH)
        for leap_month in (False, True)
    ]
    return {each for each in candidates if day in each.days(day.year, policy)}


def _lunar_day(day: date) -> LunarDay | None:
    try:
        return lunar.from_gregorian(day)
    except ValueError:
        return None
