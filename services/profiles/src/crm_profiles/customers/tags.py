"""Tags: which there are, and how many customers have each."""

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from crm_profiles.models.customers import Customer
from crm_profiles.schemas.tags import TagOut
from crm_shared.pages import Cursors, Listing

_TAGS = select(func.unnest(Customer.tags).label("tag")).where(Customer.tags != []).subquery()


async def list_(
    session: AsyncSession, prefix: str, *, cursors: Cursors, cursor: str | None, limit: int
) -> Listing[TagOut]:
    """Those that begin so, by name. They are counted when asked for: nobody who writes pays for it."""
    tag = _TAGS.c.tag.collate("C")
    counted = select(_TAGS.c.tag, func.count().label("customers"))
    statement = counted.where(tag.startswith(prefix, autoescape=True))
    if cursor is not None:
        [after] = cursors.decode(cursor, prefix)
        statement = statement.where(tag > after)
    rows = (await session.execute(statement.group_by(_TAGS.c.tag).order_by(tag).limit(limit + 1))).all()
    items = [TagOut(tag=row.tag, customers=row.customers) for row in rows[:limit]]
    more = len(rows) > limit
    return Listing(items, cursors.encode([items[-1].tag], prefix) if more else None, more)
