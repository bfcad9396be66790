"""What a calendar is made of: time zone, working hours, rules for holidays, working days that make up."""

from enum import StrEnum
from itertools import pairwise
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from crm_shared.contracts.permissions import ClockTime, DayOfWeek
from crm_shared.fields import Day, TimeZone, Whole, require_range, whole

CalendarCode = Annotated[str, StringConstraints(pattern="^[A-Z][A-Z0-9-]{1,31}$", max_length=32)]
"""A country's, such as CN, or one of the company's own."""
HolidayKey = Annotated[str, StringConstraints(pattern="^[a-z][a-z0-9-]{0,63}$", max_length=64)]
Language = Annotated[str, StringConstraints(pattern="^[a-z]{2,3}(-[A-Za-z0-9]{2,8})*$", max_length=35)]
Name = Annotated[
    str, StringConstraints(strip_whitespace=True, max_length=100, pattern=r"^[^\x00]*\S[^\x00]*$")
]
EndTime = Annotated[str, StringConstraints(pattern="^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$", max_length=5)]
Year = Annotated[int, Field(strict=True, ge=1900, le=2999), whole]
Month = Annotated[int, Field(strict=True, ge=1, le=12), whole]

LONGEST_MONTH = {2: 29, 4: 30, 6: 30, 9: 30, 11: 30}


class Observed(StrEnum):
    """Which day is off besides when a holiday falls on a weekend."""

    SAME_DAY = "same_day"
    """None: it is lost."""
    NEAREST_WEEKDAY = "nearest_weekday"
    """Friday for a Saturday, Monday for a Sunday."""
    NEXT_MONDAY = "next_monday"


class EasterOf(StrEnum):
    """By which reckoning."""

    WESTERN = "western"
    ORTHODOX = "orthodox"


class LeapDay(StrEnum):
    """When somebody born on 29 February has a birthday in the other years."""

    FEBRUARY_28 = "february_28"
    MARCH_1 = "march_1"


class LeapMonth(StrEnum):
    """When somebody born in a leap month has a birthday in a lunar year that has this leap month again.

    In the other years it is the month of the same number.
    """

    LEAP = "leap"
    REGULAR = "regular"


class ShortMonth(StrEnum):
    """When somebody born on the 30th has a birthday in a year in which the lunar month has 29 days."""

    LAST_DAY = "last_day"
    NEXT_DAY = "next_day"


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True)


class Hours(_Part):
    """From one time on the calendar's clock until before another of the same day; 24:00 is its end."""

    start: ClockTime = Field(examples=["09:00"])
    end: EndTime = Field(examples=["18:00"])

    @model_validator(mode="after")
    def _ends_after_it_starts(self) -> Self:
        require_range(self, "start", "end")
        return self


def _apart(hours: list[Hours]) -> list[Hours]:
    in_order = sorted(hours, key=lambda each: each.start)
    if any(later.start < earlier.end for earlier, later in pairwise(in_order)):
        raise PydanticCustomError("hours_overlap", "Hours of one day do not overlap")
    return hours


HoursOfDay = Annotated[list[Hours], Field(max_length=8), AfterValidator(_apart)]


class WorkingHours(_Part):
    """The hours of some days of the week."""

    days: list[DayOfWeek] = Field(
        min_length=1, max_length=7, description="1 is Monday", examples=[[1, 2, 3, 4, 5]]
    )
    hours: HoursOfDay = Field(min_length=1, examples=[[{"start": "09:00", "end": "18:00"}]])


class _Holiday(_Part):
    """What all rules have; one that starts on a day that a year lacks does not happen in that year."""

    key: HolidayKey = Field(examples=["national-day"])
    names: dict[Language, Name] = Field(
        min_length=1, max_length=20, examples=[{"en": "National Day", "zh": "国庆节"}]
    )
    hours: HoursOfDay | None = Field(
        default=[],
        description="when there is work all the same; none by default, null: as on any such day",
    )
    from_year: Year | None = Field(default=None, description="the first year that has it")
    until_year: Year | None = Field(default=None, description="the last year that has it")
    length: Whole = Field(default=1, ge=1, le=31, description="so many days one after the other")
    offset: Whole = Field(default=0, ge=-120, le=120, description="so many days later, or earlier")
    observed: Observed = Observed.SAME_DAY


