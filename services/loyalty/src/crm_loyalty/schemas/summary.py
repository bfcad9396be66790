"""A customer's points at a glance, as they are answered."""

from datetime import datetime
from uuid import UUID

from pydantic import BaseModel, Field


class ExpiringOut(BaseModel):
    """Points that will expire at an instant unless they are spent before."""

    points: int
    expires_at: datetime


class OpenHoldOut(BaseModel):
    """Points that are reserved now."""

    id: UUID
    points: int
    reference: str | None
    expires_at: datetime


class SummaryPoolOut(BaseModel):
    """The household with which the customer shares points."""

    pool_id: UUID
    name: str | None = Field(max_length=100, description="null once its head was erased")
    head: bool = Field(description="whether the customer manages it")
    available: int = Field(
        description="what the customer can spend: the own available points and those of the others, as far as"
        " the pool's `spending` and `daily_limit` let them"
    )
    of_others: int = Field(description="how many of these the others have")


class LoyaltySummaryOut(BaseModel):
    """What loyalty contributes to the view of a customer at a glance."""

    customer_id: UUID
    balance: int
    held: int
    available: int
    expiring: list[ExpiringOut] = Field(description="the next five instants at which points expire")
    open_holds: list[OpenHoldOut] = Field(
        description="of those that the customer placed the next ten that run out"
    )
    pool: SummaryPoolOut | None = Field(default=None, description="absent: the customer is in none")
