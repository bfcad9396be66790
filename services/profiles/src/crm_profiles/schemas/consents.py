"""Consents, quiet hours, frequency caps and the contact policy as they are sent and answered."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, JsonValue, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from crm_profiles.fields import Source
from crm_profiles.models.consents import Basis
from crm_profiles.schemas.base import Body
from crm_shared.contracts.permissions import (
    ConsentState,
    ContactPolicy,
    FrequencyCap,
    Purpose,
    PurposeRule,
    QuietWindow,
)
from crm_shared.fields import Instant, TimeZone, Whole
from crm_shared.permissions import INITIAL_POLICY, ContactChannel, Reason

Evidence = Annotated[str, StringConstraints(strip_whitespace=True, max_length=2000, pattern=r"\S")]

_POLICY: dict[str, JsonValue] = INITIAL_POLICY.model_dump(mode="json")


class ConsentIn(Body):
    """What the customer said, when, and how that can be shown."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "state": "granted",
                    "source": "web-shop",
                    "evidence": "Ticked “news by e-mail” at the checkout of order 2026-000123",
                }
            ]
        }
    )

    state: ConsentState
    basis: Basis = Field(default=Basis.CONSENT, description="legal basis; an objection is one too")
    source: Source | None = Field(default=None, description="the system or form where it was said")
    evidence: Evidence | None = Field(default=None, description="by which it can be shown")
    at: Instant | None = Field(default=None, description="when it was said; now, if absent")
    until: Instant | None = Field(default=None, description="from then on it does not count any more")


class ConsentOut(BaseModel):
    """The statement that counts for one purpose and channel."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    purpose: str = Field(max_length=32)
    channel: ContactChannel
    state: ConsentState
    basis: Basis
    since: datetime
    until: datetime | None
    source: str | None = Field(max_length=64)
    evidence: str | None = Field(
        max_length=2000, description="null too for callers without the scope pii:read"
    )
    recorded_at: datetime
    recorded_by: str = Field(max_length=255, description="who put it on file")


class PermissionOut(BaseModel):
    """All that counts for a customer; a purpose and channel without a statement is unknown."""

    customer_id: UUID
    version: int = Field(description="rises with each change; the ETag")
    items: list[ConsentOut]
    quiet_hours: list[QuietWindow] | None = Field(description="null: those of the company")
    caps: list[FrequencyCap] = Field(description="hold beside those of the company")
    time_zone: str | None = Field(
        max_length=64, description="in which quiet hours lie; null: that of the contact policy"
    )


class QuietWindowIn(Body, QuietWindow):
    """From one time on the customer's clock to another; to one that is not later: of the next day."""


class QuietHoursIn(Body):
    """When the customer is to be left alone."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"windows": [{"days": [1, 2, 3, 4, 5], "start": "20:00", "end": "09:00"}]}]
        }
    )

    windows: list[QuietWindowIn] | None = Field(
        max_length=14, description="null: as the company has them; none: at any time"
    )


class FrequencyCapIn(Body, FrequencyCap):
    """At most so many messages in any period of so many hours; no purpose or channel: of all together."""

    channel: ContactChannel | None = None


class FrequencyCapsIn(Body):
    """How often the customer wants to hear from us at most."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"caps": [{"purpose": "marketing", "limit": 1, "hours": 720}]}]}
    )

    caps: list[FrequencyCapIn] = Field(max_length=20)


class PurposeRuleIn(Body, PurposeRule):
    """What writing for a purpose has to respect."""


class ContactPolicyIn(Body):
    """The company's rules for writing to customers, as a whole."""

    model_config = ConfigDict(json_schema_extra={"examples": [_POLICY]})

    time_zone: TimeZone = Field(description="of customers whose own is not known")
    purposes: dict[Purpose, PurposeRuleIn] = Field(min_length=1, max_length=20)
    quiet_hours: list[QuietWindowIn] = Field(max_length=14)
    quiet_channels: list[ContactChannel] = Field(
        max_length=10, description="channels that disturb, and so respect quiet hours"
    )
    caps: list[FrequencyCapIn] = Field(max_length=20)
    attribution_days: Whole = Field(
        ge=1, le=90, description="for so long after a message a purchase is credited to it"
    )

    @model_validator(mode="after")
    def _names_its_own_purposes(self) -> "ContactPolicyIn":
        if any(cap.purpose not in self.purposes for cap in self.caps if cap.purpose is not None):
            raise PydanticCustomError("purpose_unknown", "A cap names a purpose that the policy has not")
        return self

    def policy(self) -> ContactPolicy:
        return ContactPolicy.model_validate(self.model_dump(mode="json"))


class ContactPolicyOut(ContactPolicy):
    """The company's rules for writing to customers."""

    version: int


class ContactPolicyVersionOut(BaseModel):
    """One version of the rules, and who wrote it."""

    model_config = ConfigDict(from_attributes=True)

    version: int
    policy: ContactPolicy
    created_at: datetime
    created_by: str = Field(max_length=255)


class RefusalOut(BaseModel):
    """One reason why nobody may write."""

    model_config = ConfigDict(from_attributes=True)

    reason: Reason
    until: datetime | None = Field(description="when this reason ends; null: not by itself")
    cap: FrequencyCap | None = Field(description="the cap that is reached")
    counted: int | None = Field(description="the messages that this cap has counted in its period")


class ContactDecisionOut(BaseModel):
    """May we write to them: yes, or every reason why not."""

    customer_id: UUID
    purpose: str = Field(max_length=32)
    channel: ContactChannel
    at: datetime
    allowed: bool
    reasons: list[RefusalOut]
    next_at: datetime | None = Field(
        description="the first instant from `at` on when it is allowed; null: never, without a new statement"
    )
    time_zone: str = Field(max_length=64, description="in which the quiet hours were read")
    local_time: datetime = Field(description="`at` on the customer's clock")
    consent: ConsentOut | None = Field(description="the statement that was looked at")
    permission_version: int
    policy_version: int
