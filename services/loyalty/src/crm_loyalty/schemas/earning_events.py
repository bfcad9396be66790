"""What happened that may earn points, as it is reported and answered."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from crm_loyalty.models.earning_events import EarningEvent
from crm_loyalty.schemas.accounts import LineOut
from crm_loyalty.schemas.earning_rules import PropertyName, PropertyValue
from crm_shared.fields import Instant

ReportedType = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,62}$", max_length=63)]
Source = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$", max_length=64)]
ExternalId = Annotated[
    str, StringConstraints(strip_whitespace=True, max_length=128, pattern=r"^[^\x00]*\S[^\x00]*$")
]
Properties = Annotated[dict[PropertyName, PropertyValue], Field(max_length=20)]


class EarningEventIn(BaseModel):
    """Something that a customer did; whether it earns points is for the earning rules to say."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "type": "review_written",
                    "customer_id": "019a8f3e-5c00-7000-8000-0123456789ab",
                    "source": "web-shop",
                    "external_id": "review-4711",
                    "occurred_at": "2026-03-01T09:30:00Z",
                    "properties": {"stars": 5, "with_photo": True, "product": "KOB-1959"},
                }
            ]
        },
    )

    type: ReportedType = Field(description="what rules call it")
    customer_id: UUID
    source: Source = Field(description="who tells of it")
    external_id: ExternalId = Field(description="what they call it: it earns once")
    occurred_at: Instant
    properties: Properties = Field(default={}, description="what rules may ask of it")


class EarningEventOut(BaseModel):
    """Something that a customer did, and what it earned."""

    id: UUID
    customer_id: UUID
    type: str
    source: str
    external_id: str | None = Field(description="null: its customer was erased")
    occurred_at: datetime
    recorded_at: datetime
    properties: dict[str, bool | int | str] | None = Field(description="null: its customer was erased")
    points: int
    explanation: list[LineOut] = Field(description="the earning rules that gave points")
    available_at: datetime | None = Field(description="when the points can be spent; null: at once")

    @classmethod
    def of(cls, event: EarningEvent) -> "EarningEventOut":
        return cls.model_validate(event, from_attributes=True)


class PublishedTypeOut(BaseModel):
    """A published event that rules may give points for; nobody need report it."""

    type: str
    description: str
    properties: list[str] = Field(description="what rules may ask of it")


class PublishedTypesOut(BaseModel):
    """All events that come by themselves."""

    items: list[PublishedTypeOut]
