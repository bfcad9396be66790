"""The customer's card as it is answered."""

from datetime import datetime

from pydantic import BaseModel, Field

from crm_profiles.rules.accuracy import NextStep
from crm_profiles.rules.lifecycle import Stage
from crm_profiles.schemas.consents import ConsentOut
from crm_profiles.schemas.customer_file import ComplaintsOnFileOut, NotesOnFileOut
from crm_profiles.schemas.customers import ProfileOut
from crm_profiles.schemas.interactions import LastContactOut
from crm_profiles.schemas.preferences import PreferenceOut
from crm_profiles.schemas.purchases import PurchasesSummaryOut
from crm_profiles.schemas.timeline import TimelineEntryOut
from crm_shared.contracts.segmentation import Level


class LevelOnCardOut(BaseModel):
    """How much the customer matters."""

    level: Level
    since: datetime


class StageOnCardOut(BaseModel):
    """How far they have come with us."""

    stage: Stage
    since: datetime


class QualityOnCardOut(BaseModel):
    """How good their data are at this moment."""

    score: int = Field(ge=0, le=100)
    definition: str = Field(max_length=1000)
    next_step: NextStep = Field(description="what would better them")


class CardOut(BaseModel):
    """All that is worth knowing of a customer, on one page."""

    printed_at: datetime
    customer: ProfileOut
    level: LevelOnCardOut | None = Field(description="null: segmentation has told us of none yet")
    stage: StageOnCardOut | None
    quality: QualityOnCardOut
    last_contacted: LastContactOut | None
    purchases: PurchasesSummaryOut
    complaints: ComplaintsOnFileOut
    needs: NotesOnFileOut
    notes: NotesOnFileOut
    preferences: list[PreferenceOut]
    consents: list[ConsentOut] = Field(description="what counts now, by purpose and channel")
    timeline: list[TimelineEntryOut] = Field(description="the newest ten entries")
