"""The points policy as it is written and answered."""

from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from crm_loyalty.models.points_policy import DebtRule
from crm_loyalty.rules.earning import Rounding
from crm_loyalty.rules.expiry import ExpiryRule
from crm_loyalty.schemas.base import MAX_POINTS
from crm_shared.fields import TimeZone, Whole

MEMBERS = 6
MAX_MEMBERS = 50
"""Of a pool: whoever spends in one locks the accounts of all."""


class PointsPolicyIn(BaseModel):
    """How long points live, and what happens to those that a refund takes back too late."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "time_zone": "Asia/Shanghai",
                    "expiry": "end_of_year",
                    "expires_after": 12,
                    "notice_days": 30,
                    "debt": "owe",
                    "approval_above": 1000,
                }
            ]
        },
    )

    time_zone: TimeZone = Field(description="of the programme: its days, months and years begin there")
    expiry: ExpiryRule = Field(
        description="`days`: through the n-th day after they were earned; `end_of_month`, `end_of_year`:"
        " through the last day of the month or year that is n months later; `inactivity`: through the n-th"
        " day after the customer last earned or spent"
    )
    expires_after: Whole | None = Field(
        default=None, ge=0, le=36_500, description="n, in days or months; null for `never`"
    )
    notice_days: Whole = Field(
        default=30, ge=0, le=366, description="so many days before, the customer's points are announced"
    )
    debt: DebtRule = Field(
        default=DebtRule.OWE,
        description="points that a refund takes back but that were spent: owed, and paid by the next ones, or"
        " forgiven",
    )
    approval_above: Whole | None = Field(
        default=None,
        ge=0,
        le=MAX_POINTS,
        description="an adjustment of more points than this needs a second person; null: none does",
    )
    transfer_max: Whole | None = Field(
        default=None,
        ge=0,
        le=MAX_POINTS,
        description="points that a customer may transfer to others in one day of the programme's zone; null:"
        " no limit, 0: none may be transferred",
    )
    pool_members_max: Whole = Field(
        default=MEMBERS,
        ge=0,
        le=MAX_MEMBERS,
        description="how many customers may share their points in a pool; 0: no pool can be made",
    )
    rounding: Rounding = Field(
        default=Rounding.DOWN,
        description="what becomes of what is left of an amount beyond the whole `per_amount` of an earning"
        " rule, once per purchase and rule",
    )

    @model_validator(mode="after")
    def _says_when(self) -> "PointsPolicyIn":
        if (self.expiry is ExpiryRule.NEVER) != (self.expires_after is None):
            raise PydanticCustomError(
                "expires_after_contradicts", "Say expires_after for every expiry but `never`"
            )
        return self


class PointsPolicyOut(BaseModel):
    """The policy in force; lots keep the version under which they were earned."""

    model_config = ConfigDict(from_attributes=True)

    version: int
    time_zone: str
    expiry: ExpiryRule
    expires_after: int | None
    notice_days: int
    debt: DebtRule
    approval_above: int | None
    transfer_max: int | None
    pool_members_max: int
    rounding: Rounding
    created_at: datetime
    created_by: str = Field(max_length=255)
