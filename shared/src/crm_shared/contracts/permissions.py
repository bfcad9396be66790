"""What permissions to write to customers are made of: consents, quiet hours, caps, the company's policy."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StringConstraints

from crm_shared.fields import Whole, whole

Purpose = Annotated[str, StringConstraints(pattern="^[a-z][a-z_]{0,31}$")]
ChannelName = Annotated[str, StringConstraints(pattern="^[a-z][a-z_]{0,31}$")]
"""A text in what is published, so that a new channel breaks nobody."""
DayOfWeek = Annotated[int, Field(strict=True, ge=1, le=7), whole]
ClockTime = Annotated[str, StringConstraints(pattern="^([01][0-9]|2[0-3]):[0-5][0-9]$", max_length=5)]

MAX_PERIOD_HOURS = 90 * 24
"""The longest period of a cap: older messages need not be remembered for counting."""


class ConsentNeeded(StrEnum):
    """What a purpose asks of the customer before anybody may write for it."""

    OPT_IN = "opt_in"
    """They have said yes."""
    OPT_OUT = "opt_out"
    """They have not said no."""
    NOTHING = "nothing"
    """It belongs to what they ordered: consent is no question."""


class ConsentState(StrEnum):
    """What the customer has said."""

    GRANTED = "granted"
    DENIED = "denied"


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True)


class Consent(_Part):
    """The newest statement for one purpose and channel; it holds from `since` until before `until`."""

    purpose: Purpose
    channel: ChannelName
    state: ConsentState
    basis: str = Field(max_length=32, description="legal basis")
    since: datetime
    until: datetime | None = None


class QuietWindow(_Part):
    """From one time on the customer's clock to another; to one that is not later: of the next day."""

    days: list[DayOfWeek] = Field(
        min_length=1, max_length=7, description="on which it begins: 1 is Monday", examples=[[1, 2, 3, 4, 5]]
    )
    start: ClockTime = Field(examples=["21:00"])
    end: ClockTime = Field(examples=["08:00"])


class FrequencyCap(_Part):
    """At most so many messages in any period of so many hours; no purpose or channel: of all together."""

    purpose: Purpose | None = None
    channel: ChannelName | None = None
    limit: Whole = Field(ge=1, le=1000, examples=[3])
    hours: Whole = Field(ge=1, le=MAX_PERIOD_HOURS, examples=[168])


class PurposeRule(_Part):
    """What writing for a purpose has to respect."""

    consent: ConsentNeeded
    quiet_hours: StrictBool = Field(description="not in the customer's quiet hours")
    capped: StrictBool = Field(description="not beyond the frequency caps; its messages count for them")
    attributed: StrictBool = Field(description="a purchase soon after such a message is credited to it")


class ContactPolicy(_Part):
    """The company's rules for writing to customers; a customer's own quiet hours replace these ones."""

    time_zone: str = Field(max_length=64, description="of customers whose own is not known")
    purposes: dict[Purpose, PurposeRule] = Field(
        min_length=1,
        max_length=20,
        examples=[
            {"marketing": {"consent": "opt_in", "quiet_hours": True, "capped": True, "attributed": True}}
        ],
    )
    quiet_hours: list[QuietWindow] = Field(max_length=14)
    quiet_channels: list[ChannelName] = Field(
        max_length=10, description="channels that disturb, and so respect quiet hours"
    )
    caps: list[FrequencyCap] = Field(max_length=20)
    attribution_days: Whole = Field(
        ge=1, le=90, description="for so long after a message a purchase is credited to it"
    )


class PermissionState(_Part):
    """All that was said under one customer id; what is null was never said."""

    consents: list[Consent] = []
    quiet_hours: list[QuietWindow] | None = Field(default=None, description="null: those of the company")
    quiet_hours_at: datetime | None = Field(default=None, description="when that was said")
    caps: list[FrequencyCap] = Field(default=[], description="hold beside those of the company")
    caps_at: datetime | None = None
