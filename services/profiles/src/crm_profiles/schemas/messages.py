"""Messages and their report as they are sent and answered."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from crm_profiles.fields import Language, Reference, Source
from crm_profiles.models.messages import Message
from crm_profiles.schemas.base import Body
from crm_shared.contracts.permissions import Purpose
from crm_shared.fields import Instant, whole
from crm_shared.permissions import ContactChannel

TextVersion = Annotated[int, Field(strict=True, ge=1, le=1_000_000), whole]
KeyWord = Annotated[str, StringConstraints(max_length=64, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]


class MessageIn(Body):
    """A message that another system has sent itself; never what is written in it."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "source": "mailer",
                    "external_id": "m-4711",
                    "customer_id": "0198f2c4-7a10-7c3e-9d52-3f6b8e1a2c4d",
                    "purpose": "marketing",
                    "channel": "email",
                    "sent_at": "2026-02-27T12:00:00Z",
                }
            ]
        }
    )

    source: Source
    external_id: Reference
    customer_id: UUID
    purpose: Purpose
    channel: ContactChannel
    sent_at: Instant
    template: KeyWord | None = None
    template_version: TextVersion | None = None
    language: Language | None = None
    campaign: KeyWord | None = None
    delivered_at: Instant | None = None
    failed_at: Instant | None = None
    failure: KeyWord | None = Field(default=None, description="why it did not arrive, as a code")
    answered_at: Instant | None = None


class MessageOut(BaseModel):
    """A message and what came of it."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    customer_id: UUID
    source: str = Field(max_length=64)
    external_id: str = Field(max_length=128)
    purpose: str = Field(max_length=32)
    channel: str = Field(max_length=32)
    template: str | None = Field(max_length=64)
    template_version: int | None
    language: str | None = Field(max_length=35)
    campaign: str | None = Field(max_length=64)
    sent_at: datetime
    delivered_at: datetime | None
    failed_at: datetime | None
    failure: str | None = Field(max_length=200)
    answered_at: datetime | None
    converted_at: datetime | None = Field(description="the first purchase that is credited to it")
    purchase_ids: list[UUID] = Field(description="the purchases that are credited to it")
    attribution_days: int | None = Field(
        description="for so long purchases are credited to it; null: its purpose is not credited"
    )
    against_consent: bool = Field(description="it went out though the customer had not agreed")
    version: int
    recorded_at: datetime

    @classmethod
    def of(cls, message: Message) -> "MessageOut":
        names = cls.model_fields.keys() - {"converted_at", "purchase_ids"}
        credited = message.conversions
        return cls(
            **{name: getattr(message, name) for name in names},
            converted_at=credited[0].purchased_at if credited else None,
            purchase_ids=[each.purchase_id for each in credited],
        )


class ShareOut(BaseModel):
    """So many of so many."""

    numerator: int
    denominator: int


class MessageLineOut(BaseModel):
    """What came of the messages for one purpose by one way."""

    purpose: str = Field(max_length=32)
    channel: str = Field(max_length=32)
    sent: int
    delivered: ShareOut
    failed: ShareOut
    answered: ShareOut
    converted: ShareOut
    against_consent: ShareOut


class MessageReportOut(BaseModel):
    """What was sent in a period, and what came of it whenever that was."""

    since: datetime
    until: datetime
    items: list[MessageLineOut]
    definitions: Mapping[str, str] = Field(description="what each number counts, and out of what")
