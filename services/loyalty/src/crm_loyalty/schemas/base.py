"""What bodies of loyalty have in common."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, JsonValue, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from crm_shared.fields import whole

MAX_POINTS = 1_000_000_000


Points = Annotated[int, Field(strict=True, ge=1, le=MAX_POINTS, examples=[25]), whole]

Currency = Annotated[str, StringConstraints(pattern="^[A-Z]{3}$", max_length=3)]

Text = Annotated[str, StringConstraints(strip_whitespace=True, max_length=500, pattern=r"\S")]

Key = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,63}$", max_length=64)]
"""What people call a thing that is written in versions."""

TypedCode = Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=r"^[0-9A-Za-z -]+$")]
"""A code as people type it."""


class WhyNotOut(BaseModel):
    """Why something cannot be had: what the real request would answer."""

    code: str
    detail: str
    values: dict[str, JsonValue] = Field(
        default={}, description="what the detail speaks of, by the name it has there, as `expires_at`"
    )


class Translations(BaseModel):
    """The same in each language."""

    model_config = ConfigDict(extra="forbid")

    en: Text | None = None
    es: Text | None = None
    zh: Text | None = None

    @model_validator(mode="after")
    def _says_something(self) -> "Translations":
        if self.en is None and self.es is None and self.zh is None:
            raise PydanticCustomError("texts_empty", "Say it in one language at least")
        return self
