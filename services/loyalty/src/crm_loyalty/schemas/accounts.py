"""Movements of points as they are asked for and answered."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from crm_loyalty.models.ledger import Entry, Kind
from crm_loyalty.postings import Movement, Order
from crm_loyalty.schemas.base import MAX_POINTS, Points, Text
from crm_loyalty.schemas.pools import AccountPoolOut
from crm_shared.fields import Whole

ExternalName = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200, pattern=r"^[^\x00]*$")
]


class OrderIn(BaseModel):
    """What a shop calls an order, as in the purchase that it tells of."""

    model_config = ConfigDict(extra="forbid")

    source: ExternalName
    external_id: ExternalName

    def order(self) -> Order:
        return Order(self.source, self.external_id)


class SpendIn(BaseModel):
    """Points to be paid with."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"points": 25, "reason": "mug"}]}
    )

    points: Points
    reason: Text | None = Field(default=None, description="what for, in words")
    order: OrderIn | None = Field(
        default=None,
        description="the order that is paid with them: they come back as it is refunded; named by staff only",
    )


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


class ReverseIn(BaseModel):
    """A movement to be undone."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"reason": "wrong account"}]})

    reason: Text


class AccountOut(BaseModel):
    """What a customer has; after a merge, in all accounts together."""

    model_config = ConfigDict(from_attributes=True)

    customer_id: UUID
    balance: int = Field(description="points owned, held ones included, less those owed")
    held: int = Field(description="of these, reserved by holds")
    owed: int = Field(
        description="points to be earned before any can be spent: taken back by refunds too late"
    )
    available: int = Field(description="own points that can be spent: balance without held, never below zero")
    version: int | None = Field(description="rises with every movement; null for a state of the past")
    pool: AccountPoolOut | None = Field(
        default=None, description="what can be spent together with others; null: in no pool, or of the past"
    )


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
            available=max(movement.balance - movement.held, 0),
            recorded_at=movement.recorded_at,
        )


class LineOut(BaseModel):
    """What one earning rule gave for one line of a purchase, and how that was reckoned."""

    rule: str
    version: int
    points: int
    text: str
    line: int | None = Field(
        default=None, description="position in the purchase; null: for the purchase as a whole"
    )


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
    moved_by: UUID = Field(
        description="the id to which the movement was addressed: another customer's where a member of the"
        " pool spent these points"
    )
    reverses: UUID | None = Field(description="the transaction that this one undoes, or a part of it")
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
                "moved_by": transaction.account.origin_customer_id,
                "reverses": transaction.reverses,
                "effective_at": transaction.effective_at,
                "recorded_at": entry.recorded_at,
            }
        )


class LotOut(BaseModel):
    """Points that came together and expire together; below zero: a debt."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    account_id: UUID
    transaction_id: UUID
    amount: int
    remaining: int
    earned_at: datetime
    expires_at: datetime | None = Field(description="null: never, or by inactivity")
    idle_days: int | None = Field(description="lapse after so many days without a movement")
    policy_version: int | None = Field(description="the points policy that says when")


class ExpirationOut(BaseModel):
    """Points that cannot be spent any more from an instant on, unless they are spent before."""

    model_config = ConfigDict(from_attributes=True)

    expires_at: datetime
    points: int = Field(description="what the lots that end then have left, held points included")
    lots: int = Field(description="how many lots these are")
    policy_versions: list[int] = Field(description="the points policies under which they were earned")


class PendingOut(BaseModel):
    """Points of a purchase or an event that can be spent once their time has come."""

    model_config = ConfigDict(from_attributes=True)

    purchase_id: UUID | None = Field(description="null: they are of an event")
    event_id: UUID | None = Field(description="null: they are of a purchase")
    event_type: str | None
    points: int = Field(description="what refunds so far have left of them; not in the balance yet")
    explanation: list[LineOut] = Field(description="the earning rules that gave points, before refunds")
    occurred_at: datetime
    available_at: datetime
