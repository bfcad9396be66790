"""Promotions, how points pay, and quotes, as they are written and answered."""

from datetime import datetime
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator
from pydantic_core import PydanticCustomError

from crm_loyalty.models.quotes import QuoteState
from crm_loyalty.rules.pricing import BASIS, EffectKind, ValueKind
from crm_loyalty.schemas.base import MAX_POINTS, Currency, Key, Text, Translations, WhyNotOut
from crm_loyalty.schemas.baskets import MAX_PRICE, BasketIn, OrderReference, Product
from crm_loyalty.schemas.coupons import Code
from crm_loyalty.schemas.discounts import DiscountIn
from crm_loyalty.schemas.earning_rules import WhenIn
from crm_loyalty.schemas.segments import require_somebody
from crm_shared.fields import Instant, Whole, require_range

MAX_COUPONS = 5
"""In one quote: all their combinations are tried."""


class PromotionIn(DiscountIn):
    """What is taken off for everybody whom the conditions fit, when they fit."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "names": {"en": "Member day: 5 % off"},
                    "value": "percent",
                    "basis_points": 500,
                    "when": {"days_of_month": [8], "levels": ["vip"]},
                    "group": "days",
                },
                {
                    "names": {"en": "Opening: 10 off, 100 times"},
                    "value": "amount",
                    "amount": 1000,
                    "currency": "USD",
                    "budget": 100000,
                },
            ]
        },
    )

    when: WhenIn = Field(default_factory=WhenIn, description="the conditions of earning rules; all must hold")
    budget: Whole | None = Field(
        default=None,
        ge=1,
        le=10**15,
        description=(
            "what it takes off in all, in minor units of `currency`: counted when a price is taken, and given"
            " back when that is released or nothing is left of the order. The last one gets what is left,"
            " though it be less than the whole discount; null: no limit"
        ),
    )
    group: Key | None = Field(default=None, description="of the promotions of a group the best counts")
    priority: Whole = Field(default=0, ge=-1000, le=1000, description="higher comes first")
    active: bool = True
    valid_from: Instant | None = Field(default=None, description="from this instant on")
    valid_until: Instant | None = Field(default=None, description="before this instant")

    @field_validator("budget")
    @classmethod
    def _is_of_a_currency(cls, budget: int | None, info: ValidationInfo) -> int | None:
        if budget is not None and info.data.get("currency", "") is None:
            raise PydanticCustomError("currency_missing", "Say of which currency the budget is")
        return budget

    @model_validator(mode="after")
    def _is_for_somebody(self) -> "PromotionIn":
        require_somebody(self.when.segments, at=("when", "segments"))
        return self

    @model_validator(mode="after")
    def _ends_after_it_begins(self) -> "PromotionIn":
        require_range(self, "valid_from", "valid_until")
        return self


class PromotionOut(BaseModel):
    """The newest version of a promotion."""

    model_config = ConfigDict(from_attributes=True)

    key: str
    version: int
    names: Translations
    value: ValueKind
    amount: int | None
    currency: str | None
    basis_points: int | None
    max_discount: int | None
    free_product: str | None
    when: WhenIn
    budget: int | None = Field(description="what it takes off in all; null: no limit")
    used: int | None = Field(
        description="what it has taken off in its currency, all versions together: off the prices that were"
        " taken, without those that were released or of whose orders nothing is left; null: it is for any"
        " currency"
    )
    left: int | None = Field(description="`budget` less `used`, never below 0; null: no limit")
    group: str | None
    priority: int
    active: bool
    valid_from: datetime | None
    valid_until: datetime | None
    created_at: datetime
    created_by: str


class PaymentPolicyIn(BaseModel):
    """What points are worth when a customer pays with them."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"currency": "USD", "points": 100, "amount": 100, "max_basis_points": 5000}]
        },
    )

    currency: Currency
    points: Whole = Field(ge=1, le=MAX_POINTS, description="so many points ...")
    amount: Whole = Field(ge=1, le=MAX_PRICE, description="... pay so many minor units; never a part of it")
    max_basis_points: Whole = Field(
        default=BASIS, ge=1, le=BASIS, description="at most this part of what is to pay: 5000 is half of it"
    )
    quote_minutes: Whole = Field(default=15, ge=1, le=1440, description="for so long a quote holds")


class PaymentPolicyOut(BaseModel):
    """The policy in force."""

    model_config = ConfigDict(from_attributes=True)

    version: int
    currency: str
    points: int
    amount: int
    max_basis_points: int
    quote_minutes: int
    created_at: datetime
    created_by: str


class QuoteIn(BaseModel):
    """What somebody wants to buy, and what they want to use for it."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "customer_id": "019a8f3e-5c00-7000-8000-0123456789ab",
                    "basket": {"currency": "USD", "lines": [{"price": 2999, "category": "jazz"}]},
                    "coupons": ["YGKH99-4KS26E-5DVG9U"],
                    "points": 500,
                }
            ]
        },
    )

    customer_id: UUID
    basket: BasketIn
    coupons: list[Code] = Field(default=[], max_length=MAX_COUPONS)
    points: Whole = Field(default=0, ge=0, le=MAX_POINTS, description="to pay with, at most")
    channel: Product | None = None
    shop: Product | None = None


class EffectOut(BaseModel):
    """What one rule took off."""

    model_config = ConfigDict(from_attributes=True)

    kind: EffectKind
    key: str = Field(description="of a coupon its id")
    rule: str
    version: int
    amount: int = Field(description="minor units")
    lines: list[int] = Field(description="off each line; they add up to the amount")
    points: int = Field(description="points that this takes")


def _kind_of(key: str) -> EffectKind:
    """Of prices that were named before the kind was kept with the key."""
    return EffectKind.POINTS if key == EffectKind.POINTS else EffectKind.COUPON


class NotUsedOut(WhyNotOut):
    """What was asked for and does not count, with the code that the real request would answer.

    Of promotions those that would count if anything were left of their budgets.
    """

    key: str = Field(description="the coupon's id, points, or the promotion's key")
    kind: EffectKind = Field(default_factory=lambda said: _kind_of(said["key"]))


class PriceOut(BaseModel):
    """The price: subtotal less all effects, in the order in which they count, is the total."""

    currency: str
    subtotal: int = Field(description="the lines at their prices, in minor units")
    total: int = Field(description="what is left to pay")
    lines: list[int] = Field(description="of it for each line; they add up to the total")
    effects: list[EffectOut]
    not_used: list[NotUsedOut]
    points_to_earn: int = Field(
        description="what the lines would earn now, after discounts; what is paid with points counts as paid"
    )


class QuoteOut(PriceOut):
    """A price that holds for a while."""

    id: UUID
    customer_id: UUID
    state: QuoteState = Field(
        description="`committed`: taken for the `order`; `purchased`: the order was bought since; `released`:"
        " what was taken was given back"
    )
    quoted_at: datetime
    expires_at: datetime
    committed_at: datetime | None
    order: OrderReference | None


class ReleaseIn(BaseModel):
    """Why a price that was taken is let go."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"reason": "the card was declined"}]}
    )

    reason: Text = Field(description="in words; kept with the points that come back")


class CommitIn(BaseModel):
    """For which order the price is taken."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"order": {"source": "shop", "external_id": "1017"}}]},
    )

    order: OrderReference
