"""A customer's file as it is answered: complaints, refunds, needs, notes, the last contact."""

from datetime import datetime
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from crm_profiles.schemas.interactions import LastContactOut
from crm_profiles.schemas.notes import NoteOut
from crm_profiles.schemas.refunds import RefundOut


class TicketOnFileOut(BaseModel):
    """A ticket as tickets last told of it."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    number: int = Field(description="for people to name it by")
    kind: str = Field(max_length=50)
    severity: str = Field(max_length=50)
    status: str = Field(max_length=50)
    title: str = Field(max_length=1000)
    opened_at: datetime
    resolved_at: datetime | None
    closed_at: datetime | None
    resolution: str | None = Field(max_length=10_000)
    version: int


class ComplaintsOnFileOut(BaseModel):
    """The customer's complaints."""

    count: int = Field(description="tickets of kind complaint, whatever became of them")
    open: int = Field(description="of these, neither resolved nor closed")
    newest: list[TicketOnFileOut] = Field(description="the last twenty that were opened")


class RefundsOnFileOut(BaseModel):
    """What was given back to the customer."""

    count: int = Field(description="refunds of all purchases")
    newest: list[RefundOut] = Field(description="the last twenty")


class NotesOnFileOut(BaseModel):
    """Notes of some kinds."""

    count: int = Field(description="notes of these kinds")
    first: list[NoteOut] = Field(description="twenty at most, pinned ones first, then the newest")


class CustomerFileOut(BaseModel):
    """All that whoever speaks with the customer should know, though every other service be away."""

    customer_id: UUID
    last_contacted: LastContactOut | None
    complaints: ComplaintsOnFileOut
    refunds: RefundsOnFileOut
    needs: NotesOnFileOut = Field(description="notes of kind need")
    notes: NotesOnFileOut = Field(description="notes of the kinds relationship and general")
