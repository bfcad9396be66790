"""When care is due: birthdays as keys that can be looked up, and times of the customer's day as instants."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from crm_shared.calendars import clocks, lunar
from crm_shared.calendars.birthdays import Birthday, SolarBirthday, birthdays_on
from crm_shared.calendars.days import minutes_of
from crm_shared.contracts.calendars import BirthdayPolicy

_LUNAR = "l"
_WEST, _EAST = timedelta(hours=-12), timedelta(hours=14)
_DAY = timedelta(days=1)


def key_of(birthday: Birthday) -> str:
    """08-15 is a solar birthday, l08-15 a lunar one, l06-01+ one of a leap month."""
    day = f"{birthday.month:02}-{birthday.day:02}"
    if isinstance(birthday, SolarBirthday):
        return day
    return f"{_LUNAR}{day}{'+' if birthday.leap_month else ''}"


def keys_on(day: date, policy: BirthdayPolicy) -> list[str]:
    """The keys of all who have a birthday that day."""
    return sorted(key_of(each) for each in birthdays_on(day, policy))


def birthday_cycle(key: str, day: date) -> str:
    """The year that the birthday belongs to; of a lunar birthday the lunar one, which ends later."""
    return str(lunar.from_gregorian(day).year if key.startswith(_LUNAR) else day.year)


def days_begun(at: datetime) -> list[date]:
    """The days that it is anywhere on earth, the earliest first."""
    first, last = (at + _WEST).date(), (at + _EAST).date()
    return [first + number * _DAY for number in range((last - first).days + 1)]


def earliest_start(day: date) -> datetime:
    """When the day begins where it begins first."""
    return datetime.combine(day, time(), UTC) - _EAST


def latest_end(day: date) -> datetime:
    """When the day ends where it ends last."""
    return datetime.combine(day + _DAY, time(), UTC) - _WEST


def opens_at(day: date, start: str, zone: ZoneInfo) -> datetime:
    """The instant of that time on the customer's clock."""
    return clocks.instant_of(day, minutes_of(start), zone)


def gives_up_at(day: date, patience_days: int, zone: ZoneInfo) -> datetime:
    """From when on it is too late: the end of the last day on which it may still happen."""
    return clocks.start_of(day + (patience_days + 1) * _DAY, zone)


def next_open(at: datetime, start: str, end: str, zone: ZoneInfo) -> datetime:
    """The first instant from `at` on that lies between these times on the customer's clock."""
    today = at.astimezone(zone).date()
    for day in (today, today + _DAY, today + 2 * _DAY):
        opens, closes = opens_at(day, start, zone), opens_at(day, end, zone)
        if at < closes:
            return max(at, opens)
    return opens_at(today + _DAY, start, zone)
