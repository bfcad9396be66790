"""Periods of the programme's calendar: which day, week, month or year an instant belongs to."""

from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

from crm_shared.calendars.clocks import start_of


class Period(StrEnum):
    """What a cap counts in; a week begins on Monday."""

    PURCHASE = "purchase"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    YEAR = "year"
    TOTAL = "total"


_BEGINNING, _END = datetime(1, 1, 2, tzinfo=UTC), datetime(9999, 12, 30, tzinfo=UTC)


def window(period: Period, instant: datetime, zone: str) -> tuple[datetime, datetime]:
    """The first instant of the period that holds this one, and the first after it; midnights of the zone."""
    if period in (Period.TOTAL, Period.PURCHASE):
        return _BEGINNING, _END
    place = ZoneInfo(zone)
    day = instant.astimezone(place).date()
    match period:
        case Period.DAY:
            first, after = day, day + timedelta(days=1)
        case Period.WEEK:
            first = day - timedelta(days=day.weekday())
            after = first + timedelta(days=7)
        case Period.MONTH:
            first = day.replace(day=1)
            after = (first + timedelta(days=31)).replace(day=1)
        case _:
            first, after = date(day.year, 1, 1), date(day.year + 1, 1, 1)
    return start_of(first, place), start_of(after, place)
