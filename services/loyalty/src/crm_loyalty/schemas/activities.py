"""Activities and invitations as they are written and answered."""

from datetime import datetime
from typing import Annotated, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, model_validator

from crm_loyalty.models.activities import InvitationState
from crm_loyalty.schemas.base import MAX_POINTS, Text, Translations, TypedCode
from crm_shared.fields import Instant, TimeZone, Whole, require_range, whole

Capacity = Annotated[int, Field(strict=True, ge=1, le=1_000_000), whole]


class ActivityIn(BaseModel):
    """Something that customers are invited to."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "names": {"en": "A listening evening"},
                    "place": "5 Rue du Jazz",
                    "starts_at": "2026-05-01T17:00:00Z",
                    "ends_at": "2026-05-01T20:00:00Z",
                    "time_zone": "Europe/Paris",
                    "capacity": 40,
                    "points": 100,
                }
            ]
        },
    )

    names: Translations
    place: Text
    starts_at: Instant
    ends_at: Instant
    time_zone: TimeZone = Field(default="UTC", description="of the place, to show its times in")
    capacity: Capacity | None = Field(default=None, description="null: there is room for all")
    points: Whole = Field(default=0, ge=0, le=MAX_POINTS, description="for being there")

    @model_validator(mode="after")
    def _ends_after_it_starts(self) -> Self:
        require_range(self, "starts_at", "ends_at")
        return self


class ActivityOut(BaseModel):
    """Something that customers are invited to."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    names: Translations
    place: str
    starts_at: datetime
    ends_at: datetime
    time_zone: str
    capacity: int | None
    points: int
    cancelled_at: datetime | None
    created_at: datetime
    created_by: str
    version: int


class InvitationsIn(BaseModel):
    """Whom to invite."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"customer_ids": ["018f0000-0000-7000-8000-000000000001"]}]},
    )

    customer_ids: list[UUID] = Field(min_length=1, max_length=500)


class InvitationOut(BaseModel):
    """A customer's invitation."""

    id: UUID
    activity_id: UUID
    customer_id: UUID
    code: str | None = Field(
        description="null when it was made with another secret than today's: it is good, but cannot be shown"
    )
    state: InvitationState = Field(description="`waitlisted` moves up as seats become free")
    invited_at: datetime
    answered_at: datetime | None
    attended_at: datetime | None
    transaction_id: UUID | None = Field(description="what gave the points for being there")
    version: int


class InvitedOut(BaseModel):
    """The invitations of those who were asked for."""

    items: list[InvitationOut]


class AnswerIn(BaseModel):
    """Whether the customer comes."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"code": "7KQ2MX-94RTBH-D3WEYC", "coming": True}]}
    )

    code: TypedCode
    coming: bool


class CheckInIn(BaseModel):
    """Who is there."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"code": "7KQ2MX-94RTBH-D3WEYC"}]}
    )

    code: TypedCode
