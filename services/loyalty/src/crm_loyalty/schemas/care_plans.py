"""Care plans as they are written and shown: when, to whom, what, and how often at most."""

from datetime import date, datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from crm_loyalty.models.care import AfterComplaint, OccasionState
from crm_loyalty.schemas.base import Key, Points, Translations
from crm_loyalty.schemas.programme import FigureOut
from crm_loyalty.schemas.segments import SegmentsIn, require_somebody
from crm_shared.contracts.calendars import BirthdayPolicy, CalendarCode, EndTime, HolidayKey, Language
from crm_shared.contracts.permissions import ClockTime, Purpose
from crm_shared.contracts.segmentation import Level
from crm_shared.fields import Day, Whole, require_range
from crm_shared.permissions import ContactChannel

Word = Annotated[
    str, StringConstraints(strip_whitespace=True, max_length=100, pattern=r"^[^\x00]*\S[^\x00]*$")
]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class BirthdayTrigger(_Part):
    """So many days after the customer's birthday, solar or lunar; negative: before it."""

    kind: Literal["birthday"]
    days: Whole = Field(default=0, ge=-60, le=60)
    birthdays: BirthdayPolicy = Field(
        default=BirthdayPolicy(), description="in years that lack the day on which somebody was born"
    )


class HolidayTrigger(_Part):
    """So many days after the first day of a holiday; negative: before it."""

    kind: Literal["holiday"]
    calendar: CalendarCode = Field(examples=["CN"])
    holiday: HolidayKey = Field(examples=["mid-autumn"])
    days: Whole = Field(default=0, ge=-60, le=60)


class InactivityTrigger(_Part):
    """So many days after the last purchase, if none has followed."""

    kind: Literal["inactivity"]
    days: Whole = Field(ge=1, le=3650)


class AnniversaryTrigger(_Part):
    """Each year so many days after the day on which the customer came to be known."""

    kind: Literal["anniversary"]
    days: Whole = Field(default=0, ge=-60, le=60)


class TierTrigger(_Part):
    """When the customer rises to one of these tiers; who falls to it from a higher one is not meant."""

    kind: Literal["tier"]
    tiers: list[Key] = Field(min_length=1, max_length=20)


class DateTrigger(_Part):
    """On one day."""

    kind: Literal["date"]
    on: Day


Trigger = Annotated[
    BirthdayTrigger | HolidayTrigger | InactivityTrigger | AnniversaryTrigger | TierTrigger | DateTrigger,
    Field(discriminator="kind"),
]


class AudienceIn(_Part):
    """Whom the plan is for; an empty list asks nothing, of several lists all must hold."""

    tiers: list[Key] = Field(default=[], max_length=20)
    levels: list[Level] = Field(default=[], max_length=4)
    tags: list[Word] = Field(default=[], max_length=50, description="one of them")
    regions: list[Word] = Field(default=[], max_length=50)
    languages: list[Language] = Field(default=[], max_length=50)
    segments: SegmentsIn = SegmentsIn()


class MessageAction(_Part):
    """The message: by which channel, and for which purpose of the contact policy."""

    template: Key
    channel: Literal["email", "sms"]
    purpose: Purpose = Field(default="greeting", examples=["greeting"])

    @property
    def by(self) -> ContactChannel:
        return ContactChannel(self.channel)


class ActionIn(_Part):
    """What happens: all of it, or nothing where the message may not be sent."""

    message: MessageAction | None = None
    points: Points | None = None
    coupon: Key | None = Field(default=None, description="key of a coupon series")

    @model_validator(mode="after")
    def _does_something(self) -> "ActionIn":
        if self.message is None and self.points is None and self.coupon is None:
            raise PydanticCustomError("action_empty", "A plan sends a message or gives something")
        return self


