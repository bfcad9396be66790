"""Earning rules as they are written and answered."""

from datetime import date, datetime, time
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from crm_loyalty.rules.earning import Choice
from crm_loyalty.rules.periods import Period
from crm_loyalty.schemas.base import Points, Text
from crm_shared.contracts.calendars import CalendarCode, HolidayKey
from crm_shared.contracts.segmentation import Level
from crm_shared.fields import Day, Instant, Whole, whole

RuleKey = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,63}$", max_length=64)]
Name = Annotated[
    str, StringConstraints(strip_whitespace=True, max_length=200, pattern=r"^[^\x00]*\S[^\x00]*$")
]
Names = Annotated[list[Name], Field(max_length=1000)]
Currency = Annotated[str, Field(pattern="^[A-Z]{3}$", max_length=3)]
Amount = Annotated[int, Field(strict=True, ge=1, le=1_000_000_000_000), whole]
RatePoints = Annotated[int, Field(strict=True, ge=1, le=1_000_000), whole]
TimeOfDay = Annotated[
    str, StringConstraints(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9])?$", max_length=8)
]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class PerAmountIn(_Strict):
    """So many points for each whole such amount of the lines that count."""

    kind: Literal["per_amount"]
    points: RatePoints
    per_amount: Whole = Field(ge=1, le=1_000_000_000, description="minor units of the currency")


class PerItemIn(_Strict):
    """So many points for each piece of the lines that count."""

    kind: Literal["per_item"]
    points: RatePoints


class FixedIn(_Strict):
    """So many points for the purchase, whatever it cost."""

    kind: Literal["fixed"]
    points: Points


class MultiplierIn(_Strict):
    """So many per cent of what another group's rules give for the lines that count, besides that."""

    kind: Literal["multiplier"]
    percent: Whole = Field(ge=1, le=10_000, description="100: as much again")
    of: RuleKey = Field(description="the group whose points are multiplied; it has no multiplier itself")


RateIn = Annotated[PerAmountIn | PerItemIn | FixedIn | MultiplierIn, Field(discriminator="kind")]


class DaysIn(_Strict):
    """Days of the programme's calendar."""

    since: Day = Field(description="the first day")
    until: Day = Field(description="the first day after")

    @field_validator("until")
    @classmethod
    def _ends_after_it_begins(cls, until: date, info: ValidationInfo) -> date:
        if (since := info.data.get("since")) and until <= since:
            raise PydanticCustomError("until_not_after_since", "until must come after since")
        return until


class HoursIn(_Strict):
    """Times of day by the programme's clocks; over midnight when it ends earlier than it begins."""

    since: TimeOfDay = Field(description="the first second", examples=["18:00"])
    until: TimeOfDay = Field(description="the first second after", examples=["22:00:00"])

    @field_validator("until")
    @classmethod
    def _is_not_empty(cls, until: str, info: ValidationInfo) -> str:
        since = info.data.get("since")
        if since and time.fromisoformat(until) == time.fromisoformat(since):
            raise PydanticCustomError("until_is_since", "until must be another time than since")
        return until


class BirthdayIn(_Strict):
    """The customer's birthday, and maybe days around it."""

    days_before: Whole = Field(default=0, ge=0, le=60)
    days_after: Whole = Field(default=0, ge=0, le=60)


class HolidayIn(_Strict):
    """A holiday of one of the calendars."""

    calendar: CalendarCode = Field(examples=["US"])
    key: HolidayKey = Field(examples=["christmas"])


class WhenIn(_Strict):
    """All conditions that are given must hold; of a list, one of its members.

    `products`, `categories` and `brands` say which lines of a purchase count: rate and minimum amount are of
    these. Days and hours are those of the programme's time zone at the time of the purchase.
    """

    min_amount: Amount | None = Field(default=None, description="minor units of the currency")
    products: Names = []
    categories: Names = []
    brands: Names = []
    channels: Names = []
    shops: Names = []
    levels: list[Level] = Field(default=[], max_length=10, description="the customer's level")
    tiers: Names = Field(default=[], description="the customer's tier")
    weekdays: list[Annotated[Whole, Field(ge=1, le=7)]] = Field(
        default=[], max_length=7, description="1 is Monday"
    )
    days_of_month: list[Annotated[Whole, Field(ge=-1, le=31, json_schema_extra={"not": {"const": 0}})]] = (
        Field(default=[], max_length=32, description="-1 is the last day, however long the month is")
    )
    dates: list[DaysIn] = Field(default=[], max_length=100)
    hours: list[HoursIn] = Field(default=[], max_length=24)
    purchase_numbers: list[Annotated[Whole, Field(ge=1, le=1_000_000)]] = Field(
        default=[], max_length=100, description="[1]: only the customer's first purchase that we heard of"
    )
    every_nth_purchase: Whole | None = Field(default=None, ge=2, le=1_000_000)
    birthday: BirthdayIn | None = Field(
        default=None, description="around the customer's birthday, in the calendar in which they keep it"
    )
    holidays: list[HolidayIn] = Field(
        default=[], max_length=100, description="on their own days, not on days off in their stead"
    )

    @field_validator("days_of_month")
    @classmethod
    def _exist(cls, days: list[int]) -> list[int]:
        if 0 in days:
            raise PydanticCustomError("day_zero", "Days are from 1 to 31, or -1 for the last")
        return days


