"""Possible duplicates as they are answered and dismissed."""

from datetime import datetime
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from crm_profiles.models.duplicates import DuplicateState, KeyKind
from crm_profiles.schemas.base import Body
from crm_profiles.schemas.customers import ProfileOut
from crm_profiles.schemas.merges import Reason


class DismissIn(Body):
    """Why two customers are two."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"reason": "father and son"}]})

    reason: Reason | None = None


class MatchReasonOut(BaseModel):
    """Something in which the two agree, or differ."""

    reason: str = Field(max_length=64, examples=["same_birth_date"])
    weight: int = Field(
        description="bits: the binary logarithm of how much likelier it is for one person than for two"
    )
    evidence: str = Field(max_length=500, examples=["1988-04-12"])


class DuplicateOut(BaseModel):
    """Two customers who may be one person."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    first_id: UUID
    second_id: UUID
    first: ProfileOut | None = Field(description="null once they were merged into somebody")
    second: ProfileOut | None = Field(description="null once they were merged into somebody")
    score: float = Field(
        ge=0, le=1, description="probability that they are one person: 1 / (1 + 2^-(sum of weights - 9))"
    )
    reasons: list[MatchReasonOut]
    common_keys: list[KeyKind] = Field(
        default_factory=list,
        description="in what they agree with so many others that not all of those were compared, only the 50"
        " before and the 50 after each by id: there may be more pairs like this one",
        examples=[[KeyKind.EXTERNAL_ID]],
    )
    state: DuplicateState
    found_at: datetime
    settled_at: datetime | None
    settled_by: str | None = Field(max_length=255)
    reason: str | None = Field(max_length=500, description="why it was settled as it was")
    merge_id: UUID | None