class FixedHoliday(_Holiday):
    """The same date each year."""

    kind: Literal["fixed"]
    month: Month = Field(examples=[10])
    day: Whole = Field(ge=1, le=31, examples=[1])

    @model_validator(mode="after")
    def _exists(self) -> Self:
        if self.day > LONGEST_MONTH.get(self.month, 31):
            raise PydanticCustomError("date_impossible", "No year has such a day")
        return self


class WeekdayHoliday(_Holiday):
    """The n-th such weekday of a month."""

    kind: Literal["weekday"]
    month: Month = Field(examples=[11])
    weekday: DayOfWeek = Field(description="1 is Monday", examples=[4])
    nth: Literal[1, 2, 3, 4, 5, -1] = Field(description="-1: the last one", examples=[4])


class EasterHoliday(_Holiday):
    """So many days (`offset`) after Easter Sunday: -2 is Good Friday."""

    kind: Literal["easter"]
    reckoning: EasterOf = EasterOf.WESTERN


class LunarHoliday(_Holiday):
    """A day of the Chinese lunar calendar, never in a leap month; the 30th of a short month is its last."""

    kind: Literal["lunar"]
    month: Month = Field(examples=[8])
    day: Whole = Field(ge=1, le=30, examples=[15])


class QingmingHoliday(_Holiday):
    """The day on which the sun reaches the solar term Pure Brightness in China."""

    kind: Literal["qingming"]


class DatesHoliday(_Holiday):
    """Days that somebody decides on, such as a government each year."""

    kind: Literal["dates"]
    dates: list[Day] = Field(min_length=1, max_length=400, examples=[["2026-10-05", "2026-10-06"]])


Holiday = Annotated[
    FixedHoliday | WeekdayHoliday | EasterHoliday | LunarHoliday | QingmingHoliday | DatesHoliday,
    Field(discriminator="kind"),
]


def _distinct_keys(holidays: list[Holiday]) -> list[Holiday]:
    if len({holiday.key for holiday in holidays}) < len(holidays):
        raise PydanticCustomError("holiday_twice", "Each holiday has a key of its own")
    return holidays


class MakeUpDay(_Part):
    """A working day that would be none by weekday or holiday: it prevails over both."""

    on: Day = Field(examples=["2026-10-10"])
    like: DayOfWeek = Field(default=1, description="the weekday whose hours it has; 1 is Monday")


def _distinct_days(days: list[MakeUpDay]) -> list[MakeUpDay]:
    if len({day.on for day in days}) < len(days):
        raise PydanticCustomError("day_twice", "Each day makes up once")
    return days


def _distinct_weekdays(working: list[WorkingHours]) -> list[WorkingHours]:
    named = [day for each in working for day in each.days]
    if len(set(named)) < len(named):
        raise PydanticCustomError("weekday_twice", "Each weekday has its hours once")
    return working


class BirthdayPolicy(_Part):
    """When people have a birthday in years that lack the day on which they were born."""

    leap_day: LeapDay = LeapDay.FEBRUARY_28
    leap_month: LeapMonth = LeapMonth.LEAP
    short_month: ShortMonth = ShortMonth.LAST_DAY


class Calendar(_Part):
    """When there is work and what is celebrated, in one region or one part of the company."""

    name: Name = Field(examples=["China"])
    time_zone: TimeZone = Field(examples=["Asia/Shanghai"])
    working_hours: Annotated[list[WorkingHours], AfterValidator(_distinct_weekdays)] = Field(
        max_length=7, description="weekdays that are not named have none"
    )
    holidays: Annotated[list[Holiday], AfterValidator(_distinct_keys)] = Field(max_length=100)
    make_up_days: Annotated[list[MakeUpDay], AfterValidator(_distinct_days)] = Field(
        default=[], max_length=400
    )
    known_until: Year | None = Field(
        default=None,
        description="the last year for which all has been announced: later ones follow from rules alone;"
        " null: nothing is announced here",
    )
    birthdays: BirthdayPolicy = BirthdayPolicy()
