"""The programme's report as it is answered."""

from datetime import date, datetime
from enum import StrEnum

from pydantic import BaseModel, Field

from crm_shared.contracts.base import Money


class LiabilityBucket(StrEnum):
    """When points expire that customers have."""

    OVERDUE = "overdue"
    WITHIN_30_DAYS = "within_30_days"
    WITHIN_90_DAYS = "within_90_days"
    WITHIN_180_DAYS = "within_180_days"
    WITHIN_365_DAYS = "within_365_days"
    LATER = "later"
    INACTIVITY = "inactivity"
    NEVER = "never"
    OWED = "owed"


class LiabilityPartOut(BaseModel):
    """Points that expire at about the same time."""

    bucket: LiabilityBucket
    points: int
    value: Money
    definition: str


class LiabilityOut(BaseModel):
    """What the programme owes its customers at the instant of the report."""

    points: int
    value: Money
    definition: str
    parts: list[LiabilityPartOut] = Field(description="they add up to the points")


class Origin(StrEnum):
    """What points were given for."""

    PURCHASES = "purchases"
    EVENTS = "events"
    CARE = "care"
    REFERRALS = "referrals"
    ACTIVITIES = "activities"
    COMPENSATIONS = "compensations"
    ADJUSTMENTS = "adjustments"
    OTHER = "other"


class GivenPartOut(BaseModel):
    """Points that were given for one kind of thing."""

    origin: Origin
    points: int
    definition: str


class GivenOut(BaseModel):
    """What the programme gave its customers in the period."""

    points: int
    definition: str
    parts: list[GivenPartOut] = Field(description="they add up to the points")


class RateOut(BaseModel):
    """A share, and what it is made of."""

    rate: float | None = Field(description="numerator per denominator; null without a denominator")
    numerator: int
    denominator: int
    definition: str


class CohortOut(RateOut):
    """How many of those who came in one month bought again."""

    month: date = Field(description="its first day")


class ProgrammeReportOut(BaseModel):
    """The programme over some days, in figures of one instant."""

    first_day: date
    last_day: date
    time_zone: str = Field(description="the programme's: its days begin there")
    at: datetime = Field(description="the instant of the figures")
    liability: LiabilityOut = Field(description="at the instant of the report, whatever its days")
    given: GivenOut
    breakage: RateOut
    redemption: RateOut
    active_members: RateOut
    repeat_rate: list[CohortOut] = Field(
        description="of each month in the period in which customers bought for the first time"
    )
