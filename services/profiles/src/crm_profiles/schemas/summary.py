"""A customer at a glance."""

from pydantic import BaseModel, Field

from crm_profiles.schemas.customers import ProfileOut
from crm_profiles.schemas.interactions import LastContactOut
from crm_profiles.schemas.purchases import PurchasesSummaryOut
from crm_profiles.schemas.timeline import TimelineEntryOut


class ProfileSummaryOut(BaseModel):
    """A customer at a glance."""

    customer: ProfileOut
    purchases: PurchasesSummaryOut
    last_contacted: LastContactOut | None
    timeline: list[TimelineEntryOut] = Field(description="the newest ten entries")
