"""What every published event has: its envelope, its customer, the version of its aggregate."""

from datetime import datetime
from functools import cached_property
from typing import Any, ClassVar, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field
from pydantic.json_schema import SkipJsonSchema

from crm_shared.fields import Whole

NOBODY = UUID(int=0)


class Envelope(BaseModel):
    """The CloudEvents attributes that a consumer may care for."""

    model_config = ConfigDict(frozen=True)

    id: UUID
    source: str
    type: str
    subject: str
    key: str
    time: datetime
    traceparent: str | None = None
    causation_id: str | None = None
    actor: str | None = None


class Event(BaseModel):
    """Something that happened, with the state after it: add fields freely, never remove or retype one.

    A subclass names its `type` (`<service>.<noun>.<past verb>.vN`) and which field is its subject. The key,
    which decides the partition and thereby the order, is the customer.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    type: ClassVar[str]
    subject_field: ClassVar[str]
    state_topic: ClassVar[str | None] = None
    """Compacted topic that also gets this event's state; None: there is none."""
    tombstone: ClassVar[bool] = False
    """The state topic gets a tombstone instead of the state."""
    also_ends: ClassVar[str | None] = None
    """The field that lists other keys of the state topic that get a tombstone along."""
    survives_erasure: ClassVar[bool] = False
    """Delivered even when its customer was erased."""

    customer_id: UUID = Field(
        description="the id it was written under, which may have been merged into another one since"
    )
    version: int = Field(ge=1, description="version of the aggregate, rising by one with each change")

    @property
    def subject(self) -> str:
        return str(getattr(self, self.subject_field))

    @property
    def key(self) -> str:
        return str(self.customer_id)

    @cached_property
    def envelope(self) -> Envelope:
        """The attributes it arrived with, put here by `received`; an event that was not received has none."""
        raise LookupError(f"{self.type} was not received from anywhere")

    @cached_property
    def data(self) -> str:
        """Its JSON, made once, however many places it is written to."""
        return self.model_dump_json()

    @property
    def id(self) -> UUID:
        return self.envelope.id

    @classmethod
    def service(cls) -> str:
        return cls.type.split(".", 1)[0]

    @classmethod
    def topic(cls) -> str:
        return f"{cls.service()}.events"

    @classmethod
    def received(cls, data: bytes | str | dict[str, Any], envelope: Envelope) -> Self:
        """The event in its envelope; pydantic's ValidationError when the data break the contract."""
        event = cls.model_validate(data) if isinstance(data, dict) else cls.model_validate_json(data)
        # Not a private attribute of pydantic's, which costs a hundred times as much at each look.
        event.__dict__["envelope"] = envelope
        return event


class CompanyEvent(Event):
    """Something that is about no customer: its key is its subject."""

    customer_id: SkipJsonSchema[UUID] = Field(default=NOBODY, exclude=True)

    @property
    def key(self) -> str:
        return self.subject


class Money(BaseModel):
    """An amount in the minor units of its currency: 2933 USD are 29.33 dollars."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    amount: Whole = Field(ge=-(2**53), le=2**53, examples=[2933])
    currency: str = Field(pattern="^[A-Z]{3}$", examples=["USD"])
