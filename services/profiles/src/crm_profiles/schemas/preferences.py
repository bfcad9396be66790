"""Preferences as they are told and answered."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, JsonValue, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from crm_profiles.fields import Label, Source
from crm_profiles.models.preferences import PreferenceKind
from crm_profiles.schemas.base import Body
from crm_shared.fields import VISIBLE, Instant, legible

Topic = Annotated[str, StringConstraints(max_length=64, pattern=r"^[a-z][a-z0-9_.-]*$")]
Finding = Annotated[str, StringConstraints(strip_whitespace=True, max_length=200, pattern=VISIBLE), legible]


class PreferenceIn(Body):
    """What a customer prefers; what is inferred says how sure that is."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"value": "evenings", "source": "phone-call"},
                {
                    "kind": "inferred",
                    "value": "jazz",
                    "source": "listening-model",
                    "confidence": 0.8,
                    "evidence": {"plays": "40 of 50"},
                },
            ]
        }
    )

    value: Label
    kind: PreferenceKind = PreferenceKind.STATED
    source: Source = Field(description="who says so: a system, a form, a conversation")
    confidence: float | None = Field(
        default=None, ge=0, le=1, strict=True, description="only for what is inferred, and then always"
    )
    evidence: Annotated[dict[Topic, Finding], Field(max_length=20)] | None = Field(
        default=None, description="what it is inferred from"
    )
    known_at: Instant | None = Field(default=None, description="when it was said or concluded; default: now")

    @model_validator(mode="after")
    def _sure_of_what_is_inferred(self) -> "PreferenceIn":
        if (self.kind is PreferenceKind.INFERRED) != (self.confidence is not None):
            raise PydanticCustomError(
                "confidence_misplaced", "What is inferred has a confidence, what is stated has none"
            )
        return self


class PreferenceOut(BaseModel):
    """What a customer prefers in one matter, by their own word or by a conclusion."""

    model_config = ConfigDict(from_attributes=True)

    topic: str = Field(max_length=64)
    kind: PreferenceKind
    value: str = Field(max_length=200)
    source: str = Field(max_length=64, description="`purchases`: concluded here, from order lines")
    confidence: float | None = Field(description="0 to 1; null for what was stated")
    evidence: dict[str, JsonValue] | None
    known_at: datetime


class PreferencesOut(BaseModel):
    """All preferences of a customer, by topic; what was stated comes before what was inferred."""

    customer_id: UUID
    definition: str = Field(max_length=1000, description="how `purchases` concludes")
    items: list[PreferenceOut]