class PlanIn(BaseModel):
    """A plan runs once per customer and cycle: the year, the holiday, the purchase or the tier's change."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "names": {"en": "Birthday", "es": "Cumpleaños", "zh": "生日"},
                    "trigger": {"kind": "birthday"},
                    "audience": {"levels": ["vip"]},
                    "action": {"points": 200},
                    "budget": 1000,
                }
            ]
        },
    )

    names: Translations
    trigger: Trigger
    audience: AudienceIn = AudienceIn()
    action: ActionIn
    max_per_year: Whole | None = Field(
        default=None, ge=1, le=366, description="times per customer in a calendar year; null: no cap"
    )
    budget: Whole | None = Field(
        default=None, ge=1, le=1_000_000_000, description="times in all, for ever; null: no end"
    )
    window_start: ClockTime = Field(default="09:00", description="on the customer's clock")
    window_end: EndTime = "20:00"
    patience_days: Whole = Field(
        default=3, ge=0, le=60, description="for so many days after its day it may still happen"
    )
    after_complaint: AfterComplaint = Field(
        default=AfterComplaint.RELEASE,
        description="what becomes of what was held back during a severe complaint",
    )
    active: bool = True

    @model_validator(mode="after")
    def _reaches_somebody(self) -> "PlanIn":
        require_somebody(self.audience.segments, at=("audience", "segments"))
        return self

    @model_validator(mode="after")
    def _window_opens(self) -> "PlanIn":
        require_range(self, "window_start", "window_end")
        return self


class PlanOut(BaseModel):
    """The newest version of a plan."""

    model_config = ConfigDict(from_attributes=True)

    key: str
    version: int
    names: Translations
    trigger: Trigger
    audience: AudienceIn
    action: ActionIn
    max_per_year: int | None
    budget: int | None
    window_start: str
    window_end: str
    patience_days: int
    after_complaint: AfterComplaint
    active: bool
    created_at: datetime
    created_by: str


REASONS = {
    "plan_inactive": "the plan was switched off",
    "too_late": "more days have passed than the plan is patient",
    "send_window": "the plan's hours were over; while it waits: they have not come yet",
    "already": "it happened under another id of the same person",
    "bought_since": "they have bought again",
    "yearly_cap": "the plan has reached them as often as it may in a year",
    "budget": "the plan's budget was used up",
    "no_address": "no e-mail address or phone number is known",
    "no_text": "the template has no text for the channel",
    "customer_unknown": "nothing is known of the customer any more",
    "consent_missing": "they have not consented",
    "consent_denied": "they do not want it",
    "quiet_hours": "it was night, or another time at which they are left alone",
    "frequency_cap": "they had had as many messages as they may",
    "purpose_unknown": "the contact policy has no such purpose any more",
    "severe_complaint": "a severe complaint of theirs is open, or was when it should have happened",
    "coupon_limit": "no coupon was left",
    "coupon_suspended": "the series of coupons is suspended",
}
"""All reasons why something is put off, held or skipped, in words."""

Why = Annotated[
    str | None, Field(description="; ".join(f"{code}: {words}" for code, words in REASONS.items()))
]


class OccasionOut(BaseModel):
    """A customer whom a plan reaches, and what became of it."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    plan: str = Field(validation_alias="plan_key", description="key of the plan")
    customer_id: UUID
    cycle: str = Field(description="what it happens once for: a year, a day, a purchase, a tier's change")
    day: date = Field(description="on which it is to happen, by the customer's clock")
    state: OccasionState
    reason: Why
    act_at: datetime = Field(description="when it happens, or happened")
    give_up_at: datetime = Field(description="from when on it is too late")
    plan_version: int | None
    settled_at: datetime | None
    message_id: UUID | None
    points: int | None
    coupon_id: UUID | None


class DryRunItemOut(BaseModel):
    """What would become of one customer, by what is known now."""

    customer_id: UUID
    cycle: str
    at: datetime | None = Field(description="when it would happen; null: it would not")
    outcome: str = Field(description="act, postpone, hold or skip")
    reason: Why


class PlanReportOut(BaseModel):
    """What a plan has done so far, each number with its definition."""

    key: str
    planned: FigureOut
    waiting: FigureOut
    held: FigureOut
    done: FigureOut
    skipped: FigureOut
    skipped_by_reason: dict[str, int] = Field(description="the skipped ones by their reason")
    messages_sent: FigureOut
    messages_failed: FigureOut
    points: FigureOut
    coupons: FigureOut
