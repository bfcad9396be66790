"""The bodies of loyalty's requests and answers."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from crm_loyalty.models import Entry, HoldState, Kind
from crm_loyalty.postings import Movement
from crm_shared.fields import Instant, Whole, whole

MAX_POINTS = 1_000_000_000
MAX_HOLD_SECONDS = 30 * 24 * 3600

Points = Annotated[int, Field(strict=True, ge=1, le=MAX_POINTS, examples=[25]), whole]
Text = Annotated[str, StringConstraints(strip_whitespace=True, max_length=500, pattern=r"\S")]
RuleKey = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,63}$", max_length=64)]


class SpendIn(BaseModel):
    """Points to be paid with."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"points": 25, "reason": "mug"}]}
    )

    points: Points
    reason: Text | None = Field(default=None, description="what for, in words")


class AdjustIn(BaseModel):
    """Points to be put right by hand: given, or taken with a negative number."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"points": 100, "reason": "parcel was lost"}]}
    )

    points: Whole = Field(ge=-MAX_POINTS, le=MAX_POINTS, json_schema_extra={"not": {"const": 0}})
    reason: Text

    @model_validator(mode="after")
    def _something_changes(self) -> "AdjustIn":
        if self.points == 0:
            raise ValueError("an adjustment changes something")
        return self


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


class AccountOut(BaseModel):
    """What a customer has; after a merge, in all accounts together."""

    model_config = ConfigDict(from_attributes=True)

    customer_id: UUID
    balance: int = Field(description="points owned, held ones included")
    held: int = Field(description="of these, reserved by holds")
    available: int = Field(description="what can be spent: balance without held")
    version: int | None = Field(description="rises with every movement; null for a state of the past")


class MovementOut(BaseModel):
    """A movement of points, and what the customer had after it."""

    transaction_id: UUID
    customer_id: UUID
    kind: Kind
    points: int
    balance: int
    held: int
    available: int
    recorded_at: datetime

    @classmethod
    def of(cls, customer_id: UUID, movement: Movement) -> "MovementOut":
        return cls(
            transaction_id=movement.id,
            customer_id=customer_id,
            kind=movement.kind,
            points=movement.points,
            balance=movement.balance,
            held=movement.held,
            available=movement.balance - movement.held,
            recorded_at=movement.recorded_at,
        )


class LineOut(BaseModel):
    """What one earning rule gave, and how that was reckoned."""

    rule: str
    version: int
    points: int
    text: str


class EntryOut(BaseModel):
    """Points that came or went."""

    id: UUID
    transaction_id: UUID
    account_id: UUID
    kind: Kind
    amount: int = Field(description="points that came; negative: that went")
    source: str = Field(description="who asked for it")
    reference: str = Field(description="what the source calls it")
    reason: str | None = Field(description="why, in words")
    explanation: list[LineOut] = Field(description="the earning rules that gave points")
    hold_id: UUID | None = Field(description="the hold that was captured")
    effective_at: datetime = Field(description="when it happened in the business")
    recorded_at: datetime = Field(description="when it was written")

    @classmethod
    def of(cls, entry: Entry) -> "EntryOut":
        transaction = entry.transaction
        return cls.model_validate(
            {
                "id": entry.id,
                "transaction_id": transaction.id,
                "account_id": entry.account_id,
                "kind": transaction.kind,
                "amount": entry.amount,
                "source": transaction.source,
                "reference": transaction.reference,
                "reason": transaction.reason.text if transaction.reason else None,
                "explanation": transaction.explanation,
                "hold_id": transaction.hold_id,
                "effective_at": transaction.effective_at,
                "recorded_at": entry.recorded_at,
            }
        )


class LotOut(BaseModel):
    """Points that came together and expire together."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    account_id: UUID
    transaction_id: UUID
    amount: int
    remaining: int
    earned_at: datetime
    expires_at: datetime | None = Field(description="null: never")


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


class FigureOut(BaseModel):
    """A number and what it counts."""

    value: int
    definition: str


class ProgrammeOut(BaseModel):
    """The programme in figures."""

    accounts: FigureOut
    issued: FigureOut
    redeemed: FigureOut
    adjusted: FigureOut
    outstanding: FigureOut
    held: FigureOut


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


class LoyaltySummaryOut(BaseModel):
    """What loyalty contributes to the view of a customer at a glance."""

    customer_id: UUID
    balance: int
    held: int
    available: int
    expiring: list[ExpiringOut] = Field(description="the next five instants at which points expire")
    open_holds: list[OpenHoldOut] = Field(description="the next ten that run out")
