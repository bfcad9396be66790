"""Merges as they are asked for, shown beforehand, and answered."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue, WithJsonSchema
from pydantic_core import PydanticCustomError

from crm_profiles.models.customers import ContactKind
from crm_profiles.models.merges import Merge, Side, Taken
from crm_profiles.schemas.base import Body
from crm_profiles.schemas.customers import (
    MAX_CONTACT_POINT,
    ContactPointOut,
    CustomerMembers,
    ExternalIdOut,
)
from crm_shared.fields import Whole

_NOT_CHOSEN = ("contact_points", "channel", "birth_calendar", "lunar_birth_date")
MEMBERS = (*(name for name in CustomerMembers.model_fields if name not in _NOT_CHOSEN), "manager")
"""Of these somebody may say whose value is to be taken; a birthday's calendar goes with `birth_date`."""


def _known(name: str) -> str:
    if name not in MEMBERS:
        raise PydanticCustomError(
            "member_unknown", "One of {names} is preferred", {"names": ", ".join(MEMBERS)}
        )
    return name


Member = Annotated[str, AfterValidator(_known), WithJsonSchema({"type": "string", "enum": list(MEMBERS)})]
Reason = Annotated[str, Field(min_length=1, max_length=500, pattern=r"\S")]

_PAIR: dict[str, JsonValue] = {
    "survivor_id": "0198f2c4-7a10-7c3e-9d52-3f6b8e1a2c4d",
    "absorbed_id": "0198f2c4-8b21-7d4f-8e63-4a7c9f2b3d5e",
    "prefer": {"name": "absorbed"},
}


class MergePreviewIn(Body):
    """Who is to become one with whom; an id that was merged before means whom it means today."""

    model_config = ConfigDict(json_schema_extra={"examples": [_PAIR]})

    survivor_id: UUID = Field(description="stays")
    absorbed_id: UUID = Field(description="means the survivor from then on")
    prefer: dict[Member, Side] = Field(
        default={},
        max_length=len(MEMBERS),
        description="by member, whose value is taken if they have one; else tags and custom attributes are"
        " united, and of everything else the survivor's value is taken if they have one",
    )


class MergeIn(MergePreviewIn):
    """A merge that is to be made."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [_PAIR | {"survivor_version": 3, "absorbed_version": 1, "reason": "the same phone"}]
        }
    )

    survivor_version: Whole | None = Field(
        default=None, ge=1, le=2**53, description="merge only while this is the survivor's version"
    )
    absorbed_version: Whole | None = Field(default=None, ge=1, le=2**53)
    reason: Reason | None = None


class UndoIn(Body):
    """Why a merge is undone."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"reason": "father and son"}]})

    reason: Reason | None = None


class MergeMemberOut(BaseModel):
    """One member of the two, and of the customer whom they would become."""

    model_config = ConfigDict(from_attributes=True)

    member: str = Field(max_length=64)
    survivor: JsonValue
    absorbed: JsonValue
    result: JsonValue
    taken: Taken = Field(description="where the result comes from")
    conflict: bool = Field(description="both have a value, and one of them would be lost")


class MergePreviewOut(BaseModel):
    """What a merge would do; nothing of it is done."""

    survivor_id: UUID = Field(description="whom that id means today")
    absorbed_id: UUID = Field(description="whom that id means today")
    survivor_version: int
    absorbed_version: int
    members: list[MergeMemberOut]
    conflicts: list[str] = Field(description="members in which one value would be lost", examples=[["name"]])
    contact_points: list[ContactPointOut] = Field(description="all that the one customer would have")
    external_ids: list[ExternalIdOut] = Field(description="all that the one customer would have")
    moves: dict[str, int] = Field(
        description="rows that would go to the survivor, by table", examples=[{"purchases": 3}]
    )


class MissingPointOut(BaseModel):
    """A contact point that did not come back with the customer to whom it belonged before the merge."""

    model_config = ConfigDict(from_attributes=True)

    kind: ContactKind
    value: str = Field(max_length=MAX_CONTACT_POINT)
    taken_by: UUID | None = Field(description="who has it now; null: it was given up after the merge")


class UndoingOut(BaseModel):
    """How a merge was undone, and what it did not bring back."""

    at: datetime
    by: str = Field(max_length=255)
    reason: str | None = Field(max_length=500)
    kept: list[str] = Field(
        description="members of the survivor that the merge had changed and somebody else since: they stayed"
    )
    missing: list[MissingPointOut]


class MergeOut(BaseModel):
    """Two customers who were made one, and whether that was undone."""

    id: UUID
    survivor_id: UUID
    absorbed_id: UUID
    survivor_version: int = Field(description="before the merge")
    absorbed_version: int = Field(description="before the merge")
    prefer: dict[str, Side]
    moved: dict[str, int] = Field(description="rows that went to the survivor, by table")
    reason: str | None = Field(max_length=500)
    made_at: datetime
    made_by: str = Field(max_length=255)
    undone: UndoingOut | None = Field(description="null: the merge is in force")

    @classmethod
    def of(cls, merge: Merge) -> "MergeOut":
        undone = None
        if merge.undone_at is not None:
            missing = [point for image in merge.images for point in image.missing]
            undone = UndoingOut(
                at=merge.undone_at,
                by=merge.undone_by or "",
                reason=merge.undo_reason,
                kept=merge.kept,
                missing=[MissingPointOut.model_validate(point) for point in missing],
            )
        own: dict[str, Any] = {name: getattr(merge, name) for name in cls.model_fields if name != "undone"}
        return cls(**own, undone=undone)
