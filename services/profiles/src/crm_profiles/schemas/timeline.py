"""The timeline as it is answered."""

from datetime import datetime
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from crm_profiles.models.timeline import EntryType


class TimelineEntryOut(BaseModel):
    """Something that happened with the customer."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    type: EntryType
    occurred_at: datetime
    recorded_at: datetime
    title: str = Field(max_length=1000)
    data: dict[str, JsonValue] = Field(description="the facts, as the event told them")
