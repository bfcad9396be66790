"""Adjustments as they are asked for, decided and answered."""

from datetime import datetime
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from crm_loyalty.models.adjustments import AdjustmentState
from crm_loyalty.schemas.accounts import AdjustIn
from crm_loyalty.schemas.base import Text


class AdjustmentIn(AdjustIn):
    """Points that somebody wants to put right."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "customer_id": "018f0000-0000-7000-8000-000000000001",
                    "points": 5000,
                    "reason": "parcel was lost",
                }
            ]
        },
    )

    customer_id: UUID


class AdjustmentDecisionIn(BaseModel):
    """What the second person says to it."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"note": "seen the parcel"}]})

    note: Text | None = None


class AdjustmentOut(BaseModel):
    """An adjustment, and who let it happen."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    customer_id: UUID
    points: int
    reason: str | None = Field(description="null once the customer was erased")
    state: AdjustmentState
    requested_by: str
    requested_at: datetime
    decided_by: str | None = Field(description="its requester, where no second person was needed")
    decided_at: datetime | None
    note: str | None
    transaction_id: UUID | None = Field(description="what it did, once it is approved")
    version: int