class CapIn(_Strict):
    """At most so many points per customer in each period of the programme's calendar."""

    period: Period
    points: Points


class EarningRuleIn(_Strict):
    """What a purchase earns by this rule, and when."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "description": "2 points per whole dollar of each purchase",
                    "currency": "USD",
                    "rate": {"kind": "per_amount", "points": 2, "per_amount": 100},
                    "group": "base",
                },
                {
                    "description": "Double points for jazz on Tuesday evenings",
                    "rate": {"kind": "multiplier", "percent": 100, "of": "base"},
                    "when": {
                        "categories": ["jazz"],
                        "weekdays": [2],
                        "hours": [{"since": "18:00", "until": "22:00"}],
                    },
                    "caps": [{"period": "month", "points": 500}],
                    "budget": 100000,
                    "group": "promotions",
                    "choice": "best",
                },
            ]
        },
    )

    description: Text
    currency: Currency | None = Field(default=None, description="null: purchases in any")
    rate: RateIn
    when: WhenIn = Field(default_factory=WhenIn)
    caps: list[CapIn] = Field(default=[], max_length=6)
    budget: Whole | None = Field(
        default=None, ge=1, le=10**15, description="points in all: the last ones are given to the last one"
    )
    priority: Whole = Field(default=0, ge=-1000, le=1000, description="higher comes first")
    group: RuleKey | None = None
    choice: Choice = Field(
        default=Choice.ALL,
        description="which rules of the group count: all, the best, or the first that gives any",
    )
    pending_days: Whole = Field(
        default=0,
        ge=0,
        le=365,
        description="days from the purchase until its points can be spent; of several rules the longest",
    )
    active: bool = True
    valid_from: Instant | None = Field(default=None, description="purchases from this instant on")
    valid_until: Instant | None = Field(default=None, description="purchases before this instant")

    @field_validator("rate")
    @classmethod
    def _amounts_have_a_currency(cls, rate: RateIn, info: ValidationInfo) -> RateIn:
        if rate.kind == "per_amount" and info.data.get("currency", "") is None:
            raise PydanticCustomError("currency_missing", "An amount needs a currency")
        return rate

    @field_validator("when")
    @classmethod
    def _a_minimum_has_a_currency(cls, when: WhenIn, info: ValidationInfo) -> WhenIn:
        if when.min_amount is not None and info.data.get("currency", "") is None:
            raise PydanticCustomError("currency_missing", "A minimum amount needs a currency")
        return when

    @field_validator("caps")
    @classmethod
    def _one_per_period(cls, caps: list[CapIn]) -> list[CapIn]:
        if len({cap.period for cap in caps}) < len(caps):
            raise PydanticCustomError("cap_repeated", "Each period has one cap at most")
        return caps

    @field_validator("group")
    @classmethod
    def _multiplies_another(cls, group: str | None, info: ValidationInfo) -> str | None:
        rate = info.data.get("rate")
        if isinstance(rate, MultiplierIn) and rate.of == group:
            raise PydanticCustomError("multiplies_itself", "A rule cannot multiply its own group")
        return group

    @field_validator("choice")
    @classmethod
    def _chooses_in_a_group(cls, choice: Choice, info: ValidationInfo) -> Choice:
        if choice is not Choice.ALL and info.data.get("group", "") is None:
            raise PydanticCustomError("group_missing", "A choice is made within a group: name it")
        return choice

    @field_validator("valid_until")
    @classmethod
    def _ends_after_it_begins(cls, until: datetime | None, info: ValidationInfo) -> datetime | None:
        since = info.data.get("valid_from")
        if until and since and until <= since:
            raise PydanticCustomError("until_not_after_from", "valid_until must come after valid_from")
        return until


class EarningRuleOut(EarningRuleIn):
    """The newest version of a rule."""

    model_config = ConfigDict(extra="ignore", from_attributes=True)

    key: str
    version: int
    explanation: str = Field(description="the rule in words, made from its terms")
    created_at: datetime
    created_by: str
