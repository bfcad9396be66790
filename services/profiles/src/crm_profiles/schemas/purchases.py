"""Purchases as they are sent and answered."""

from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator
from pydantic_core import PydanticCustomError

from crm_profiles.fields import Label, Reference, Source
from crm_profiles.models.purchases import Purchase, PurchaseLine
from crm_profiles.schemas.base import MAX_BATCH, Body, Verdict
from crm_profiles.schemas.customers import CustomerReference
from crm_shared.contracts.base import Money
from crm_shared.fields import Instant, Whole

MAX_NAMES = 8000

_ORDER: dict[str, JsonValue] = {
    "source": "web-shop",
    "external_id": "2026-000123",
    "customer": {"source": "web-shop", "external_id": "c-4711"},
    "occurred_at": "2026-02-27T12:00:00Z",
    "currency": "USD",
    "lines": [{"product": "CD", "quantity": 1, "total": {"amount": 2933, "currency": "USD"}}],
}


class PurchaseVerdict(Verdict):
    """What became of one purchase of a batch."""

    purchase_id: UUID | None = None


class PurchaseBatchOut(BaseModel):
    """A verdict per item, in the order of the items."""

    items: list[PurchaseVerdict]
    counts: dict[str, int] = Field(description="items by status", examples=[{"created": 1}])


class PurchaseLineIn(Body):
    """One line of an order; `total` is what was paid for all of its pieces."""

    product: Label | None = None
    category: Label | None = None
    brand: Label | None = None
    quantity: Whole = Field(ge=1, le=1_000_000)
    total: Money

    @property
    def names(self) -> list[str]:
        return [name for name in (self.product, self.category, self.brand) if name is not None]


class PurchaseIn(Body):
    """An order as the shop tells of it; its total is the sum of its lines."""

    model_config = ConfigDict(json_schema_extra={"examples": [_ORDER]})

    source: Source
    external_id: Reference
    customer_id: UUID | None = Field(default=None, description="either this or `customer`")
    customer: CustomerReference | None = None
    occurred_at: Instant = Field(description="when it happened in the shop")
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
                "names_too_long", "All names in the lines together have 8000 characters"
            )
        if any(line.total.amount < 0 for line in self.lines) or self.amount > 2**53:
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
    total: Money

    @classmethod
    def of(cls, line: PurchaseLine, currency: str) -> "PurchaseLineOut":
        names = cls.model_fields.keys() - {"total"}
        total = Money(amount=line.amount, currency=currency)
        return cls(**{name: getattr(line, name) for name in names}, total=total)


class PurchaseOut(BaseModel):
    """An order, as the shop told of it."""

    id: UUID
    customer_id: UUID
    source: str = Field(max_length=64)
    external_id: str = Field(max_length=128)
    occurred_at: datetime
    recorded_at: datetime
    shop: str | None = Field(max_length=200)
    total: Money
    lines: list[PurchaseLineOut]
    version: int

    @classmethod
    def of(cls, purchase: Purchase) -> "PurchaseOut":
        names = cls.model_fields.keys() - {"total", "lines"}
        return cls(
            **{name: getattr(purchase, name) for name in names},
            total=Money(amount=purchase.amount, currency=purchase.currency),
            lines=[PurchaseLineOut.of(line, purchase.currency) for line in purchase.lines],
        )


class PurchaseTotalsOut(BaseModel):
    """What was bought altogether."""

    count: int = Field(description="purchases on file, whatever their amount")
    customers: int = Field(description="customers with at least one purchase; merged ones count once")
    totals: list[Money] = Field(description="sum of the purchases' totals, for each currency apart")


class PurchasesSummaryOut(BaseModel):
    """What the customer bought altogether."""

    count: int
    totals: list[Money] = Field(description="sum of the purchases' totals, for each currency apart")
    first_at: datetime | None
    last_at: datetime | None
