"""Pools and their members as they are written and answered."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from crm_loyalty.models.pools import Ending, MemberState, Spending
from crm_loyalty.schemas.base import Points

PoolName = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100, pattern=r"\S")
]


class PoolPatch(BaseModel):
    """Members that are absent stay as they are, null clears (RFC 7396)."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"daily_limit": None}]})

    # Null is refused for these two: the defaults are never used, for only what was sent is applied.
    name: PoolName = Field(default_factory=str)
    spending: Spending = Field(
        default=Spending.ANY,
        description="who may spend and reserve what all have: `any` member, or the `head` only",
    )
    daily_limit: Points | None = Field(
        default=None,
        description="points of the others that each member may spend or reserve in one day of the programme's"
        " zone; null: no limit",
    )


class PoolIn(PoolPatch):
    """A household that shares its points."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "head": "018f0000-0000-7000-8000-000000000001",
                    "name": "The Garcías",
                    "spending": "any",
                    "daily_limit": 500,
                }
            ]
        }
    )

    head: UUID = Field(description="the customer who manages it and is its first member")
    name: PoolName


class PoolOut(BaseModel):
    """A household that shares its points."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    name: str | None = Field(max_length=100, description="null once its head was erased")
    spending: Spending
    daily_limit: int | None
    created_at: datetime
    created_by: str = Field(max_length=255)
    dissolved_at: datetime | None
    version: int


class InviteeIn(BaseModel):
    """Whom to ask into a pool."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"customer_id": "018f0000-0000-7000-8000-000000000002"}]},
    )

    customer_id: UUID


class PoolMemberOut(BaseModel):
    """A customer's time in a pool, from the invitation on."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    pool_id: UUID
    customer_id: UUID
    head: bool = Field(description="manages the pool; of who is gone: did when they went")
    state: MemberState
    ending: Ending | None = Field(
        description="how an invitation (`declined`, `withdrawn`) or a membership ended; `merged`: the"
        " customer was merged with one who has another pool"
    )
    invited_at: datetime
    joined_at: datetime | None
    ended_at: datetime | None
    version: int


class PoolShareOut(BaseModel):
    """What a member has of one other member's points, or their own."""

    model_config = ConfigDict(from_attributes=True)

    customer_id: UUID
    available: int = Field(description="their balance without what is held, never below zero")


class AccountPoolOut(BaseModel):
    """What the customer can spend together with the other members of the pool."""

    model_config = ConfigDict(from_attributes=True)

    pool_id: UUID
    name: str | None = Field(max_length=100)
    spending: Spending
    head: UUID
    daily_limit: int | None
    drawn_today: int = Field(
        description="points of the others that the customer has spent or reserved today; 0 without a limit"
    )
    available: int = Field(
        description="what the customer can spend: the own available points and those of the others, as far as"
        " `spending` and `daily_limit` let them"
    )
    shares: list[PoolShareOut] = Field(max_length=50, description="whose points these are")
