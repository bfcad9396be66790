"""What segmentation tells the world: how valuable a customer is, and to which segments they belong."""

from datetime import date, datetime
from enum import StrEnum
from typing import ClassVar

from pydantic import Field

from crm_shared.contracts.base import Event


class Level(StrEnum):
    """How much a customer matters; every customer has exactly one."""

    VIP = "vip"
    IMPORTANT = "important"
    ORDINARY = "ordinary"
    POTENTIAL = "potential"


class LevelChanged(Event):
    """The customer's level is another one; the first level counts as a change from nothing."""

    type: ClassVar[str] = "segmentation.level.changed.v1"
    subject_field: ClassVar[str] = "customer_id"

    level: Level
    previous: Level | None = None
    reason: str = Field(description="the figures and thresholds that led to it, in words")
    thresholds_version: int
    business_day: date
    until: datetime | None = Field(default=None, description="end of a manual override")


class MembershipState(Event):
    """Whether a customer is in a segment after the change; `version` is that of this membership.

    A merge is no exception: who was absorbed leaves every segment, and what the survivor enters or leaves by
    it is told of the survivor.
    """

    subject_field: ClassVar[str] = "segment"

    segment: str = Field(description="key of the segment")
    segment_version: int = Field(ge=1, description="version of the segment's rule that decided it")
    reason: str = Field(description="what made the difference, in words")
    occurred_at: datetime = Field(description="from when on it is so")

    @property
    def subject(self) -> str:
        return f"{self.customer_id}/{self.segment}"


class MembershipEntered(MembershipState):
    """The customer belongs to the segment now."""

    type: ClassVar[str] = "segmentation.membership.entered.v1"


class MembershipLeft(MembershipState):
    """The customer does not belong to the segment any more."""

    type: ClassVar[str] = "segmentation.membership.left.v1"
