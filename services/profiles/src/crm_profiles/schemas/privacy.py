"""Erasures as they are asked for and answered."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from crm_profiles.models.privacy import Erasure
from crm_profiles.schemas.base import Body


class ErasureIn(Body):
    """Whom to forget."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"customer_id": "0198f2c4-7a10-7c3e-9d52-3f6b8e1a2c4d"}]}
    )

    customer_id: UUID


class ErasureServiceOut(BaseModel):
    """What one service did; until `confirmed_at` is set it has not answered."""

    model_config = ConfigDict(from_attributes=True)

    service: str = Field(max_length=64)
    confirmed_at: datetime | None = None
    removed: dict[str, int] = {}
    kept: dict[str, str] = {}


class ErasureOut(BaseModel):
    """The receipt of an erasure."""

    id: UUID
    customer_id: UUID
    requested_at: datetime
    complete: bool = Field(description="every service has confirmed")
    services: list[ErasureServiceOut]
    topics_clear_at: datetime = Field(
        description="by then the broker has deleted what it still holds of the customer"
    )

    @classmethod
    def of(cls, erasure: Erasure, services: Sequence[str], retention: timedelta) -> "ErasureOut":
        """Those of the services that have not confirmed yet are shown too."""
        confirmed = {
            confirmation.service: ErasureServiceOut.model_validate(confirmation)
            for confirmation in erasure.confirmations
        }
        return cls(
            id=erasure.id,
            customer_id=erasure.customer_id,
            requested_at=erasure.requested_at,
            complete=confirmed.keys() >= set(services),
            services=[confirmed.get(name, ErasureServiceOut(service=name)) for name in services],
            topics_clear_at=erasure.requested_at + retention,
        )
