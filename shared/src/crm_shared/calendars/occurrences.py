"""When something that happens each year begins the next time, where somebody lives."""

from collections.abc import Iterable
from datetime import datetime
from zoneinfo import ZoneInfo

from crm_shared.calendars.birthdays import Birthday
from crm_shared.calendars.clocks import start_of
from crm_shared.calendars.holidays import days_of
from crm_shared.contracts.calendars import BirthdayPolicy, Holiday

_YEARS = 10
"""Beyond them nothing is looked for: the rarest, 29 February, comes again after eight years at most."""


def next_holiday(holiday: Holiday, after: datetime, zone: str) -> datetime | None:
    """The first instant after `after` at which a day of the holiday begins; None: not in ten years."""
    place = ZoneInfo(zone)
    year = after.astimezone(place).year
    years = range(max(year - 1, 1), year + _YEARS)
    days = (each.on for near in years for each in days_of(holiday, near) if not each.observed)
    return _first((start_of(day, place) for day in days), after)


def next_birthday(birthday: Birthday, after: datetime, zone: str, policy: BirthdayPolicy) -> datetime | None:
    """The first instant after `after` at which a birthday begins; None where the lunar tables end."""
    place = ZoneInfo(zone)
    year = after.astimezone(place).year
    days = (day for near in range(year, year + _YEARS) for day in birthday.days(near, policy))
    return _first((start_of(day, place) for day in days), after)


def _first(instants: Iterable[datetime], after: datetime) -> datetime | None:
    return min((each for each in instants if each > after), default=None)
