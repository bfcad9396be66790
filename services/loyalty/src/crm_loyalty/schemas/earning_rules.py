"""Earning rules as they are written and answered."""

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from crm_loyalty.schemas.base import Text
from crm_shared.fields import Instant, Whole

RuleKey = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,63}$", max_length=64)]


class EarningRuleIn(BaseModel):
    """So many points for each whole such amount of a purchase, rounded down per purchase."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "description": "2 points per whole dollar of each purchase",
                    "currency": "USD",
                    "points": 2,
                    "per_amount": 100,
                }
            ]
        },
    )

    description: Text
    currency: str = Field(pattern="^[A-Z]{3}$", max_length=3)
    points: Whole = Field(ge=1, le=1_000_000)
    per_amount: Whole = Field(ge=1, le=1_000_000_000, description="minor units of the currency")
    active: bool = True
    valid_from: Instant | None = Field(default=None, description="purchases from this instant on")
    valid_until: Instant | None = Field(default=None, description="purchases before this instant")

    @model_validator(mode="after")
    def _ends_after_it_begins(self) -> "EarningRuleIn":
        if self.valid_from and self.valid_until and self.valid_until <= self.valid_from:
            raise ValueError("valid_until must come after valid_from")
        return self


class EarningRuleOut(BaseModel):
    """The newest version of a rule."""

    model_config = ConfigDict(from_attributes=True)

    key: str
    version: int
    description: str
    currency: str
    points: int
    per_amount: int
    active: bool
    valid_from: datetime | None
    valid_until: datetime | None
    created_at: datetime
    created_by: str
