"""What segmentation tells the world: how valuable a customer is."""

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
