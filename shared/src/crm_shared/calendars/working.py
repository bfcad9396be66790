"""Working time: is there work at an instant, how much lies between two, when is so much of it over."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from crm_shared.calendars.clocks import instant_of
from crm_shared.calendars.days import Days, minutes_of

_DAY = timedelta(days=1)
_MOMENT = timedelta(microseconds=1)
_NOTHING = timedelta()
_LONGEST_REST = 800
"""Days on end without work, after which there will be none."""


class NeverWorking(ValueError):
    """The calendar has no working time from there on."""


class Interval(NamedTuple):
    """From an instant until before another."""

    start: datetime
    end: datetime


def is_working(days: Days, at: datetime) -> bool:
    """Whether there is work at the instant."""
    return any(_between(days, at, at + _MOMENT))


def working_time_between(days: Days, start: datetime, end: datetime) -> timedelta:
    """How much working time lies from one instant until before another; negative when they are swapped."""
    if end < start:
        return -working_time_between(days, end, start)
    return sum((each.end - each.start for each in _between(days, start, end)), _NOTHING)


def add_working_time(days: Days, start: datetime, duration: timedelta) -> datetime:
    """The first instant by which there was that much working time since `start`, to which it adds in UTC.

    It may be the very end of a window: what is due at closing time is not due when the next day begins.
    Raises NeverWorking.
    """
    if duration < _NOTHING:
        raise ValueError("working time is added, not taken away")
    if not duration:
        return start.astimezone(UTC)
    left = duration
    for interval in _since(days, start):
        if interval.end - interval.start >= left:
            return interval.start + left
        left -= interval.end - interval.start
    raise NeverWorking(f"there is no working time in {_LONGEST_REST} days")


def _between(days: Days, start: datetime, end: datetime) -> Iterator[Interval]:
    """The working time from one instant until another."""
    for interval in _since(days, start, until=end):
        if interval.start < end:
            yield Interval(interval.start, min(interval.end, end))


def _since(days: Days, start: datetime, *, until: datetime | None = None) -> Iterator[Interval]:
    """The working time from the instant on, in order, until there is none for very long."""
    # A clock that is set back at midnight shows the day before once more, so one more day on each side.
    on = start.astimezone(days.zone).date() - _DAY
    last = until.astimezone(days.zone).date() + _DAY if until else None
    rest = 0
    while rest < _LONGEST_REST and (last is None or on <= last):
        hours = days.day(on).hours
        rest = 0 if hours or last else rest + 1
        for each in hours:
            begin = max(instant_of(on, minutes_of(each.start), days.zone), start.astimezone(UTC))
            end = instant_of(on, minutes_of(each.end), days.zone)
            if begin < end:
                yield Interval(begin, end)
        on += _DAY
