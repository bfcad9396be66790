"""Coupons as they are written and answered."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, JsonValue, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from crm_loyalty.models.coupons import Coupon, CouponState, CouponUse, OnRefund, UseState
from crm_loyalty.rules.pricing import Stacking, ValueKind
from crm_loyalty.schemas.base import Key, Translations, WhyNotOut
from crm_loyalty.schemas.baskets import MAX_PRICE, BasketIn, OrderReference, Product
from crm_loyalty.schemas.discounts import DiscountIn
from crm_shared.contracts.base import Money
from crm_shared.fields import Instant, Whole, require_range

MAX_COUPONS = 1_000_000
MAX_DAYS = 3660
MAX_RESERVATION = 7 * 24 * 3600

Code = Annotated[
    str,
    StringConstraints(min_length=1, max_length=64, pattern=r"^[^\x00]*$"),
    Field(examples=["YGKH99-4KS26E-5DVG9U"]),
]
Limit = Annotated[Whole | None, Field(default=None, ge=1, le=1_000_000_000)]


class CouponSeriesIn(DiscountIn):
    """The terms of a series: what its coupons are worth, for what, for whom, how often, and until when."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "names": {"en": "15 % off records"},
                    "value": "percent",
                    "basis_points": 1500,
                    "max_discount": 5000,
                    "currency": "USD",
                    "categories": ["records"],
                    "valid_days": 30,
                    "stacking": "best_of",
                    "max_uses_per_customer": 1,
                }
            ]
        },
    )

    products: list[Product] = Field(default=[], max_length=200, description="only for these; none: for all")
    categories: list[Product] = Field(default=[], max_length=200)
    minimum: Whole = Field(
        default=0, ge=0, le=MAX_PRICE, description="what it is for comes to this, before any discount"
    )
    max_issued: Limit = Field(default=None, description="so many are issued at most")
    max_uses: Limit = Field(default=None, description="so many are reserved or redeemed at most")
    max_uses_per_customer: Limit = None
    stacking: Stacking = Field(
        default=Stacking.EXCLUSIVE,
        description="exclusive: alone; best_of: one of these at most; stackable: beside others",
    )
    stacking_class: Key | None = None
    stacks_with: list[Key] = Field(
        default=[], max_length=50, description="classes of coupons it goes together with; none: all"
    )
    valid_from: Instant | None = None
    valid_until: Instant | None = None
    valid_days: Whole | None = Field(
        default=None, ge=1, le=MAX_DAYS, description="days from its issue, and not after valid_until"
    )
    on_refund: OnRefund = Field(
        default=OnRefund.KEEP, description="when the whole order is given back: lost, or to be used again"
    )
    extend_days: Whole = Field(
        default=0, ge=0, le=MAX_DAYS, description="for extend: valid so many days after the refund at least"
    )
    active: bool = Field(default=True, description="false: none is issued, and none can be used")

    @model_validator(mode="after")
    def _makes_sense(self) -> "CouponSeriesIn":
        if self.minimum and self.currency is None:
            raise PydanticCustomError("currency_missing", "Say of which currency the minimum is")
        require_range(self, "valid_from", "valid_until")
        return self


class CouponSeriesOut(BaseModel):
    """The newest version of a series."""

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
    products: list[str]
    categories: list[str]
    minimum: int
    max_issued: int | None
    max_uses: int | None
    max_uses_per_customer: int | None
    stacking: Stacking
    stacking_class: str | None
    stacks_with: list[str]
    valid_from: datetime | None
    valid_until: datetime | None
    valid_days: int | None
    on_refund: OnRefund
    extend_days: int
    active: bool
    created_at: datetime
    created_by: str


class CouponsIn(BaseModel):
    """To whom coupons are issued, one each."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"customer_ids": ["019a8f3e-5c00-7000-8000-0123456789ab"]}]},
    )

    customer_ids: list[UUID] = Field(min_length=1, max_length=1000)


class CouponBatchIn(BaseModel):
    """How many coupons are issued that belong to whoever has their codes."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"count": 5000}]})

    count: Whole = Field(ge=1, le=MAX_COUPONS)


class CouponOut(BaseModel):
    """A coupon; its code is shown where it is listed for its owner or its batch."""

    id: UUID
    series: str
    series_version: int
    hint: str = Field(description="the last signs of its code")
    code: str | None = None
    personal: bool = Field(description="only for its owner; else for whoever has the code")
    state: CouponState
    expired: bool = Field(description="its time is over")
    version: int
    valid_from: datetime | None
    valid_until: datetime | None
    issued_at: datetime

    @classmethod
    def of(cls, coupon: Coupon, *, at: datetime, code: str | None = None) -> "CouponOut":
        own = {"series", "code", "expired"}
        return cls(
            series=coupon.series_key,
            code=code,
            expired=coupon.valid_until is not None and at >= coupon.valid_until,
            **{name: getattr(coupon, name) for name in cls.model_fields if name not in own},
        )


class IssuedCouponsOut(BaseModel):
    """What was issued, in the order of the customers."""

    items: list[CouponOut]


_USE: dict[str, JsonValue] = {
    "code": "YGKH99-4KS26E-5DVG9U",
    "customer_id": "019a8f3e-5c00-7000-8000-0123456789ab",
    "order": {"source": "shop", "external_id": "1017"},
    "basket": {"currency": "USD", "lines": [{"price": 2999, "quantity": 1, "category": "records"}]},
}


class CouponUseIn(BaseModel):
    """Who wants to use a coupon for which order."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [_USE]})

    code: Code
    customer_id: UUID
    order: OrderReference
    basket: BasketIn


class CouponReservationIn(CouponUseIn):
    """The same, for a while."""

    model_config = ConfigDict(json_schema_extra={"examples": [_USE | {"expires_in": 900}]})

    expires_in: Whole = Field(
        default=900, ge=1, le=MAX_RESERVATION, description="seconds after which it is released by itself"
    )


class CouponUseOut(BaseModel):
    """One use of a coupon."""

    id: UUID
    coupon_id: UUID
    series: str
    customer_id: UUID
    state: UseState
    order_source: str
    order_id: str | None
    discount: Money = Field(description="what it takes off the basket by itself")
    reserved_at: datetime
    expires_at: datetime | None
    changed_at: datetime

    @classmethod
    def of(cls, use: CouponUse) -> "CouponUseOut":
        own = {"series", "discount"}
        return cls(
            series=use.series_key,
            discount=Money(amount=use.discount, currency=use.currency),
            **{name: getattr(use, name) for name in cls.model_fields if name not in own},
        )


class CouponVerdictOut(BaseModel):
    """What the real request would answer now."""

    usable: bool
    refusal: WhyNotOut | None
    discount: Money = Field(description="what it takes off the basket by itself")
    coupon: CouponOut
