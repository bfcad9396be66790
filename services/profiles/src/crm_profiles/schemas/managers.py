"""Account managers as they are assigned and answered."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from crm_profiles.schemas.base import Body
from crm_shared.contracts.segmentation import Level
from crm_shared.fields import VISIBLE, legible

Subject = Annotated[str, StringConstraints(strip_whitespace=True, max_length=200, pattern=VISIBLE), legible]
Why = Annotated[str, StringConstraints(strip_whitespace=True, max_length=500, pattern=r"\S")]


class ManagerIn(Body):
    """Who looks after the customer from now on."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"manager": "li.na", "reason": "became a VIP; speaks Cantonese"}]}
    )

    manager: Subject = Field(description="the `sub` by which they sign in")
    reason: Why | None = None


class ManagerOut(BaseModel):
    """Who looks after the customer, or that nobody does any more."""

    model_config = ConfigDict(from_attributes=True)

    manager: str | None = Field(max_length=200, description="null: nobody")
    reason: str | None = Field(max_length=500)
    assigned_at: datetime
    assigned_by: str | None = Field(max_length=255)


class AlertOut(BaseModel):
    """An important customer whom nobody looks after."""

    model_config = ConfigDict(from_attributes=True)

    customer_id: UUID
    name: str = Field(max_length=200)
    level: Level
    since: datetime = Field(description="since when they have the level")
