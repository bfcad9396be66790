"""Notes as they are sent and answered."""

from datetime import date, datetime
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from crm_profiles.fields import Label
from crm_profiles.models.notes import NoteKind
from crm_profiles.schemas.base import Body
from crm_profiles.schemas.interactions import MAX_TEXT, Text
from crm_shared.fields import Day


class NotePatch(Body):
    """Members that are absent stay as they are, null clears (RFC 7396)."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"pinned": True, "due_on": None}]})

    # Null is refused for these three: the defaults are never used, for only what was sent is applied.
    kind: NoteKind = NoteKind.GENERAL
    text: Text = Field(default_factory=str)
    pinned: bool = Field(default=False, strict=True, description="stands first on the file")
    about: Label | None = Field(default=None, description="a product, a person, an occasion")
    follow_up_id: UUID | None = Field(default=None, description="the planned contact that comes of it")
    due_on: Day | None = Field(default=None, description="when somebody should come back to it")


class NoteIn(NotePatch):
    """What is to be remembered of a customer."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "kind": "need",
                    "text": "Looks for a turntable, up to 300 dollars",
                    "about": "turntable",
                    "due_on": "2026-04-01",
                    "pinned": True,
                }
            ]
        }
    )

    text: Text


class NoteOut(BaseModel):
    """What is remembered of a customer."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    customer_id: UUID
    kind: NoteKind
    text: str = Field(max_length=MAX_TEXT)
    about: str | None = Field(max_length=200)
    follow_up_id: UUID | None
    due_on: date | None
    pinned: bool
    author: str | None = Field(max_length=200, description="who wrote it first")
    version: int
    created_at: datetime
    updated_at: datetime
