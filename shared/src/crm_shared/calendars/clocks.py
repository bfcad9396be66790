"""Times on a clock of a place, as instants, also on the days when the clock is changed."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

_SECOND = timedelta(seconds=1)
_DAY = timedelta(days=1)


def instant_of(day: date, minutes: int, zone: ZoneInfo) -> datetime:
    """The first instant at which the clock shows so many minutes of that day, or has jumped past them.

    Later times have later instants, or the same one; 1440 minutes are the beginning of the next day.
    """
    whole_days, rest = divmod(minutes, 24 * 60)
    shown = datetime.combine(day + whole_days * _DAY, time(rest // 60, rest % 60))
    found = shown.replace(tzinfo=zone).astimezone(UTC)
    if found.astimezone(zone).replace(tzinfo=None) == shown:
        return found
    return _jump(shown, zone)


def start_of(day: date, zone: ZoneInfo) -> datetime:
    """The first instant of the day."""
    return instant_of(day, 0, zone)


def _jump(shown: datetime, zone: ZoneInfo) -> datetime:
    """The instant at which the clock jumps past a time that it never shows."""
    before = shown.replace(tzinfo=zone, fold=1).astimezone(UTC)
    after = shown.replace(tzinfo=zone).astimezone(UTC)
    while after - before > _SECOND:
        middle = before + (after - before) // 2 // _SECOND * _SECOND
        if middle.astimezone(zone).replace(tzinfo=None) < shown:
            before = middle
        else:
            after = middle
    return after
