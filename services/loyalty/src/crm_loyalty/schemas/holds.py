"""Holds as they are asked for and answered."""

from datetime import datetime
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from crm_loyalty.models.ledger import HoldState
from crm_loyalty.schemas.accounts import OrderIn
from crm_loyalty.schemas.base import Points, Text
from crm_shared.fields import Whole

MAX_HOLD_SECONDS = 30 * 24 * 3600


class HoldIn(BaseModel):
    """Points to be reserved for a while."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"points": 25, "expires_in": 900, "reference": "order 1017"}]},
    )

    points: Points
    expires_in: Whole = Field(
        ge=1, le=MAX_HOLD_SECONDS, description="seconds after which it runs out by itself"
    )
    reference: Text | None = Field(default=None, description="what it is for, in words")
    order: OrderIn | None = Field(
        default=None,
        description="the order that will be paid with them: they come back as it is refunded; named by staff"
        " only",
    )


class HoldOut(BaseModel):
    """Reserved points."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    customer_id: UUID
    points: int
    state: HoldState
    reference: str | None
    placed_at: datetime
    expires_at: datetime = Field(description="when it runs out by itself")
    resolved_at: datetime | None
