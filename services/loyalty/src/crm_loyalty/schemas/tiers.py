"""Tiers as they are written and answered."""

from datetime import datetime
from itertools import pairwise
from typing import Annotated, Self
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from crm_loyalty.rules.tiers import TierBasis, TierPeriodKind, TierReason
from crm_loyalty.schemas.base import Currency, Key, Text
from crm_shared.contracts.calendars import Language, Name
from crm_shared.fields import Instant, Whole

Line = Annotated[str, StringConstraints(strip_whitespace=True, max_length=200, pattern=r"\S")]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", from_attributes=True)


class TierBenefits(_Part):
    """What customers of the tier get."""

    multiplier_percent: Whole = Field(
        default=100,
        ge=100,
        le=10_000,
        description="of what others earn, as customers are told: an earning rule gives it",
    )
    discount_percent: Whole = Field(default=0, ge=0, le=100)
    texts: list[Line] = Field(default=[], max_length=20, examples=[["Free shipping"]])


class TierIn(_Part):
    """One tier of the ladder."""

    key: Key = Field(examples=["gold"])
    names: dict[Language, Name] = Field(
        min_length=1, max_length=20, examples=[{"en": "Gold", "zh": "金卡", "es": "Oro"}]
    )
    threshold: Whole | None = Field(
        default=None,
        ge=1,
        le=2**53,
        description="as much of the basis as reaches it; money in minor units; null: by invitation only",
        examples=[50_000],
    )
    benefits: TierBenefits = TierBenefits()


class TierPeriodIn(_Part):
    """Over which time the basis is counted, and for how long a tier is held once it is reached."""

    kind: TierPeriodKind
    months: Whole = Field(default=12, ge=1, le=60, description="of a rolling period; others are a year")


def _rising(tiers: list[TierIn]) -> list[TierIn]:
    if len({tier.key for tier in tiers}) < len(tiers):
        raise PydanticCustomError("tier_twice", "Each tier has a key of its own")
    thresholds = [tier.threshold for tier in tiers if tier.threshold is not None]
    if any(higher <= lower for lower, higher in pairwise(thresholds)):
        raise PydanticCustomError("thresholds_fall", "Thresholds rise from the first tier to the last")
    return tiers


class TierLadderIn(_Part):
    """All tiers, the lowest first, and how they are reached and lost.

    Days and years begin in the programme's time zone, which the points policy has.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "basis": "net_spend",
                    "currency": "USD",
                    "period": {"kind": "calendar_year"},
                    "grace_days": 30,
                    "notice_days": 30,
                    "tiers": [
                        {"key": "silver", "names": {"en": "Silver"}, "threshold": 20_000},
                        {
                            "key": "gold",
                            "names": {"en": "Gold"},
                            "threshold": 100_000,
                            "benefits": {"multiplier_percent": 150, "discount_percent": 5},
                        },
                        {"key": "black", "names": {"en": "Black"}},
                    ],
                }
            ]
        }
    )

    basis: TierBasis
    currency: Currency | None = Field(
        default=None,
        description="of what is spent: purchases in others do not count; null for other bases",
    )
    period: TierPeriodIn
    grace_days: Whole = Field(default=0, ge=0, le=366, description="after the period, before a tier is lost")
    notice_days: Whole = Field(
        default=0, ge=0, le=366, description="so long before the loss it is announced; 0: it is not"
    )
    tiers: Annotated[list[TierIn], AfterValidator(_rising)] = Field(min_length=1, max_length=20)

    @model_validator(mode="after")
    def _money_has_a_currency(self) -> Self:
        if (self.basis in (TierBasis.SPEND, TierBasis.NET_SPEND)) != (self.currency is not None):
            raise PydanticCustomError("currency_mismatch", "What is spent has a currency, nothing else")
        return self


class TierLadderOut(TierLadderIn):
    """One version of the ladder."""

    model_config = ConfigDict(extra="ignore")

    version: int
    created_at: datetime
    created_by: str


class TierLadderVersionOut(BaseModel):
    """That somebody wrote a version."""

    model_config = ConfigDict(from_attributes=True)

    version: int
    created_at: datetime
    created_by: str


class TierGrantIn(_Part):
    """A tier given by hand: it counts where it is higher than what the customer has reached."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"tier": "gold", "until": "2027-01-01T00:00:00Z", "reason": "Guest of the opening"}]
        }
    )

    tier: Key
    until: Instant
    reason: Text


class TierGrantOut(BaseModel):
    """What was given by hand."""

    tier: str
    until: datetime
    reason: str | None
    by: str | None


class NextTierOut(BaseModel):
    """The lowest tier above that can be reached."""

    tier: str
    threshold: int
    missing: int = Field(description="of the basis, in this period")


class CustomerTierOut(BaseModel):
    """Where a customer stands, and why."""

    customer_id: UUID
    tier: str | None
    why: TierReason
    explanation: str
    since: datetime | None = Field(description="when what was reached was reached; null: nothing was")
    until: datetime | None = Field(description="the end of the period that it is held for")
    lost_at: datetime | None = Field(description="when it goes after that unless it is reached again")
    falls_to: str | None = Field(description="what would be left then, by what is counted so far")
    granted: TierGrantOut | None
    basis: TierBasis
    currency: str | None
    counted_from: datetime = Field(description="the beginning of this period")
    total: int = Field(description="of the basis in this period; money in minor units")
    next: NextTierOut | None
    benefits: TierBenefits | None
    ladder_version: int
    version: int = Field(description="of what was told of the customer's tier")


class TierChangeOut(BaseModel):
    """That a customer's tier changed."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    previous: str | None
    tier: str | None
    why: str
    total: int
    until: datetime | None
    ladder_version: int
    at: datetime


class TierMoveOut(BaseModel):
    """So many customers would go from one tier to another."""

    previous: str | None
    tier: str | None
    customers: int
    examples: list[UUID] = Field(description="some of them")


class TierPreviewOut(BaseModel):
    """What another ladder would change."""

    at: datetime
    customers: int = Field(description="who have an account, merged ones counted once")
    stay: int = Field(description="who would have the tier that they have")
    moves: list[TierMoveOut] = Field(
        description="by what is counted in the new ladder's period: who rises does so at once,"
        " who falls does so when the period is over and the grace, too"
    )
