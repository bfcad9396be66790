"""Holds as they are asked for and answered."""

from datetime import datetime
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from crm_loyalty.models.ledger import Hold, HoldState
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


class AccountHoldOut(HoldOut):
    """Reserved points as they concern one account: the customer's hold, or one of another in their pool."""

    customer_id: UUID = Field(description="who placed it: another customer where a member of the pool did")
    own_points: int = Field(
        description="how many of the points are the account's own; of all open holds together they are its"
        " `held`"
    )
    reference: str | None = Field(description="what it is for, in words; null where another placed it")

    @classmethod
    def of(cls, hold: Hold, owner: UUID, own_points: int) -> "AccountHoldOut":
        """What another wants the points for is theirs to tell."""
        return cls(
            id=hold.id,
            customer_id=hold.customer_id,
            points=hold.points,
            own_points=own_points,
            state=hold.state,
            reference=hold.reference if hold.customer_id == owner else None,
            placed_at=hold.placed_at,
            expires_at=hold.expires_at,
            resolved_at=hold.resolved_at,
        )
