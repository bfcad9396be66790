"""What profiles tells the world: customers and their purchases."""

from datetime import date, datetime
from typing import ClassVar
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from crm_shared.contracts.base import CompanyEvent, Event, Money
from crm_shared.contracts.permissions import ContactPolicy, PermissionState


class ContactPointState(BaseModel):
    """One way to reach somebody, normalised: E.164, case-folded e-mail, handle."""

    model_config = ConfigDict(frozen=True)

    kind: str
    value: str


class ExternalIdState(BaseModel):
    """What another system calls somebody."""

    model_config = ConfigDict(frozen=True)

    source: str
    external_id: str


class AddressState(BaseModel):
    """Where somebody lives or gets parcels."""

    model_config = ConfigDict(frozen=True)

    lines: list[str] | None = None
    district: str | None = None
    city: str | None = None
    province: str | None = None
    postal_code: str | None = None
    country: str | None = None


class LunarDateState(BaseModel):
    """A day of the Chinese lunar calendar."""

    model_config = ConfigDict(frozen=True)

    year: int
    month: int
    day: int
    leap_month: bool = False


class CustomerState(Event):
    """Who the customer is after the change."""

    subject_field: ClassVar[str] = "customer_id"
    state_topic: ClassVar[str | None] = "profiles.customers.state"

    name: str
    language: str | None = None
    time_zone: str | None = None
    gender: str | None = None
    occupation: str | None = None
    address: AddressState | None = None
    birth_date: date | None = None
    birth_calendar: str | None = Field(
        default=None, description="in which the birthday is kept: solar, lunar"
    )
    lunar_birth_date: LunarDateState | None = Field(
        default=None, description="the same day as birth_date, of who keeps the lunar birthday"
    )
    region: str | None = None
    tags: list[str] = []
    manager: str | None = Field(default=None, description="who looks after them: the subject of a token")
    attributes: dict[str, JsonValue] = Field(default={}, description="custom ones, as declared")
    contact_points: list[ContactPointState] = []
    external_ids: list[ExternalIdState] = []
    source: str | None = Field(default=None, description="where the customer came from")
    channel: str | None = Field(default=None, description="how they first came to be known")
    created_at: datetime | None = Field(default=None, description="since when they are on file")


class CustomerCreated(CustomerState):
    """Somebody became known."""

    type: ClassVar[str] = "profiles.customer.created.v1"


class CustomerChanged(CustomerState):
    """What is known of somebody changed."""

    type: ClassVar[str] = "profiles.customer.changed.v1"


class CustomerMerged(Event):
    """Two records were one person: the absorbed id (the key) means the survivor from now on."""

    type: ClassVar[str] = "profiles.customer.merged.v1"
    subject_field: ClassVar[str] = "customer_id"
    state_topic: ClassVar[str | None] = "profiles.customers.state"
    tombstone: ClassVar[bool] = True

    survivor_id: UUID
    merge_id: UUID
    sequence: int = Field(
        default=0, description="rises from each merge of any customers to the next: later ones prevail"
    )


class CustomerUnmerged(Event):
    """The merge was a mistake: the absorbed id (the key) stands for itself again."""

    type: ClassVar[str] = "profiles.customer.unmerged.v1"
    subject_field: ClassVar[str] = "customer_id"

    survivor_id: UUID
    merge_id: UUID
    sequence: int = Field(default=0, description="that of the merge which is undone")


class CustomerErased(Event):
    """Everything about the customer must go; each service confirms."""

    type: ClassVar[str] = "profiles.customer.erased.v1"
    subject_field: ClassVar[str] = "customer_id"
    state_topic: ClassVar[str | None] = "profiles.customers.state"
    tombstone: ClassVar[bool] = True
    also_ends: ClassVar[str | None] = "absorbed"
    survives_erasure: ClassVar[bool] = True

    erasure_id: UUID
    absorbed: list[UUID] = Field(
        default=[], description="who had been merged into the customer, and is erased along"
    )


class ExportRequested(Event):
    """Somebody wants to see all that is held about the customer; each service answers with its part."""

    type: ClassVar[str] = "profiles.export.requested.v1"
    subject_field: ClassVar[str] = "export_id"

    export_id: UUID
    absorbed_ids: list[UUID] = Field(
        default=[], description="who was merged into the customer, as far as the archive knows"
    )


