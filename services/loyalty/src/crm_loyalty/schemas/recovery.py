"""Compensations as they are decided and answered."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from crm_loyalty.models.recovery import RecoveryState
from crm_loyalty.schemas.base import MAX_POINTS, Text
from crm_shared.fields import Whole, whole

Budget = Annotated[int, Field(strict=True, ge=0, le=10**15), whole]

Limit = Annotated[int, Field(strict=True, ge=0, le=MAX_POINTS), whole]


class SeverityPoints(BaseModel):
    """Points for a complaint of each severity; 0: nothing is proposed."""

    model_config = ConfigDict(extra="forbid")

    low: Whole = Field(default=0, ge=0, le=MAX_POINTS)
    normal: Whole = Field(default=0, ge=0, le=MAX_POINTS)
    high: Whole = Field(default=0, ge=0, le=MAX_POINTS)
    critical: Whole = Field(default=0, ge=0, le=MAX_POINTS)


class RecoveryPolicyIn(BaseModel):
    """What an upheld complaint is worth, and who may grant it."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "active": True,
                    "points": {"normal": 100, "high": 500, "critical": 2000},
                    "monthly_budget": 50000,
                    "supervisor_limit": 500,
                }
            ]
        },
    )

    active: bool
    points: SeverityPoints
    monthly_budget: Budget | None = Field(
        default=None,
        description="points granted in a month of the programme's calendar, less those reversed; null: any",
    )
    supervisor_limit: Limit | None = Field(
        default=None,
        description="more points at once need a manager; null: supervisors may grant any",
    )


class RecoveryPolicyOut(BaseModel):
    """What an upheld complaint is worth, in this version."""

    model_config = ConfigDict(from_attributes=True)

    version: int
    active: bool
    points: SeverityPoints
    monthly_budget: int | None
    supervisor_limit: int | None
    created_at: datetime
    created_by: str


class RecoveryDecisionIn(BaseModel):
    """What is said to it."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"note": "regular customer"}]})

    note: Text | None = None


class RecoveryOut(BaseModel):
    """A compensation, and who let it happen."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    customer_id: UUID
    complaint_id: UUID = Field(description="the ticket")
    severity: str
    cause: str | None = Field(description="null once the customer was erased")
    compensation: str | None = Field(
        description="what was proposed with the verdict, in words; null if nothing was, and once the customer"
        " was erased",
        examples=["New discs, and points for the trouble"],
    )
    points: int
    policy_version: int
    state: RecoveryState
    proposed_at: datetime
    proposed_by: str | None = Field(description="who upheld the complaint")
    decided_at: datetime | None
    decided_by: str | None
    note: str | None
    transaction_id: UUID | None = Field(description="what gave the points")
    reversed_at: datetime | None
    reversed_by: str | None
    version: int
