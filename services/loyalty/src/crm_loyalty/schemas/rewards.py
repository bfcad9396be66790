"""Rewards and their orders as they are written and answered."""

from datetime import datetime
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from crm_loyalty.models.rewards import OrderState, OrderStep, Reward, RewardKind, RewardOrder, RewardStock
from crm_loyalty.schemas.base import Key, Points, Text, Translations
from crm_loyalty.schemas.segments import SegmentsIn, require_somebody
from crm_shared.fields import Instant, Whole, require_range

MAX_QUANTITY = 100
MAX_STOCK = 1_000_000_000


class RewardIn(BaseModel):
    """Something that points can be exchanged for, under which conditions."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "kind": "gift",
                    "names": {"en": "A record bag", "zh": "唱片袋"},
                    "points": 500,
                    "limited": True,
                    "max_per_customer": 2,
                }
            ]
        },
    )

    kind: RewardKind
    names: Translations
    points: Points = Field(description="the price of one")
    limited: bool = Field(default=True, description="its stock is kept; else there is always enough")
    max_per_customer: Whole | None = Field(
        default=None, ge=1, le=MAX_STOCK, description="in all of a customer's orders that are not cancelled"
    )
    max_total: Whole | None = Field(
        default=None, ge=1, le=MAX_STOCK, description="in all orders that are not cancelled"
    )
    tiers: list[Key] = Field(default=[], max_length=50, description="only for these tiers; none: for all")
    levels: list[Key] = Field(default=[], max_length=50, description="only for these levels; none: for all")
    segments: SegmentsIn = Field(default=SegmentsIn(), description="only for customers in and out of these")
    needs_approval: bool = Field(default=False, description="somebody approves each order before it is sent")
    coupon_series: Key | None = Field(
        default=None, description="for a coupon or a discount: the series of which each piece is one"
    )
    active: bool = True
    valid_from: Instant | None = Field(default=None, description="can be ordered from this instant on")
    valid_until: Instant | None = Field(default=None, description="can be ordered before this instant")

    @model_validator(mode="after")
    def _has_what_it_gives(self) -> "RewardIn":
        if (self.kind is RewardKind.GIFT) != (self.coupon_series is None):
            raise PydanticCustomError(
                "coupon_series_mismatch", "A coupon or a discount has a coupon_series, and a gift has none"
            )
        return self

    @model_validator(mode="after")
    def _is_for_somebody(self) -> "RewardIn":
        require_somebody(self.segments, at=("segments",))
        return self

    @model_validator(mode="after")
    def _ends_after_it_begins(self) -> "RewardIn":
        require_range(self, "valid_from", "valid_until")
        return self


class RewardOut(BaseModel):
    """The newest version of a reward, and how many there are."""

    model_config = ConfigDict(from_attributes=True)

    key: str
    version: int
    kind: RewardKind
    names: Translations
    points: int
    limited: bool
    max_per_customer: int | None
    max_total: int | None
    tiers: list[str]
    levels: list[str] | None = Field(description="null for customers: they need not know these names")
    segments: SegmentsIn | None = Field(description="null for customers")
    needs_approval: bool
    coupon_series: str | None
    active: bool
    valid_from: datetime | None
    valid_until: datetime | None
    created_at: datetime
    created_by: str | None = Field(description="null for customers")
    remaining: int | None = Field(description="how many are left to order; null: as many as anybody wants")
    ordered: int = Field(description="how many were ordered, without cancelled orders")

    @classmethod
    def of(cls, reward: Reward, stock: RewardStock | None, *, to_staff: bool = True) -> "RewardOut":
        """With or without what customers need not know."""
        remaining = (stock.remaining if stock else 0) if reward.limited else None
        shown = {"remaining": remaining, "ordered": stock.ordered if stock else 0}
        if not to_staff:
            shown |= dict.fromkeys(("levels", "segments", "created_by"))
        return cls(**{name: getattr(reward, name) for name in cls.model_fields if name not in shown}, **shown)


class RestockIn(BaseModel):
    """How many came into stock, or with a negative number went."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"change": 100}]})

    change: Whole = Field(ge=-MAX_STOCK, le=MAX_STOCK)


class RewardOrderIn(BaseModel):
    """What a customer wants for points."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"reward": "record-bag", "deliver_to": "Canton Road 5, Hong Kong"}]},
    )

    reward: Key
    quantity: Whole = Field(default=1, ge=1, le=MAX_QUANTITY)
    deliver_to: Text | None = Field(default=None, description="where to, in words; default: as on file")


class ShipIn(BaseModel):
    """How the parcel can be followed."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"tracking": "SF1029384756"}]})

    tracking: Text | None = None


class RewardOrderStepOut(BaseModel):
    """That an order came into a state."""

    model_config = ConfigDict(from_attributes=True)

    state: OrderState
    at: datetime
    by: str


class RewardOrderOut(BaseModel):
    """A reward that was paid with points, and where it is."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    customer_id: UUID
    reward: str
    reward_version: int
    kind: RewardKind
    quantity: int
    points: int = Field(description="paid for all of it")
    state: OrderState
    version: int
    deliver_to: str | None
    tracking: str | None
    ordered_at: datetime
    changed_at: datetime

    @classmethod
    def of(cls, order: RewardOrder) -> "RewardOrderOut":
        return cls(reward=order.reward_key, **_fields(cls, order))


class RewardOrderWithStepsOut(RewardOrderOut):
    """An order with its history, oldest first."""

    steps: list[RewardOrderStepOut]

    @classmethod
    def with_steps(cls, order: RewardOrder, steps: list[OrderStep]) -> "RewardOrderWithStepsOut":
        told = [RewardOrderStepOut.model_validate(step) for step in steps]
        return cls(reward=order.reward_key, steps=told, **_fields(RewardOrderOut, order))


def _fields(body: type[RewardOrderOut], order: RewardOrder) -> dict[str, object]:
    return {name: getattr(order, name) for name in body.model_fields if name != "reward"}
