"""Earning rules as they are written and answered."""

from datetime import datetime, time
from typing import Annotated, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    StringConstraints,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from crm_loyalty.rules.earning import Choice
from crm_loyalty.rules.happenings import Property
from crm_loyalty.rules.periods import Period
from crm_loyalty.schemas.base import Currency, Key, Points, Text
from crm_loyalty.schemas.segments import SegmentsIn, require_somebody
from crm_shared.contracts.calendars import CalendarCode, HolidayKey
from crm_shared.contracts.segmentation import Level
from crm_shared.fields import Day, Instant, Whole, fault_at, require_range, whole

Name = Annotated[
    str, StringConstraints(strip_whitespace=True, max_length=200, pattern=r"^[^\x00]*\S[^\x00]*$")
]
Names = Annotated[list[Name], Field(max_length=1000)]
Amount = Annotated[int, Field(strict=True, ge=1, le=1_000_000_000_000), whole]
RatePoints = Annotated[int, Field(strict=True, ge=1, le=1_000_000), whole]
TimeOfDay = Annotated[
    str, StringConstraints(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9])?$", max_length=8)
]
EventType = Annotated[
    str,
    StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,62}(\.[a-z][a-z0-9_]{0,31}){0,2}$", max_length=130),
]
PropertyName = Annotated[
    str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,62}(\.[a-z0-9_-]{1,63})?$", max_length=128)
]
Number = Annotated[int, Field(strict=True, ge=-(2**53), le=2**53), whole]
PropertyValue = StrictBool | Number | Annotated[str, StringConstraints(max_length=200, pattern=r"^[^\x00]*$")]


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
    """So many points for the purchase, whatever it cost, or for the event."""

    kind: Literal["fixed"]
    points: Points


class MultiplierIn(_Strict):
    """So many per cent of what another group's rules give for the lines that count, besides that."""

    kind: Literal["multiplier"]
    percent: Whole = Field(ge=1, le=10_000, description="100: as much again")
    of: Key = Field(description="the group whose points are multiplied; it has no multiplier itself")


RateIn = Annotated[PerAmountIn | PerItemIn | FixedIn | MultiplierIn, Field(discriminator="kind")]


class PropertyIn(_Strict):
    """What a property of an event must be: all that is given; with its name alone, it must be there."""

    name: PropertyName
    one_of: list[PropertyValue] = Field(default=[], max_length=100, description="none: whatever it is")
    at_least: Number | None = None
    at_most: Number | None = None

    def condition(self) -> Property:
        return Property(self.name, tuple(self.one_of), self.at_least, self.at_most)


class EventIn(_Strict):
    """Events of one of these types of which all of this holds."""

    types: list[EventType] = Field(
        min_length=1,
        max_length=20,
        description="as they are reported at `/v1/earning-events`; those with dots come by themselves",
    )
    properties: list[PropertyIn] = Field(default=[], max_length=20)


class DaysIn(_Strict):
    """Days of the programme's calendar."""

    since: Day = Field(description="the first day")
    until: Day = Field(description="the first day after")

    @model_validator(mode="after")
    def _ends_after_it_begins(self) -> Self:
        require_range(self, "since", "until")
        return self


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
    these. Days and hours are those of the programme's time zone at the time of the purchase, or of the event.
    """

    min_amount: Amount | None = Field(default=None, description="minor units of the currency")
    products: Names = []
    categories: Names = []
    brands: Names = []
    channels: Names = []
    shops: Names = []
    levels: list[Level] = Field(default=[], max_length=10, description="the customer's level")
    tiers: Names = Field(default=[], description="the customer's tier")
    segments: SegmentsIn = Field(default=SegmentsIn(), description="those of the customer")
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


_OF_PURCHASES = (
    "min_amount",
    "products",
    "categories",
    "brands",
    "channels",
    "shops",
    "purchase_numbers",
    "every_nth_purchase",
)
"""Conditions that ask nothing of an event."""


class CapIn(_Strict):
    """At most so many points per customer in each period of the programme's calendar."""

    period: Period
    points: Points


class EarningRuleTerms(_Strict):
    """A rule as it is kept; what was written before a check came is read without it."""

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
                {
                    "description": "50 points for a good review, once a month",
                    "event": {
                        "types": ["review_written"],
                        "properties": [{"name": "stars", "at_least": 4}],
                    },
                    "rate": {"kind": "fixed", "points": 50},
                    "when": {"segments": {"none_of": ["employees"]}},
                    "caps": [{"period": "month", "points": 50}],
                },
            ]
        },
    )

    description: Text
    event: EventIn | None = Field(default=None, description="null: the rule is about purchases")
    currency: Currency | None = Field(default=None, description="null: purchases in any")
    rate: RateIn
    when: WhenIn = Field(default_factory=WhenIn)
    caps: list[CapIn] = Field(default=[], max_length=6)
    budget: Whole | None = Field(
        default=None, ge=1, le=10**15, description="points in all: the last ones are given to the last one"
    )
    priority: Whole = Field(default=0, ge=-1000, le=1000, description="higher comes first")
    group: Key | None = None
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

    @field_validator("currency")
    @classmethod
    def _an_event_has_no_currency(cls, currency: str | None, info: ValidationInfo) -> str | None:
        if currency is not None and info.data.get("event"):
            raise PydanticCustomError("not_of_events", "An event has no currency")
        return currency

    @field_validator("rate")
    @classmethod
    def _an_event_has_no_amount(cls, rate: RateIn, info: ValidationInfo) -> RateIn:
        if isinstance(rate, PerAmountIn | PerItemIn) and info.data.get("event"):
            raise PydanticCustomError("not_of_events", "An event has neither amount nor pieces")
        return rate

    @field_validator("when")
    @classmethod
    def _an_event_is_no_purchase(cls, when: WhenIn, info: ValidationInfo) -> WhenIn:
        if info.data.get("event") and (given := [name for name in _OF_PURCHASES if getattr(when, name)]):
            raise PydanticCustomError(
                "not_of_events", "Only purchases have {names}", {"names": ", ".join(given)}
            )
        return when

    @field_validator("caps")
    @classmethod
    def _an_event_has_no_cap_of_purchases(cls, caps: list[CapIn], info: ValidationInfo) -> list[CapIn]:
        if info.data.get("event") and any(cap.period is Period.PURCHASE for cap in caps):
            raise PydanticCustomError("not_of_events", "Only purchases have a cap per purchase")
        return caps

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

    @model_validator(mode="after")
    def _ends_after_it_begins(self) -> Self:
        require_range(self, "valid_from", "valid_until")
        return self


class EarningRuleIn(EarningRuleTerms):
    """What a purchase, or an event, earns by this rule, and when."""

    @model_validator(mode="after")
    def _can_hold(self) -> Self:
        for index, each in enumerate(self.event.properties if self.event else ()):
            at = ("event", "properties", index)
            require_range(each, "at_least", "at_most", at=at, inclusive=True)
            if not each.condition().can_hold:
                error = PydanticCustomError("condition_empty", "None of these is as at_least and at_most ask")
                raise fault_at((*at, "one_of"), error, each.one_of)
        require_somebody(self.when.segments, at=("when", "segments"))
        return self


class EarningRuleOut(EarningRuleTerms):
    """The newest version of a rule."""

    model_config = ConfigDict(extra="ignore", from_attributes=True)

    key: str
    version: int
    explanation: str = Field(description="the rule in words, made from its terms")
    created_at: datetime
    created_by: str
