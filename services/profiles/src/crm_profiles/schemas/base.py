"""What all bodies of profiles have in common."""

from pydantic import BaseModel, ConfigDict, Field, JsonValue

MAX_BATCH = 1000


class Body(BaseModel):
    """What is sent to us: a member that we do not know is a mistake."""

    model_config = ConfigDict(extra="forbid")


class Verdict(BaseModel):
    """What became of one item of a batch."""

    index: int = Field(description="position in the batch, from 0")
    status: str = Field(
        max_length=20, description="created, updated, unchanged or failed", examples=["created"]
    )
    problem: dict[str, JsonValue] | None = Field(default=None, description="why it failed")
