"""How a service answers when somebody wants to see all that is held about them."""

from typing import ClassVar
from uuid import UUID

from pydantic import Field

from crm_shared.contracts.base import Event


class ExportPrepared(Event):
    """One page of what this service holds about the customer; each service has its own type."""

    subject_field: ClassVar[str] = "export_id"

    export_id: UUID
    service_name: str
    page: int = Field(ge=1, description="which of the pages this is; the event's version is the same")
    pages: int = Field(ge=1)
    text: str = Field(
        description='a piece of the JSON lines, {"table": …, "row": …} each, that all pages joined give'
    )


class SegmentationExportPrepared(ExportPrepared):
    """What segmentation holds about the customer."""

    type: ClassVar[str] = "segmentation.export.prepared.v1"


class TicketsExportPrepared(ExportPrepared):
    """What tickets holds about the customer."""

    type: ClassVar[str] = "tickets.export.prepared.v1"


class LoyaltyExportPrepared(ExportPrepared):
    """What loyalty holds about the customer."""

    type: ClassVar[str] = "loyalty.export.prepared.v1"
