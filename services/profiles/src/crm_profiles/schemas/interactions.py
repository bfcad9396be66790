"""Interactions as they are sent and answered."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, JsonValue, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from crm_profiles.fields import Label, Reference, Source
from crm_profiles.models.interactions import Direction, Interaction, InteractionChannel
from crm_profiles.schemas.base import MAX_BATCH, Body, Verdict
from crm_profiles.schemas.customers import CustomerReference
from crm_shared.fields import Instant, Whole

MAX_TEXT = 10_000

Text = Annotated[str, StringConstraints(strip_whitespace=True, max_length=MAX_TEXT, pattern=r"\S")]

_CALL: dict[str, JsonValue] = {
    "customer": {"source": "web-shop", "external_id": "c-4711"},
    "source": "phone-system",
    "external_id": "call-99120",
    "channel": "call",
    "direction": "inbound",
    "purpose": "Where is the order?",
    "summary": "Told them that it comes on Friday.",
    "occurred_at": "2026-03-01T09:30:00Z",
    "duration_seconds": 240,
    "agent": "maria",
    "feedback": {"score": 9, "text": "Quick and friendly"},
}


class Feedback(Body):
    """What the customer thought of it."""

    score: Whole | None = Field(default=None, ge=0, le=10, description="from 0 to 10")
    text: Text | None = None


class InteractionIn(Body):
    """Once that somebody and the company spoke with each other."""

    model_config = ConfigDict(json_schema_extra={"examples": [_CALL]})

    customer_id: UUID | None = Field(default=None, description="either this or `customer`")
    customer: CustomerReference | None = None
    source: Source | None = Field(default=None, description="who tells of it; goes with `external_id`")
    external_id: Reference | None = Field(default=None, description="what they call it; recorded once")
    channel: InteractionChannel
    direction: Direction
    purpose: Label | None = None
    summary: Text | None = None
    occurred_at: Instant
    duration_seconds: Whole | None = Field(default=None, ge=0, le=7 * 86_400)
    agent: Reference | None = Field(default=None, description="who spoke for the company")
    feedback: Feedback | None = None

    @model_validator(mode="after")
    def _names_one(self) -> "InteractionIn":
        if (self.customer_id is None) == (self.customer is None):
            raise PydanticCustomError("customer_ambiguous", "Name the customer by customer_id or by customer")
        if (self.source is None) != (self.external_id is None):
            raise PydanticCustomError("external_id_incomplete", "source and external_id go together")
        return self


class InteractionPatch(Body):
    """What can be written better afterwards (RFC 7396): null clears, absent leaves."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"summary": "It came on Thursday already."}]})

    summary: Text | None = None


class InteractionBatchIn(Body):
    """Up to a thousand interactions; each stands for itself."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"items": [_CALL]}]})

    items: list[dict[str, Any]] = Field(
        min_length=1,
        max_length=MAX_BATCH,
        description="Each as `POST /v1/interactions` takes it; one that is faulty fails alone.",
    )


class FeedbackOut(BaseModel):
    """What the customer thought of it."""

    score: int | None
    text: str | None = Field(max_length=MAX_TEXT)


class InteractionOut(BaseModel):
    """Once that somebody and the company spoke with each other."""

    id: UUID
    customer_id: UUID
    source: str | None = Field(max_length=64)
    external_id: str | None = Field(max_length=128)
    channel: InteractionChannel
    direction: Direction
    purpose: str | None = Field(max_length=200)
    summary: str | None = Field(max_length=MAX_TEXT)
    occurred_at: datetime
    recorded_at: datetime
    updated_at: datetime
    duration_seconds: int | None
    agent: str | None = Field(max_length=128)
    feedback: FeedbackOut | None
    version: int

    @classmethod
    def of(cls, interaction: Interaction) -> "InteractionOut":
        names = cls.model_fields.keys() - {"feedback"}
        feedback = FeedbackOut(score=interaction.feedback_score, text=interaction.feedback_text)
        return cls(
            **{name: getattr(interaction, name) for name in names},
            feedback=feedback if feedback != FeedbackOut(score=None, text=None) else None,
        )


class InteractionVerdict(Verdict):
    """What became of one interaction of a batch."""

    interaction_id: UUID | None = None


class InteractionBatchOut(BaseModel):
    """A verdict per item, in the order of the items."""

    items: list[InteractionVerdict]
    counts: dict[str, int] = Field(description="items by status", examples=[{"created": 1}])


class LastContactOut(BaseModel):
    """When the customer and the company last spoke or wrote: the newest interaction or sent message."""

    at: datetime
    channel: str = Field(max_length=64, description="of the interaction, or by which the message was sent")
    direction: Direction
    by: str | None = Field(max_length=128, description="who spoke for the company, or which system wrote")
    interaction_id: UUID | None
    message_id: UUID | None
