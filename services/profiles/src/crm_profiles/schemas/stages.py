"""Stages of the life cycle as they are set and answered."""

from datetime import date, datetime
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, JsonValue, StringConstraints

from crm_profiles.models.stages import StagePolicy
from crm_profiles.rules.lifecycle import Stage
from crm_profiles.schemas.base import Body
from crm_shared.fields import Instant, whole

Days = Annotated[int, Field(ge=1, le=3650, strict=True), whole]
Reason = Annotated[str, StringConstraints(max_length=40, pattern="^[a-z][a-z0-9_]*$")]
Note = Annotated[str, StringConstraints(strip_whitespace=True, max_length=2000, pattern=r"\S")]


class SilenceDays(Body):
    """For each stage the days without a sign of life after which somebody counts as gone."""

    awareness: Days
    interaction: Days
    transaction: Days
    maintenance: Days
    reactivation: Days


_DAYS: dict[str, JsonValue] = {
    "awareness": 180,
    "interaction": 180,
    "transaction": 365,
    "maintenance": 365,
    "reactivation": 180,
}


class StagePolicyIn(Body):
    """By which silences customers are counted as gone."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"silence_days": _DAYS}]})

    silence_days: SilenceDays


class StagePolicyOut(BaseModel):
    """The policy in force."""

    model_config = ConfigDict(from_attributes=True)

    version: int
    silence_days: SilenceDays
    created_at: datetime
    created_by: str | None = Field(max_length=255)

    @classmethod
    def of(cls, policy: StagePolicy) -> "StagePolicyOut":
        return cls.model_validate(policy)


class SpellOut(BaseModel):
    """A stay in one stage."""

    model_config = ConfigDict(from_attributes=True)

    stage: Stage
    since: datetime = Field(description="in business time: when it happened, not when we were told")
    until: datetime | None = Field(description="null: they are there now")
    reason: str = Field(max_length=40, description="what they did, `silence`, or why they say that they left")
    explanation: str = Field(max_length=300)
    ref: UUID | None = Field(description="the entry of the timeline that led to it")
    policy_version: int


class StagesOut(BaseModel):
    """In which stage a customer is, and was; all null while we have not looked at them yet."""

    customer_id: UUID
    stage: Stage | None
    since: datetime | None
    silent_at: datetime | None = Field(description="when silence alone will make it an exit")
    version: int
    spells: list[SpellOut] = Field(description="every stay, the first one first")


class ExitIn(Body):
    """Somebody says that they leave."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"reason": "moved", "note": "Went to Madrid; may come back."}]}
    )

    reason: Reason = Field(description="a code such as moved, competitor, price, service, deceased")
    note: Note | None = None
    occurred_at: Instant | None = Field(default=None, description="default: now")


class ExitOut(BaseModel):
    """The entry of the timeline that tells of it; the stage follows in a moment."""

    entry_id: UUID


class FunnelStepOut(BaseModel):
    """One step of the funnel."""

    stage: Stage
    reached: int = Field(description="numerator: customers of the cohort who got here, or further")
    previous: int = Field(description="denominator: those who reached the step before")
    conversion: float | None = Field(description="reached / previous; null when nobody could")


class FunnelOut(BaseModel):
    """How far those who became known in a period have come."""

    definition: str = Field(max_length=500)
    begin: date
    end: date
    cohort: int = Field(description="customers on file who became known in the period")
    steps: list[FunnelStepOut]
    left: int = Field(description="customers of the cohort who left at least once")
    came_back: int = Field(description="customers of the cohort who were reactivated at least once")


class DwellOut(BaseModel):
    """How long stays in one stage lasted."""

    stage: Stage
    stays: int
    median_days: float
    p90_days: float


class DwellTimesOut(BaseModel):
    """How long customers stayed in each stage."""

    definition: str = Field(max_length=500)
    begin: date
    end: date
    stages: list[DwellOut]


class ExitReasonOut(BaseModel):
    """How many left for one reason."""

    reason: str = Field(max_length=40)
    exits: int = Field(description="numerator")
    share: float = Field(description="exits / all exits of the period")
    came_back: int = Field(description="of these exits, those that ended in a reactivation")


class ExitReasonsOut(BaseModel):
    """Why customers left."""

    definition: str = Field(max_length=500)
    begin: date
    end: date
    exits: int = Field(description="denominator: all exits of the period")
    reasons: list[ExitReasonOut]
