"""The card: a customer on one page, to be read or printed."""

from datetime import datetime
from uuid import UUID

import orjson
from sqlalchemy.ext.asyncio import AsyncSession

from crm_profiles import preferences
from crm_profiles.activity import customer_file, levels
from crm_profiles.consents import permissions
from crm_profiles.customers import documents
from crm_profiles.quality import quality
from crm_profiles.rules import accuracy
from crm_profiles.schemas.card import CardOut, LevelOnCardOut, QualityOnCardOut, StageOnCardOut
from crm_profiles.schemas.consents import ConsentOut
from crm_profiles.schemas.summary import ProfileSummaryOut
from crm_profiles.stages import stages


async def get(session: AsyncSession, customer_id: UUID, *, masked: bool, at: datetime) -> CardOut:
    """The card of the customer, or of who absorbed them; raises CustomerNotFound."""
    found = await documents.get_summary(session, customer_id)
    summary = ProfileSummaryOut.model_validate(orjson.loads(found.masked() if masked else found.body))
    current = found.customer_id
    level = await levels.find(session, current)
    stage = await stages.find(session, current)
    file = await customer_file.get(session, current)
    standing = await permissions.standing(session, current)
    _, _, judged = await quality.assess_one(session, current, at=at)
    consents = [ConsentOut.model_validate(each) for each in standing.statements]
    if masked:
        for consent in consents:
            consent.evidence = None
    return CardOut(
        printed_at=at,
        customer=summary.customer,
        level=LevelOnCardOut(level=level.level, since=level.since) if level else None,
        stage=StageOnCardOut(stage=stage.stage, since=stage.since) if stage else None,
        quality=QualityOnCardOut(
            score=judged.score, definition=accuracy.DEFINITION, next_step=judged.next_step
        ),
        last_contacted=summary.last_contacted,
        purchases=summary.purchases,
        complaints=file.complaints,
        needs=file.needs,
        notes=file.notes,
        preferences=await preferences.list_(session, current),
        consents=consents,
        timeline=summary.timeline,
    )
