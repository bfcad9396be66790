"""The history of a customer as it is answered."""

from datetime import datetime
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from crm_profiles.models.customers import Channel
from crm_profiles.models.history import Change


class MemberChange(BaseModel):
    """A member whose value differs from that in the version before; null is none."""

    member: str = Field(
        max_length=100, description="its name; a custom attribute as attributes.<key>", examples=["name"]
    )
    before: JsonValue
    after: JsonValue


class CustomerVersionOut(BaseModel):
    """A change of a customer: who made it, when, from where, and what it changed."""

    model_config = ConfigDict(from_attributes=True)

    customer_id: UUID
    version: int
    recorded_at: datetime = Field(description="read the customer `as_of` this instant to see them after it")
    actor: str | None = Field(max_length=255, description="who made it")
    source: str | None = Field(max_length=64, description="the system that told it")
    channel: Channel = Field(description="how it came to be known")
    change: Change
    changes: list[MemberChange]
