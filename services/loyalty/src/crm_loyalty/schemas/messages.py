"""Messages as they are shown, and what carriers report of them."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from crm_loyalty.models.messages import Message, MessageState
from crm_shared.fields import Instant

Code = Annotated[str, StringConstraints(pattern="^[a-z][a-z0-9_]{0,63}$", max_length=64)]


class MailboxMessageOut(BaseModel):
    """A message that would have been sent; only managers with the scope pii:read see address and text."""

    id: UUID
    customer_id: UUID
    channel: str
    purpose: str
    plan: str = Field(description="key of the care plan")
    template: str
    template_version: int
    language: str
    sent_at: datetime | None
    address: str | None
    subject: str | None
    text: str | None
    html: str | None
    unsubscribe_url: str | None

    @classmethod
    def of(cls, message: Message, *, whole: bool) -> "MailboxMessageOut":
        return cls(
            id=message.id,
            customer_id=message.customer_id,
            channel=message.channel,
            purpose=message.purpose,
            plan=message.plan_key,
            template=message.template,
            template_version=message.template_version,
            language=message.language,
            sent_at=message.sent_at,
            address=message.address if whole else None,
            subject=message.subject if whole else None,
            text=message.body if whole else None,
            html=message.html if whole else None,
            unsubscribe_url=message.unsubscribe_url if whole else None,
        )


class MessageReportIn(BaseModel):
    """What became of a message after it was sent."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"state": "delivered", "occurred_at": "2026-08-08T09:00:05Z"}],
        },
    )

    state: Literal["delivered", "failed", "answered"]
    occurred_at: Instant
    failure: Code | None = Field(default=None, description="why it failed, as a code")


class MessageStateOut(BaseModel):
    """How far a message has come."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    state: MessageState
    sent_at: datetime | None
    delivered_at: datetime | None
    failed_at: datetime | None
    failure: str | None
    answered_at: datetime | None