class PurchaseLineState(BaseModel):
    """One line of an order."""

    model_config = ConfigDict(frozen=True)

    line: int = Field(description="position in the order, from 1")
    product: str | None = None
    category: str | None = None
    brand: str | None = None
    quantity: int
    price: Money | None = Field(default=None, description="of one piece, before the discount")
    discount: Money | None = Field(default=None, description="of all pieces together")
    total: Money


class PurchaseRecorded(Event):
    """The customer bought something."""

    type: ClassVar[str] = "profiles.purchase.recorded.v1"
    subject_field: ClassVar[str] = "purchase_id"

    purchase_id: UUID
    source: str
    external_id: str
    occurred_at: datetime = Field(description="when it happened in the shop")
    channel: str | None = Field(default=None, description="store, web, app, …; may become more")
    shop: str | None = None
    total: Money
    lines: list[PurchaseLineState]


class RefundLineState(BaseModel):
    """What was given back of one line of an order."""

    model_config = ConfigDict(frozen=True)

    line: int = Field(description="position in the order, from 1")
    product: str | None = None
    category: str | None = None
    brand: str | None = None
    quantity: int = Field(description="pieces that came back; 0: only money was given back")
    amount: Money


NOTHING_LEFT = "refunded"
"""The status of a purchase that was given back as a whole."""


class PurchaseRefunded(Event):
    """Something was given back of a purchase; `version` is the purchase's, which recording made 1.

    It has the key of the purchase's own event, so it comes after that.
    """

    type: ClassVar[str] = "profiles.purchase.refunded.v1"
    subject_field: ClassVar[str] = "purchase_id"

    purchase_id: UUID
    refund_id: UUID
    source: str = Field(description="who told of the refund")
    external_id: str = Field(description="what they call it")
    occurred_at: datetime = Field(description="when it was given back")
    total: Money = Field(description="given back this time")
    lines: list[RefundLineState]
    order_source: str | None = Field(default=None, description="who told of the purchase")
    order_external_id: str | None = Field(default=None, description="what they call it")
    purchased_at: datetime = Field(description="when it was bought")
    purchase_total: Money
    refunded_total: Money = Field(description="given back so far, this refund included")
    status: str = Field(
        description="partly_refunded, or refunded once nothing is left of the purchase; may become more"
    )


class InteractionRecorded(Event):
    """The customer and the company spoke with each other; what was said stays with profiles."""

    type: ClassVar[str] = "profiles.interaction.recorded.v1"
    subject_field: ClassVar[str] = "interaction_id"

    interaction_id: UUID
    source: str | None = None
    external_id: str | None = None
    channel: str = Field(description="call, email, visit, chat, social, letter or other; may become more")
    direction: str = Field(description="inbound or outbound")
    purpose: str | None = None
    occurred_at: datetime
    duration_seconds: int | None = None
    agent: str | None = Field(default=None, description="who spoke for the company")
    feedback_score: int | None = Field(default=None, description="0 to 10, when the customer gave one")


class StageChanged(Event):
    """The customer is in another stage of the life cycle; the first counts as a change from nothing.

    The version is that of the customer's stage. A fact that is told of late can change the past: then the
    stages from there on are told anew, with higher versions.
    """

    type: ClassVar[str] = "profiles.stage.changed.v1"
    subject_field: ClassVar[str] = "customer_id"

    stage: str = Field(
        description="awareness, interaction, transaction, maintenance, exit or reactivation; may become more"
    )
    previous: str | None = None
    since: datetime = Field(description="when it began in the business, which may be long ago")
    reason: str = Field(
        description="a code: what the customer did, `silence`, or why they say that they left"
    )
    explanation: str = Field(description="the reason in words")
    policy_version: int


class ConsentChanged(Event):
    """A customer may be written to otherwise than before: all that was said under this id.

    After a merge both ids keep their own; together they are what the person has said.
    """

    type: ClassVar[str] = "profiles.consent.changed.v1"
    subject_field: ClassVar[str] = "customer_id"

    permission: PermissionState


class ContactPolicyChanged(CompanyEvent):
    """The company writes to its customers by other rules than before."""

    type: ClassVar[str] = "profiles.contact_policy.changed.v1"
    subject_field: ClassVar[str] = "policy_key"

    policy_key: str = "contact-policy"
    policy: ContactPolicy


class MessageLogged(Event):
    """A message that counts for frequency caps went to the customer, whoever sent it."""

    type: ClassVar[str] = "profiles.message.logged.v1"
    subject_field: ClassVar[str] = "message_id"

    message_id: UUID
    purpose: str
    channel: str
    sent_at: datetime
    failed: bool = Field(description="it never arrived, and does not count any more")
