"""The quality of data, its policy and what is to be verified, as they are sent and answered."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator
from pydantic_core import PydanticCustomError

from crm_profiles.models.quality import Outcome, Subject, TaskReason
from crm_profiles.rules.accuracy import NextStep
from crm_profiles.schemas.base import Body
from crm_shared.fields import whole

Weight = Annotated[int, Field(strict=True, ge=0, le=100), whole]
Days = Annotated[int, Field(strict=True, ge=1, le=3650), whole]

_RULES: dict[str, JsonValue] = {
    "members": {
        "name": 10,
        "phone": 20,
        "email": 20,
        "birth_date": 10,
        "gender": 5,
        "language": 10,
        "region": 5,
        "address": 15,
        "occupation": 5,
    },
    "parts": {"completeness": 60, "validity": 20, "freshness": 20},
    "stale_days": {"phone": 365, "email": 365, "social": 730, "address": 730},
}


class _Weights(Body):
    @model_validator(mode="after")
    def _weighs_something(self) -> "_Weights":
        if not any(dict(self).values()):
            raise PydanticCustomError("weights_empty", "One of them at least must count")
        return self


class MemberWeights(_Weights):
    """How much each member counts for completeness; 0: not at all."""

    name: Weight
    phone: Weight
    email: Weight
    birth_date: Weight
    gender: Weight
    language: Weight
    region: Weight
    address: Weight
    occupation: Weight


class PartWeights(Body):
    """How much each part counts for the score."""

    completeness: Annotated[int, Field(strict=True, ge=1, le=100), whole]
    validity: Weight
    freshness: Weight


class StaleDays(Body):
    """For so many days what was told or confirmed counts as fresh."""

    phone: Days
    email: Days
    social: Days
    address: Days


class QualityPolicyIn(Body):
    """By what the quality of data is judged, as a whole."""

    model_config = ConfigDict(json_schema_extra={"examples": [_RULES]})

    members: MemberWeights
    parts: PartWeights
    stale_days: StaleDays


class QualityPolicyOut(QualityPolicyIn):
    """By what the quality of data is judged."""

    model_config = ConfigDict(extra="ignore")

    version: int
    created_at: datetime
    created_by: str | None = Field(max_length=255)


class QualityPartOut(BaseModel):
    """One part of the score."""

    part: str = Field(max_length=20)
    weight: int
    numerator: int
    denominator: int
    share: float | None = Field(description="numerator / denominator; null: there is nothing to judge by")


class HeldOut(BaseModel):
    """A contact point, masked for who has no scope pii:read, or the address, whose value is empty."""

    subject: Subject
    value: str = Field(max_length=254)


class StaleOut(HeldOut):
    """Something that was told or confirmed too long ago."""

    known_at: datetime = Field(description="when it was told or last confirmed")
    stale_since: datetime


class QualityOut(BaseModel):
    """How good the data of a customer are, and why."""

    customer_id: UUID
    definition: str = Field(max_length=1000)
    policy_version: int
    score: int = Field(ge=0, le=100)
    parts: list[QualityPartOut]
    missing: list[str] = Field(description="members that are not on file, the weightiest first")
    invalid: list[HeldOut] = Field(description="by which, as far as one can tell, nobody is reached")
    stale: list[StaleOut] = Field(description="the stalest first")
    next_step: NextStep = Field(description="what would better the data most")


class WorstOut(BaseModel):
    """How good the data of a customer are, as the worker last saw them."""

    model_config = ConfigDict(from_attributes=True)

    customer_id: UUID
    score: int
    missing: list[str]
    invalid: int = Field(description="contact points that reach nobody, as far as one can tell")
    stale: int = Field(description="contact points and address that are stale")
    computed_at: datetime


class BucketOut(BaseModel):
    """How many customers have a score in this range."""

    lowest: int
    highest: int
    customers: int


class MemberShareOut(BaseModel):
    """How many customers have a member on file."""

    member: str = Field(max_length=20)
    complete: int = Field(description="numerator: customers who have it")
    share: float | None = Field(description="complete / customers")


class QualityReportOut(BaseModel):
    """How good the data of all customers are."""

    definition: str = Field(max_length=2000)
    policy_version: int
    customers: int = Field(description="denominator: customers whose data were assessed")
    mean_score: float | None
    distribution: list[BucketOut]
    members: list[MemberShareOut]
    with_invalid: int = Field(description="customers with a contact point that reaches nobody")
    with_stale: int = Field(description="customers with something stale")
    open_tasks: dict[str, int] = Field(description="what is to be verified, by reason")


class VerificationTaskOut(BaseModel):
    """Something that staff are to verify."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    customer_id: UUID
    subject: Subject
    value: str = Field(max_length=254, description="masked for callers without the scope pii:read")
    reason: TaskReason
    created_at: datetime
    outcome: Outcome | None = Field(description="null: it is still to be done")
    completed_at: datetime | None
    completed_by: str | None = Field(max_length=255)
    version: int


class CompletionIn(Body):
    """What verifying came to; of what is `changed`, the new one is on file already."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"outcome": "confirmed"}]})

    outcome: Outcome


class VerificationIn(Body):
    """What verifying a contact point came to; another one is told by changing the customer."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"outcome": "confirmed"}]})

    outcome: Literal[Outcome.CONFIRMED, Outcome.INVALID]


class VerificationOut(BaseModel):
    """What was last found out about a contact point."""

    model_config = ConfigDict(from_attributes=True)

    customer_id: UUID
    subject: Subject
    value: str = Field(max_length=254, description="normalised")
    outcome: Outcome
    verified_at: datetime
    verified_by: str = Field(max_length=255)
