"""Activities: announced, listed, called off."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from crm_loyalty.errors import ActivityCancelled, ActivityNotFound
from crm_loyalty.models.activities import Activity
from crm_loyalty.schemas.activities import ActivityIn
from crm_shared.pages import Key, Listing, PageRequest, paginate


async def create(session: AsyncSession, body: ActivityIn, *, at: datetime, by: str) -> Activity:
    values = body.model_dump() | {"names": body.names.model_dump(exclude_none=True)}
    activity = Activity(**values, created_at=at, created_by=by, version=1)
    session.add(activity)
    await session.flush()
    return activity


async def get(session: AsyncSession, activity_id: UUID) -> Activity:
    """Raises ActivityNotFound."""
    found = await session.get(Activity, activity_id)
    if found is None:
        raise ActivityNotFound(activity_id=str(activity_id))
    return found


async def held(session: AsyncSession, activity_id: UUID) -> Activity:
    """The activity, locked, unless it was called off; raises ActivityNotFound, ActivityCancelled."""
    found = await session.scalar(select(Activity).where(Activity.id == activity_id).with_for_update())
    if found is None:
        raise ActivityNotFound(activity_id=str(activity_id))
    if found.cancelled_at is not None:
        raise ActivityCancelled
    return found


async def list_(session: AsyncSession, *, page: PageRequest) -> Listing[Activity]:
    """Activities, the newest first."""
    return await paginate(
        session,
        select(Activity),
        [Key(Activity.id, descending=True)],
        page=page,
    )


async def cancel(session: AsyncSession, activity_id: UUID, *, at: datetime) -> Activity:
    """Call it off; raises ActivityNotFound, ActivityCancelled."""
    activity = await held(session, activity_id)
    activity.cancelled_at, activity.version = at, activity.version + 1
    return activity
