"""The bodies that profiles takes and answers."""

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator
from pydantic_core import PydanticCustomError

from crm_profiles.fields import Label, Language, Name, Reference, Region, Source, Tags
from crm_profiles.models import ContactKind, EntryType, Erasure, Purchase, PurchaseLine
from crm_shared.contracts.base import Money
from crm_shared.fields import Day, Instant, TimeZone, Whole

MAX_BATCH = 1000
MAX_NAMES = 8000
MAX_CONTACT_POINT = 254

_WANG: dict[str, JsonValue] = {
    "name": "王小明",
    "language": "zh-CN",
    "time_zone": "Asia/Shanghai",
    "region": "CN",
    "birth_date": "1988-04-12",
    "tags": ["newsletter"],
    "contact_points": [
        {"kind": "phone", "value": "138 1234 5678"},
        {"kind": "email", "value": "Xiaoming.Wang@example.com"},
    ],
}
_ORDER: dict[str, JsonValue] = {
    "source": "web-shop",
    "external_id": "2026-000123",
    "customer": {"source": "web-shop", "external_id": "c-4711"},
    "occurred_at": "2026-02-27T12:00:00Z",
    "currency": "USD",
    "lines": [{"product": "CD", "quantity": 1, "total": {"amount": 2933, "currency": "USD"}}],
}


class Body(BaseModel):
    """What is sent to us: a member that we do not know is a mistake."""

    model_config = ConfigDict(extra="forbid")


class ContactPointIn(Body):
    """A way to reach somebody; it is normalised before it is compared and kept."""

    kind: ContactKind
    value: str = Field(min_length=1, max_length=MAX_CONTACT_POINT, examples=["+86 138 1234 5678"])


ContactPoints = Annotated[list[ContactPointIn], Field(max_length=20)]


class CustomerPatch(Body):
    """Members that are absent stay as they are, null clears (RFC 7396); lists are replaced as a whole."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "王小明", "birth_date": None}]})

    # Null is refused: everybody has a name. The default is never used, for only what was sent is applied.
    name: Name = Field(default_factory=str, description="in any script")
    language: Language | None = Field(default=None, description="BCP 47")
    time_zone: TimeZone | None = Field(default=None, description="IANA name", examples=["Asia/Shanghai"])
    region: Region | None = Field(
        default=None, description="ISO 3166-1; phone numbers without country code are read as of here"
    )
    birth_date: Day | None = None
    tags: Tags = None
    contact_points: ContactPoints | None = None


class CustomerIn(CustomerPatch):
    """Somebody to be known."""

    model_config = ConfigDict(json_schema_extra={"examples": [_WANG]})

    name: Name = Field(description="in any script")


class CustomerItem(CustomerIn):
    """A customer as another system knows them; members that are absent stay as they are here."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"source": "web-shop", "external_id": "c-4711", **_WANG}]}
    )

    source: Source
    external_id: Reference


class CustomerBatchIn(Body):
    """Up to a thousand customers; each stands for itself."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"items": [{"source": "web-shop", "external_id": "c-4711", "name": "王小明"}]}]
        }
    )

    items: list[dict[str, Any]] = Field(
        min_length=1,
        max_length=MAX_BATCH,
        description="Each a customer with `source` and `external_id`; one that is faulty fails alone.",
    )


class ContactPointOut(BaseModel):
    """Normalised: E.164, case-folded; masked for callers without the scope pii:read."""

    model_config = ConfigDict(from_attributes=True)

    kind: ContactKind
    value: str = Field(max_length=MAX_CONTACT_POINT, examples=["+8613812345678"])


class ExternalIdOut(BaseModel):
    """What another system calls the customer."""

    model_config = ConfigDict(from_attributes=True)

    source: str = Field(max_length=64)
    external_id: str = Field(max_length=128)


class ProfileOut(BaseModel):
    """Who they are, as the summary shows them."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    name: str = Field(max_length=200)
    language: str | None = Field(max_length=35)
    time_zone: str | None = Field(max_length=64)
    region: str | None = Field(max_length=2)
    birth_date: date | None
    tags: list[str]
    contact_points: list[ContactPointOut]
    external_ids: list[ExternalIdOut]
    version: int


