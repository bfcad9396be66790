"""When points expire: whole days of the programme's time zone, whatever its clocks do in between."""

from calendar import monthrange
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

from crm_shared.calendars.clocks import start_of


class ExpiryRule(StrEnum):
    """What decides how long points live."""

    NEVER = "never"
    DAYS = "days"
    END_OF_MONTH = "end_of_month"
    END_OF_YEAR = "end_of_year"
    INACTIVITY = "inactivity"


@dataclass(frozen=True, slots=True)
class Expiry:
    """A rule, and after how many days or months it ends a lot; `after` is None for never."""

    rule: ExpiryRule
    after: int | None
    zone: ZoneInfo

    @property
    def idle_days(self) -> int | None:
        """After how many days without a movement points lapse; None: they do not."""
        return self.after if self.rule is ExpiryRule.INACTIVITY else None

    def of(self, earned_at: datetime) -> datetime | None:
        """The instant from which on points earned then cannot be spent; None: none is fixed.

        Points can be spent all through their last day, so it is the midnight after that day: the n-th after
        the day on which they were earned, or the last of the month or year that is n months later.
        """
        if self.after is None or self.rule in (ExpiryRule.NEVER, ExpiryRule.INACTIVITY):
            return None
        day = earned_at.astimezone(self.zone).date()
        if self.rule is ExpiryRule.DAYS:
            return _after(day + timedelta(days=self.after), self.zone)
        year, month = divmod(day.year * 12 + day.month - 1 + self.after, 12)
        month = 12 if self.rule is ExpiryRule.END_OF_YEAR else month + 1
        return _after(date(year, month, monthrange(year, month)[1]), self.zone)


def lapses_at(active_at: datetime, idle_days: int, zone: ZoneInfo) -> datetime:
    """When points lapse of somebody who moved none since: after the n-th whole day without a movement."""
    return _after(active_at.astimezone(zone).date() + timedelta(days=idle_days), zone)


def notice_at(expires_at: datetime, notice_days: int, zone: ZoneInfo) -> datetime:
    """When to tell of it: at midnight, so many days of the zone before."""
    day = expires_at.astimezone(zone).date() - timedelta(days=notice_days)
    return start_of(day, zone)


def _after(day: date, zone: ZoneInfo) -> datetime:
    return start_of(day + timedelta(days=1), zone)
