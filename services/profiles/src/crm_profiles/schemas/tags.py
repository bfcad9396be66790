"""Tags as they are answered."""

from pydantic import BaseModel, Field


class TagOut(BaseModel):
    """A tag that customers have."""

    tag: str = Field(max_length=64)
    customers: int = Field(description="customers on file who have it; erased and absorbed ones do not count")
