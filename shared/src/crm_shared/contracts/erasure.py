"""How a service confirms that it has erased a customer."""

from typing import ClassVar
from uuid import UUID

from crm_shared.contracts.base import Event


class ErasureConfirmed(Event):
    """What this service removed, and what it kept and why; each service has its own type."""

    subject_field: ClassVar[str] = "erasure_id"
    survives_erasure: ClassVar[bool] = True

    erasure_id: UUID
    service_name: str
    removed: dict[str, int]
    kept: dict[str, str]


class SegmentationErasureConfirmed(ErasureConfirmed):
    """Segmentation has erased the customer."""

    type: ClassVar[str] = "segmentation.erasure.confirmed.v1"


class TicketsErasureConfirmed(ErasureConfirmed):
    """Tickets has erased the customer."""

    type: ClassVar[str] = "tickets.erasure.confirmed.v1"


class LoyaltyErasureConfirmed(ErasureConfirmed):
    """Loyalty has erased the customer."""

    type: ClassVar[str] = "loyalty.erasure.confirmed.v1"
