"""Calendars as pure functions over plain values: days and their hours, holidays, birthdays, working time."""

from datetime import date, datetime
from zoneinfo import ZoneInfo


def day_of(instant: datetime, zone: str) -> date:
    """The calendar day on which the instant falls in the time zone (an IANA name)."""
    return instant.astimezone(ZoneInfo(zone)).date()
