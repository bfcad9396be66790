"""Customers as they are sent and answered."""

from datetime import date, datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from crm_profiles.fields import Label, Language, Name, Reference, Region, Source, Tags
from crm_profiles.models.customers import BirthCalendar, Channel, ContactKind, Gender
from crm_profiles.schemas.attributes import Attributes
from crm_profiles.schemas.base import MAX_BATCH, Body, Verdict
from crm_profiles.schemas.members import Address, ExistingLunarDate, LunarDate
from crm_shared.calendars import lunar
from crm_shared.calendars.lunar import LunarDay
from crm_shared.fields import Day, TimeZone

MAX_CONTACT_POINT = 254
MAX_CONTACT_POINTS = 20

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


class ContactPointIn(Body):
    """A way to reach somebody; it is normalised before it is compared and kept."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"kind": "phone", "value": "+86 138 1234 5678"}]}
    )

    kind: ContactKind
    value: str = Field(min_length=1, max_length=MAX_CONTACT_POINT, examples=["+86 138 1234 5678"])


ContactPoints = Annotated[list[ContactPointIn], Field(max_length=MAX_CONTACT_POINTS)]


class CustomerMembers(Body):
    """What can be told of a customer, and how it came to be known."""

    # Null is refused: everybody has a name. The default is never used, for only what was sent is applied.
    name: Name = Field(default_factory=str, description="in any script")
    language: Language | None = Field(default=None, description="BCP 47")
    time_zone: TimeZone | None = Field(default=None, description="IANA name", examples=["Asia/Shanghai"])
    region: Region | None = Field(
        default=None, description="ISO 3166-1; phone numbers without country code are read as of here"
    )
    gender: Gender | None = Field(default=None, description="an open list: more may come")
    occupation: Label | None = None
    address: Address | None = None
    birth_date: Day | None = Field(default=None, description="by the Gregorian calendar")
    birth_calendar: BirthCalendar | None = Field(
        default=None, description="in which calendar the birthday is kept; solar when nobody says"
    )
    lunar_birth_date: ExistingLunarDate | None = Field(
        default=None, description="instead of `birth_date`, of who keeps the lunar birthday"
    )
    tags: Tags = None
    attributes: Attributes | None = Field(
        default=None, description="custom attributes by key, as /v1/customer-attributes declares them"
    )
    contact_points: ContactPoints | None = None
    channel: Channel = Field(
        default=Channel.API, description="how this came to be known; by itself it changes nothing"
    )

    @field_validator("lunar_birth_date")
    @classmethod
    def agree_with_the_birth_date(cls, given: LunarDate | None, info: ValidationInfo) -> LunarDate | None:
        """Both may be told, as answers do, but not two birthdays."""
        if given is not None:
            day = info.data.get("birth_date") or lunar.to_gregorian(LunarDay(**dict(given)))
            solar = info.data.get("birth_calendar") is BirthCalendar.SOLAR
            if solar or lunar.to_gregorian(LunarDay(**dict(given))) != day:
                raise PydanticCustomError("two_birthdays", "It contradicts birth_date or birth_calendar")
        return given


class CustomerPatch(CustomerMembers):
    """Members that are absent stay as they are, null clears (RFC 7396); lists are replaced as a whole."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "王小明", "birth_date": None}]})

    source: Source | None = Field(
        default=None, description="the system that tells this; by itself it changes nothing"
    )


class CustomerIn(CustomerPatch):
    """Somebody to be known."""

    model_config = ConfigDict(json_schema_extra={"examples": [_WANG]})

    name: Name = Field(description="in any script")


class CustomerPut(CustomerMembers):
    """A customer whom another system names in the path; members that are absent stay as they are here."""

    model_config = ConfigDict(json_schema_extra={"examples": [_WANG]})

    name: Name = Field(description="in any script")


class CustomerItem(CustomerPut):
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
    gender: Gender | None
    occupation: str | None = Field(max_length=200)
    address: Address | None
    birth_date: date | None = Field(description="by the Gregorian calendar")
    birth_calendar: BirthCalendar
    lunar_birth_date: LunarDate | None = Field(description="the same day, of who keeps the lunar birthday")
    tags: list[str]
    manager: str | None = Field(max_length=200, description="who looks after them")
    attributes: Attributes
    contact_points: list[ContactPointOut]
    external_ids: list[ExternalIdOut]
    version: int


class CustomerOut(ProfileOut):
    """Who they are, and since when we know."""

    source: str | None = Field(max_length=64, description="the system that first told of them")
    channel: Channel = Field(description="how they first came to be known")
    created_at: datetime
    updated_at: datetime
    merged_from: UUID | None = Field(
        default=None, description="the id asked for, when it was merged into this customer"
    )
    as_of: datetime | None = Field(
        default=None, description="the instant whose state this is, when one was asked for"
    )


class CustomerTotalsOut(BaseModel):
    """How many there are."""

    count: int = Field(description="customers on file; erased and absorbed ones are not among them")


class CustomerVerdict(Verdict):
    """What became of one customer of a batch."""

    customer_id: UUID | None = None


class CustomerBatchOut(BaseModel):
    """A verdict per item, in the order of the items."""

    items: list[CustomerVerdict]
    counts: dict[str, int] = Field(description="items by status", examples=[{"created": 1}])


class CustomerReference(Body):
    """A customer as another system calls them."""

    source: Source
    external_id: Reference
