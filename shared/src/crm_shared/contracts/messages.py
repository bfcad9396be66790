"""What the services tell of the messages that they send to customers; never what is written in them."""

from datetime import datetime
from typing import ClassVar
from uuid import UUID

from pydantic import Field

from crm_shared.contracts.base import Event


class MessageState(Event):
    """The message after what happened; each of its events completes what another one has told."""

    subject_field: ClassVar[str] = "message_id"

    message_id: UUID
    purpose: str = Field(max_length=32)
    channel: str = Field(max_length=32, description="email, sms, phone, social, letter, push, or a new one")
    template: str | None = Field(default=None, max_length=64, description="key of the text")
    template_version: int | None = None
    language: str | None = Field(default=None, max_length=35)
    campaign: str | None = Field(default=None, max_length=64, description="key of the campaign")
    sent_at: datetime
    delivered_at: datetime | None = None
    failed_at: datetime | None = None
    failure: str | None = Field(default=None, max_length=200, description="why it did not arrive, as a code")
    answered_at: datetime | None = None