class CustomerOut(ProfileOut):
    """Who they are, and since when we know."""

    source: str | None = Field(max_length=64, description="the system that first told of them")
    created_at: datetime
    updated_at: datetime
    merged_from: UUID | None = Field(
        default=None, description="the id asked for, when it was merged into this customer"
    )


class CustomerTotalsOut(BaseModel):
    """How many there are."""

    count: int = Field(description="customers on file; erased and absorbed ones are not among them")


class Verdict(BaseModel):
    """What became of one item of a batch."""

    index: int = Field(description="position in the batch, from 0")
    status: str = Field(
        max_length=20, description="created, updated, unchanged or failed", examples=["created"]
    )
    problem: dict[str, JsonValue] | None = Field(default=None, description="why it failed")


class CustomerVerdict(Verdict):
    """What became of one customer of a batch."""

    customer_id: UUID | None = None


class PurchaseVerdict(Verdict):
    """What became of one purchase of a batch."""

    purchase_id: UUID | None = None


class CustomerBatchOut(BaseModel):
    """A verdict per item, in the order of the items."""

    items: list[CustomerVerdict]
    counts: dict[str, int] = Field(description="items by status", examples=[{"created": 1}])


class PurchaseBatchOut(BaseModel):
    """A verdict per item, in the order of the items."""

    items: list[PurchaseVerdict]
    counts: dict[str, int] = Field(description="items by status", examples=[{"created": 1}])


class CustomerReference(Body):
    """A customer as another system calls them."""

    source: Source
    external_id: Reference


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


class TimelineEntryOut(BaseModel):
    """Something that happened with the customer."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    type: EntryType
    occurred_at: datetime
    recorded_at: datetime
    title: str = Field(max_length=1000)
    data: dict[str, JsonValue] = Field(description="the facts, as the event told them")


class PurchasesSummaryOut(BaseModel):
    """What the customer bought altogether."""

    count: int
    totals: list[Money] = Field(description="sum of the purchases' totals, for each currency apart")
    first_at: datetime | None
    last_at: datetime | None


class ProfileSummaryOut(BaseModel):
    """A customer at a glance."""

    customer: ProfileOut
    purchases: PurchasesSummaryOut
    timeline: list[TimelineEntryOut] = Field(description="the newest ten entries")


class ErasureIn(Body):
    """Whom to forget."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"customer_id": "0198f2c4-7a10-7c3e-9d52-3f6b8e1a2c4d"}]}
    )

    customer_id: UUID


class ErasureServiceOut(BaseModel):
    """What one service did; until `confirmed_at` is set it has not answered."""

    model_config = ConfigDict(from_attributes=True)

    service: str = Field(max_length=64)
    confirmed_at: datetime | None = None
    removed: dict[str, int] = {}
    kept: dict[str, str] = {}


class ErasureOut(BaseModel):
    """The receipt of an erasure."""

    id: UUID
    customer_id: UUID
    requested_at: datetime
    complete: bool = Field(description="every service has confirmed")
    services: list[ErasureServiceOut]
    topics_clear_at: datetime = Field(
        description="by then the broker has deleted what it still holds of the customer"
    )

    @classmethod
    def of(cls, erasure: Erasure, services: Sequence[str], retention: timedelta) -> "ErasureOut":
        """Those of the services that have not confirmed yet are shown too."""
        confirmed = {
            confirmation.service: ErasureServiceOut.model_validate(confirmation)
            for confirmation in erasure.confirmations
        }
        return cls(
            id=erasure.id,
            customer_id=erasure.customer_id,
            requested_at=erasure.requested_at,
            complete=confirmed.keys() >= set(services),
            services=[confirmed.get(name, ErasureServiceOut(service=name)) for name in services],
            topics_clear_at=erasure.requested_at + retention,
        )
