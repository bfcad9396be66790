"""What a calendar says of a day: its working hours, what is celebrated, whether it makes up for another."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import MAXYEAR, MINYEAR, date, timedelta
from functools import cached_property
from zoneinfo import ZoneInfo

from crm_shared.calendars.holidays import HolidayOn, days_of
from crm_shared.contracts.calendars import Calendar, Hours

_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class CalendarDay:
    """One day; `hours` are in order, and none when there is no work."""

    on: date
    hours: tuple[Hours, ...]
    holidays: tuple[HolidayOn, ...]
    make_up: bool


@dataclass(frozen=True)
class Days:
    """A calendar, and what was found out of it so far: keep it for as many questions as there are."""

    calendar: Calendar
    _years: dict[int, Mapping[date, Sequence[HolidayOn]]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    @cached_property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.calendar.time_zone)

    def is_known(self, year: int) -> bool:
        """Whether all of the year was announced; otherwise it follows from rules alone."""
        return self.calendar.known_until is not None and year <= self.calendar.known_until

    def day(self, on: date) -> CalendarDay:
        """A day that makes up for another is worked in any case; of several holidays the strictest counts."""
        holidays = tuple(self._holidays(on.year).get(on, ()))
        make_up = self._make_up_days.get(on)
        if make_up is not None:
            return CalendarDay(on, self._weekdays.get(make_up, ()), holidays, True)
        hours = [self._weekdays.get(on.isoweekday(), ())]
        hours += [_in_order(each.holiday.hours) for each in holidays if each.holiday.hours is not None]
        return CalendarDay(on, min(hours, key=_minutes), holidays, False)

    def year(self, year: int) -> Iterator[CalendarDay]:
        """Every day of the year."""
        on = date(year, 1, 1)
        while on.year == year:
            yield self.day(on)
            on += _DAY

    @cached_property
    def _weekdays(self) -> Mapping[int, tuple[Hours, ...]]:
        return {day: _in_order(each.hours) for each in self.calendar.working_hours for day in each.days}

    @cached_property
    def _make_up_days(self) -> Mapping[date, int]:
        return {day.on: day.like for day in self.calendar.make_up_days}

    def _holidays(self, year: int) -> Mapping[date, Sequence[HolidayOn]]:
        if year not in self._years:
            found: defaultdict[date, list[HolidayOn]] = defaultdict(list)
            for near in range(max(year - 1, MINYEAR), min(year + 1, MAXYEAR) + 1):
                for holiday in self.calendar.holidays:
                    for each in days_of(holiday, near):
                        if each.on.year == year:
                            found[each.on].append(each)
            self._years[year] = found
        return self._years[year]


def minutes_of(shown: str) -> int:
    """The minutes since midnight of a time such as 17:30."""
    hours, minutes = shown.split(":")
    return int(hours) * 60 + int(minutes)


def _in_order(hours: Sequence[Hours]) -> tuple[Hours, ...]:
    return tuple(sorted(hours, key=lambda each: each.start))


def _minutes(hours: Sequence[Hours]) -> int:
    return sum(minutes_of(each.end) - minutes_of(each.start) for each in hours)
