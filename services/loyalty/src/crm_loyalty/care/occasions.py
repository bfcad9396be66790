"""Occasions, which happen as due work, as they are listed: by plan, and by customer."""

from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from crm_loyalty.care import plans
from crm_loyalty.models.care import CareOccasion
from crm_shared import customers
from crm_shared.pages import Key, Listing, PageRequest, paginate

OCCASION = "care"
"""The kind of due work by which occasions happen."""


async def of_plan(session: AsyncSession, key: str, *, page: PageRequest) -> Listing[CareOccasion]:
    """Whom the plan reaches, newest first; raises CarePlanNotFound, InvalidCursor."""
    await plans.get(session, key)
    statement = select(CareOccasion).where(CareOccasion.plan_key == key)
    keys = [Key(CareOccasion.id, descending=True)]
    return await paginate(session, statement, keys, page=page, filters=key)


async def of_customer(
    session: AsyncSession, customer_id: UUID, *, page: PageRequest
) -> Listing[CareOccasion]:
    """What plans thought of for whom this id means today, newest first; raises InvalidCursor."""
    owner = await customers.resolve_one(session, customer_id)
    statement = select(CareOccasion).where(CareOccasion.customer_id == owner)
    keys = [Key(CareOccasion.id, descending=True)]
    return await paginate(session, statement, keys, page=page, filters=str(owner))
