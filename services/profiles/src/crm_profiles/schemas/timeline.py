"""The timeline as it is answered."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue, WithJsonSchema
from pydantic_core import PydanticCustomError

from crm_profiles.models.timeline import FAMILIES, EntryType


def _known(family: str) -> str:
    if family not in FAMILIES:
        raise PydanticCustomError("family_unknown", "Input should be one of the families of entry types")
    return family


Family = Annotated[str, AfterValidator(_known), WithJsonSchema({"type": "string", "enum": list(FAMILIES)})]
"""What an entry is about: the part of its type before the dot."""


class TimelineEntryOut(BaseModel):
    """Something that happened with the customer."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    type: EntryType
    occurred_at: datetime
    recorded_at: datetime
    title: str = Field(max_length=1000)
    data: dict[str, JsonValue] = Field(description="the facts, as the event told them")
