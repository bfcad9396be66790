"""Referrals as they are claimed and answered."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from crm_loyalty.models.referrals import ReferralState
from crm_loyalty.schemas.base import MAX_POINTS, Currency, TypedCode
from crm_shared.fields import Whole, whole

Most = Annotated[int, Field(strict=True, ge=1, le=1_000_000), whole]


class ReferralPolicyIn(BaseModel):
    """What bringing a friend is worth."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "active": True,
                    "points_referrer": 500,
                    "points_friend": 200,
                    "currency": "USD",
                    "minimum_order": 2000,
                    "qualify_days": 30,
                    "return_days": 14,
                    "max_per_referrer": 20,
                }
            ]
        },
    )

    active: bool = Field(description="whether codes can be claimed; what is claimed qualifies all the same")
    points_referrer: Whole = Field(ge=0, le=MAX_POINTS)
    points_friend: Whole = Field(ge=0, le=MAX_POINTS)
    currency: Currency = Field(description="of the orders that count")
    minimum_order: Whole = Field(
        default=0, ge=0, le=2**53, description="what the order comes to at least, in minor units"
    )
    qualify_days: Whole = Field(default=30, ge=1, le=3650, description="after the claim")
    return_days: Whole = Field(
        default=30,
        ge=0,
        le=3650,
        description="an order that is given back as a whole within so many days takes the points back",
    )
    max_per_referrer: Most | None = Field(
        default=None,
        description="friends who qualified or still can; null: any number",
    )


class ReferralPolicyOut(BaseModel):
    """What bringing a friend is worth, in this version."""

    model_config = ConfigDict(from_attributes=True)

    version: int
    active: bool
    points_referrer: int
    points_friend: int
    currency: str
    minimum_order: int
    qualify_days: int
    return_days: int
    max_per_referrer: int | None
    created_at: datetime
    created_by: str


class ReferralCodeOut(BaseModel):
    """A customer's code for friends."""

    customer_id: UUID
    code: str | None = Field(
        description="null when it was made with another secret than today's: it is good, but cannot be shown",
        examples=["7KQ2MX-94RTBH-D3WEYC"],
    )
    made_at: datetime


class ReferralIn(BaseModel):
    """By whose code a new customer came."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {"code": "7KQ2MX-94RTBH-D3WEYC", "customer_id": "018f0000-0000-7000-8000-000000000001"}
            ]
        },
    )

    code: TypedCode
    customer_id: UUID = Field(description="the new customer")


class ReferralOut(BaseModel):
    """Who came by whose code, and what became of it."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    customer_id: UUID = Field(description="the friend")
    referrer_id: UUID = Field(description="for whom the code was made")
    policy_version: int
    state: ReferralState = Field(
        description="`claimed` until an order qualifies it; `void`: they are one person, or the friend had"
        " ordered before; `reversed`: the order was given back"
    )
    claimed_at: datetime
    qualify_by: datetime
    purchase_id: UUID | None
    qualified_at: datetime | None = Field(description="when the order that counts was placed")
    settled_at: datetime | None = Field(description="when the points were given or taken back")
    referrer_transaction_id: UUID | None
    friend_transaction_id: UUID | None
    version: int
