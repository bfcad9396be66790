"""Purchases as they are sent and answered."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator
from pydantic_core import PydanticCustomError

from crm_profiles.fields import Label, Name, Reference, Region, Source
from crm_profiles.models.purchases import Purchase, PurchaseLine, PurchaseStatus, SalesChannel
from crm_profiles.schemas.base import MAX_BATCH, Body, Verdict
from crm_profiles.schemas.customers import ContactPoints, CustomerReference
from crm_profiles.schemas.refunds import RefundOut
from crm_shared.contracts.base import Money
from crm_shared.fields import Instant, Whole

MAX_NAMES = 6000

_ORDER: dict[str, JsonValue] = {
    "source": "web-shop",
    "external_id": "2026-000123",
    "customer": {"source": "web-shop", "external_id": "c-4711"},
    "occurred_at": "2026-02-27T12:00:00Z",
    "currency": "USD",
    "lines": [{"product": "CD", "quantity": 1, "total": {"amount": 2933, "currency": "USD"}}],
}
_DETAILED: dict[str, JsonValue] = _ORDER | {
    "customer": {
        "source": "web-shop",
        "external_id": "c-4711",
        "name": "王小明",
        "contact_points": [{"kind": "email", "value": "Xiaoming.Wang@example.com"}],
    },
    "channel": "web",
    "lines": [
        {
            "product": "CD",
            "category": "music",
            "brand": "Blue Note",
            "quantity": 2,
            "price": {"amount": 1500, "currency": "USD"},
            "discount": {"amount": 67, "currency": "USD"},
            "total": {"amount": 2933, "currency": "USD"},
        }
    ],
}


class PurchaseVerdict(Verdict):
    """What became of one purchase of a batch."""

    purchase_id: UUID | None = None


class PurchaseBatchOut(BaseModel):
    """A verdict per item, in the order of the items."""

    items: list[PurchaseVerdict]
    counts: dict[str, int] = Field(description="items by status", examples=[{"created": 1}])


class PurchaseLineIn(Body):
    """One line of an order; `total` is what was paid for all of its pieces.

    Where price and discount are both given, price times quantity less the discount is the total.
    """

    product: Label | None = None
    category: Label | None = None
    brand: Label | None = None
    quantity: Whole = Field(ge=1, le=1_000_000)
    price: Money | None = Field(default=None, description="of one piece, before the discount")
    discount: Money | None = Field(default=None, description="of all pieces together")
    total: Money

    @model_validator(mode="after")
    def _adds_up(self) -> "PurchaseLineIn":
        parts = [part for part in (self.price, self.discount, self.total) if part is not None]
        if any(part.currency != self.total.currency for part in parts):
            raise PydanticCustomError("currency_mixed", "Price, discount and total have one currency")
        if any(part.amount < 0 for part in parts):
            raise PydanticCustomError("amount_out_of_range", "Amounts lie between 0 and 2^53")
        if self.price is not None and self.discount is not None:
            expected = self.price.amount * self.quantity - self.discount.amount
            if expected != self.total.amount:
                raise PydanticCustomError(
                    "line_differs", "Price times quantity less the discount is not the total"
                )
        return self

    @property
    def names(self) -> list[str]:
        return [name for name in (self.product, self.category, self.brand) if name is not None]


class PurchaseCustomerIn(CustomerReference):
    """Who bought, as the shop knows them; with a name, somebody unknown becomes known."""

    name: Name | None = Field(default=None, description="absent: only somebody known can have bought")
    region: Region | None = Field(default=None, description="where phone numbers without country code are of")
    contact_points: ContactPoints = Field(
        default_factory=list, description="of a new customer; somebody known stays as they are"
    )

    @property
    def key(self) -> tuple[str, str]:
        return self.source, self.external_id


class PurchaseIn(Body):
    """An order as the shop tells of it; its total is the sum of its lines."""

    model_config = ConfigDict(json_schema_extra={"examples": [_ORDER, _DETAILED]})

    source: Source
    external_id: Reference
    customer_id: UUID | None = Field(default=None, description="either this or `customer`")
    customer: PurchaseCustomerIn | None = None
    occurred_at: Instant = Field(description="when it happened in the shop")
    channel: SalesChannel | None = Field(default=None, description="where it was bought")
    shop: Label | None = None
    currency: str = Field(pattern="^[A-Z]{3}$", examples=["USD"])
    lines: list[PurchaseLineIn] = Field(min_length=1, max_length=100)

    @model_validator(mode="after")
    def _adds_up(self) -> "PurchaseIn":
        if (self.customer_id is None) == (self.customer is None):
            raise PydanticCustomError("customer_ambiguous", "Name the customer by customer_id or by customer")
        if any(line.total.currency != self.currency for line in self.lines):
            raise PydanticCustomError("currency_mixed", "Every line has the currency of the order")
        # An event holds 64 KiB at most, and each of these characters may need six of them.
        if sum(len(name) for line in self.lines for name in line.names) > MAX_NAMES:
            raise PydanticCustomError(
                "names_too_long", f"All names in the lines together have {MAX_NAMES} characters"
            )
        if self.amount > 2**53:
            raise PydanticCustomError("amount_out_of_range", "Totals lie between 0 and 2^53")
        return self

    @property
    def amount(self) -> int:
        return sum(line.total.amount for line in self.lines)


class PurchaseBatchIn(Body):
    """Up to a thousand purchases; each stands for itself."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"items": [_ORDER]}]})

    items: list[dict[str, Any]] = Field(
        min_length=1,
        max_length=MAX_BATCH,
        description="Each a purchase as `POST /v1/purchases` takes it; one that is faulty fails alone.",
    )


