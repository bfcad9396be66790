"""The bodies of segmentation's requests and answers."""

from datetime import date, datetime
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, model_validator

from crm_segmentation.models import LevelThresholds
from crm_shared.contracts.base import Money
from crm_shared.contracts.segmentation import Level
from crm_shared.fields import Day, TimeZone, Whole, whole

Days = Annotated[int, Field(strict=True, ge=0, le=36_500), whole]


class VipIn(BaseModel):
    """A VIP has spent this much, and bought within so many days."""

    model_config = ConfigDict(extra="forbid")

    monetary: Money
    recency_days: Days = Field(description="days from the last purchase to the business day, at most")


class ImportantIn(BaseModel):
    """An important customer has spent this much, whenever that was."""

    model_config = ConfigDict(extra="forbid")

    monetary: Money


class OrdinaryIn(BaseModel):
    """An ordinary customer has bought so many times, or within so many days."""

    model_config = ConfigDict(extra="forbid")

    frequency: Whole = Field(ge=1, le=1_000_000, description="number of purchases, at least")
    recency_days: Days = Field(description="days from the last purchase to the business day, at most")


class ThresholdsIn(BaseModel):
    """From which numbers on a customer has a level; who reaches none of them is potential."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "vip": {"monetary": {"amount": 25000, "currency": "USD"}, "recency_days": 180},
                    "important": {"monetary": {"amount": 10000, "currency": "USD"}},
                    "ordinary": {"frequency": 2, "recency_days": 365},
                }
            ]
        },
    )

    vip: VipIn
    important: ImportantIn
    ordinary: OrdinaryIn

    @model_validator(mode="after")
    def _levels_rise(self) -> "ThresholdsIn":
        if self.vip.monetary.currency != self.important.monetary.currency:
            raise ValueError("both amounts must have the same currency: the one that spending is measured in")
        if not 0 < self.important.monetary.amount <= self.vip.monetary.amount:
            raise ValueError("the amounts must be positive, and a VIP's not below an important customer's")
        return self


class ThresholdsOut(BaseModel):
    """The thresholds in force."""

    version: int
    vip: VipIn
    important: ImportantIn
    ordinary: OrdinaryIn
    created_at: datetime
    created_by: str | None = None

    @classmethod
    def of(cls, row: LevelThresholds) -> "ThresholdsOut":
        return cls(
            version=row.version,
            vip=VipIn(
                monetary=Money(amount=row.vip_monetary, currency=row.currency),
                recency_days=row.vip_recency_days,
            ),
            important=ImportantIn(monetary=Money(amount=row.important_monetary, currency=row.currency)),
            ordinary=OrdinaryIn(frequency=row.ordinary_frequency, recency_days=row.ordinary_recency_days),
            created_at=row.created_at,
            created_by=row.created_by,
        )


class BusinessDayIn(BaseModel):
    """As of which day levels are decided; null follows the clock."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"business_day": "1998-06-30", "time_zone": "UTC"}]}
    )

    business_day: Day | None = Field(description="later purchases are not counted")
    time_zone: TimeZone = Field(default="UTC", description="where the day begins and ends")


class BusinessDayOut(BaseModel):
    """As of which day levels are decided."""

    business_day: date | None = Field(description="the day that was set; null: the clock's")
    time_zone: str
    in_force: date = Field(description="the day that counts now")
    version: int


class LevelCountOut(BaseModel):
    """How many customers have a level, and what it takes."""

    level: Level
    customers: int
    definition: str


class LevelsOut(BaseModel):
    """How many customers have each level. Every customer has exactly one."""

    business_day: date
    thresholds_version: int
    customers: int = Field(description="all who are known here; who was merged into somebody is not counted")
    recomputing: bool = Field(description="a change of day or thresholds has not reached everybody yet")
    items: list[LevelCountOut]


class RfmOut(BaseModel):
    """A customer's recency, frequency and monetary value as of the business day, and their level."""

    customer_id: UUID
    business_day: date
    recency_days: int | None = Field(
        default=None, description="days from the last purchase to the business day; null: nothing bought"
    )
    frequency: int = Field(
        description="number of purchases up to the business day, in any currency; one that was given back"
        " as a whole by then is none"
    )
    monetary: Money = Field(
        description="sum of these purchases less what was given back of them up to the business day, in the"
        " thresholds' currency"
    )
    other_currencies: list[Money] = Field(description="sums in other currencies: not converted, not counted")
    first_purchase_on: date | None = None
    last_purchase_on: date | None = None
    level: Level | None = Field(default=None, description="null: nobody by this id is known here")
    reason: str | None = Field(default=None, description="the figures and thresholds that led to the level")
    thresholds_version: int | None = None


class SegmentationSummaryOut(BaseModel):
    """What segmentation has to say of a customer at a glance."""

    customer_id: UUID
    business_day: date
    level: Level | None
    reason: str | None
    recency_days: int | None
    frequency: int
    monetary: Money | None
    first_purchase_on: date | None
    last_purchase_on: date | None
