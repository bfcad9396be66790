"""Transfers as they are asked for."""

from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from crm_loyalty.schemas.base import Points, Text


class TransferIn(BaseModel):
    """Points to be given to another customer."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "to": "0197c9a5-5d2c-7c3e-8a53-0f5a3c0e7d11",
                    "points": 25,
                    "reason": "for the trip together",
                }
            ]
        },
    )

    to: UUID = Field(description="the customer who gets them")
    points: Points
    reason: Text | None = Field(default=None, description="what for, in words")