class PurchaseLineOut(BaseModel):
    """One line of an order."""

    line: int
    product: str | None = Field(max_length=200)
    category: str | None = Field(max_length=200)
    brand: str | None = Field(max_length=200)
    quantity: int
    price: Money | None = Field(description="of one piece, before the discount")
    discount: Money | None = Field(description="of all pieces together")
    total: Money
    refunded_quantity: int = Field(description="pieces that came back")
    refunded: Money = Field(description="sum of what was given back of this line")

    @classmethod
    def of(cls, line: PurchaseLine, currency: str) -> "PurchaseLineOut":
        names = cls.model_fields.keys() - {"price", "discount", "total", "refunded"}
        return cls(
            **{name: getattr(line, name) for name in names},
            price=None if line.price is None else Money(amount=line.price, currency=currency),
            discount=None if line.discount is None else Money(amount=line.discount, currency=currency),
            total=Money(amount=line.amount, currency=currency),
            refunded=Money(amount=line.refunded, currency=currency),
        )


class PurchaseOut(BaseModel):
    """An order, as the shop told of it, and how much of it was given back."""

    id: UUID
    customer_id: UUID
    source: str = Field(max_length=64)
    external_id: str = Field(max_length=128)
    occurred_at: datetime
    recorded_at: datetime
    channel: SalesChannel | None
    shop: str | None = Field(max_length=200)
    total: Money = Field(description="sum of the lines' totals")
    refunded: Money = Field(description="sum of the refunds")
    net: Money = Field(description="`total` less `refunded`")
    status: PurchaseStatus
    lines: list[PurchaseLineOut]
    version: int

    @classmethod
    def of(cls, purchase: Purchase) -> "PurchaseOut":
        return cls(**_members(purchase, cls.model_fields))


class PurchaseWithRefundsOut(PurchaseOut):
    """An order with all that was given back of it."""

    refunds: list[RefundOut] = Field(description="the oldest first")

    @classmethod
    def of(cls, purchase: Purchase) -> "PurchaseWithRefundsOut":
        refunds = [RefundOut.of(refund) for refund in purchase.refunds]
        return cls(**_members(purchase, PurchaseOut.model_fields), refunds=refunds)


def _members(purchase: Purchase, names: Iterable[str]) -> dict[str, Any]:
    def money(amount: int) -> Money:
        return Money(amount=amount, currency=purchase.currency)

    made = {
        "total": money(purchase.amount),
        "refunded": money(purchase.refunded),
        "net": money(purchase.amount - purchase.refunded),
        "lines": [PurchaseLineOut.of(line, purchase.currency) for line in purchase.lines],
    }
    return {name: getattr(purchase, name) for name in names if name not in made} | made


class PurchaseTotalsOut(BaseModel):
    """What was bought altogether."""

    count: int = Field(description="purchases on file, whatever their amount, refunded ones included")
    customers: int = Field(description="customers with at least one purchase; merged ones count once")
    totals: list[Money] = Field(description="sum of the purchases' totals, for each currency apart")
    refunded: list[Money] = Field(description="sum of all refunds, for each currency apart")
    net: list[Money] = Field(description="`totals` less `refunded`, for each currency apart")


class PurchasesSummaryOut(BaseModel):
    """What the customer bought altogether."""

    count: int = Field(description="purchases on file, whatever their amount, refunded ones included")
    totals: list[Money] = Field(description="sum of the purchases' totals, for each currency apart")
    refunded: list[Money] = Field(description="sum of all refunds, for each currency apart")
    net: list[Money] = Field(description="`totals` less `refunded`, for each currency apart")
    first_at: datetime | None
    last_at: datetime | None
