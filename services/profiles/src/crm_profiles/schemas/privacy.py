"""Erasures, exports and the list of who must not come back, as they are asked for and answered."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from crm_profiles.fields import Reference, Region, Source
from crm_profiles.models.privacy import AnswerState, Erasure
from crm_profiles.schemas.base import Body
from crm_profiles.schemas.customers import ContactPointIn

_SOMEBODY = "0198f2c4-7a10-7c3e-9d52-3f6b8e1a2c4d"


class ErasureIn(Body):
    """Whom to forget."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"customer_id": _SOMEBODY}]})

    customer_id: UUID
    suppress: bool = Field(
        default=True,
        description="refuse imports and batches that would bring the person back; they themselves may return",
    )


class ErasureServiceOut(BaseModel):
    """What one service did; until `confirmed_at` is set it has not answered."""

    model_config = ConfigDict(from_attributes=True)

    service: str = Field(max_length=64)
    state: AnswerState = AnswerState.ANSWERED
    confirmed_at: datetime | None = None
    removed: dict[str, int] = Field(default={}, description="rows removed or cleared, by table")
    kept: dict[str, str] = Field(default={}, description="what stays and why, by table")


class ErasureOut(BaseModel):
    """The receipt of an erasure."""

    id: UUID
    customer_id: UUID
    requested_at: datetime
    complete: bool = Field(description="every service has confirmed")
    completed_at: datetime | None = None
    overdue: bool = Field(description="some service has not confirmed within the time it has")
    services: list[ErasureServiceOut]
    topics_clear_at: datetime = Field(
        description="by then the broker has deleted what it still holds of the customer"
    )

    @classmethod
    def of(
        cls,
        erasure: Erasure,
        services: Sequence[str],
        *,
        retention: timedelta,
        within: timedelta,
        at: datetime,
    ) -> "ErasureOut":
        """Those of the services that have not confirmed yet are shown too."""
        confirmed = {
            confirmation.service: ErasureServiceOut.model_validate(confirmation)
            for confirmation in erasure.confirmations
        }
        complete = confirmed.keys() >= set(services)
        late = at > erasure.requested_at + within
        missing = AnswerState.OVERDUE if late else AnswerState.WAITING
        return cls(
            id=erasure.id,
            customer_id=erasure.customer_id,
            requested_at=erasure.requested_at,
            complete=complete,
            completed_at=erasure.completed_at,
            overdue=late and not complete,
            services=[
                confirmed.get(name, ErasureServiceOut(service=name, state=missing)) for name in services
            ],
            topics_clear_at=erasure.requested_at + retention,
        )


class PrivacyExportIn(Body):
    """Whose data to gather."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"customer_id": _SOMEBODY}]})

    customer_id: UUID


class PrivacyExportServiceOut(BaseModel):
    """How far one service is with its part."""

    model_config = ConfigDict(from_attributes=True)

    service: str = Field(max_length=64)
    state: AnswerState
    received: int = Field(description="pages that have come")
    pages: int | None = Field(default=None, description="pages that the service announced")
    answered_at: datetime | None = None


class PrivacyExportOut(BaseModel):
    """An export of all that is held about a customer, and how far it is."""

    id: UUID
    customer_id: UUID
    requested_at: datetime
    expires_at: datetime
    expired: bool = Field(description="the archive is gone")
    complete: bool = Field(description="every service has answered; else the archive says what is missing")
    services: list[PrivacyExportServiceOut]


class ExternalIdIn(Body):
    """What another system calls somebody."""

    source: Source
    external_id: Reference


class SuppressionsIn(Body):
    """By what somebody was reached and named; phone numbers without country code are of the region."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "contact_points": [{"kind": "email", "value": "xiaoming@example.com"}],
                    "external_ids": [{"source": "shop", "external_id": "C-1001"}],
                }
            ]
        }
    )

    region: Region | None = None
    contact_points: list[ContactPointIn] = Field(default=[], max_length=50)
    external_ids: list[ExternalIdIn] = Field(default=[], max_length=50)


class SuppressionLiftIn(SuppressionsIn):
    """What to take off the list."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "contact_points": [{"kind": "email", "value": "xiaoming@example.com"}],
                    "reason": "asked in the shop to be a member again",
                }
            ]
        }
    )

    reason: Annotated[str, StringConstraints(strip_whitespace=True, max_length=500, pattern=r"\S")] = Field(
        description="why; without names, for it is kept"
    )


class SuppressionOut(BaseModel):
    """Whether one of the things asked for is on the list; which one, `pointer` says."""

    pointer: str = Field(max_length=100, description="into the request", examples=["/contact_points/0"])
    suppressed: bool
    erasure_id: UUID | None = None
    suppressed_at: datetime | None = None
    lifted_at: datetime | None = None
    lifted_by: str | None = Field(default=None, max_length=200)
    lift_reason: str | None = Field(default=None, max_length=500)


class SuppressionsOut(BaseModel):
    """What the list says of each thing that was asked for, in their order."""

    items: list[SuppressionOut] = Field(max_length=100)
