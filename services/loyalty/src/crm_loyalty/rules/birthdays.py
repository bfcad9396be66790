"""How far a day is from somebody's birthday."""

from datetime import date

from crm_shared.calendars.birthdays import Birthday
from crm_shared.contracts.calendars import BirthdayPolicy


def offset(day: date, birthday: Birthday, policy: BirthdayPolicy) -> int | None:
    """Days since the nearest birthday, negative before it; of two as near the one that is past.

    None where the tables of the lunar calendar end.
    """
    days = [each for year in (day.year - 1, day.year, day.year + 1) for each in birthday.days(year, policy)]
    offsets = [(day - each).days for each in days]
    return min(offsets, key=lambda offset: (abs(offset), -offset), default=None)
