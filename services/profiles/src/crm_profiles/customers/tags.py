"""Tags: which there are, and how many customers have each."""

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from crm_profiles.models.customers import Customer
from crm_profiles.schemas.tags import TagOut
from crm_shared.pages import Listing, PageRequest

_TAGS = select(func.unnest(Customer.tags).label("tag")).where(Customer.tags != []).subquery()


async def list_(session: AsyncSession, prefix: str, *, page: PageRequest) -> Listing[TagOut]:
    """Those that begin so, by name. They are counted when asked for: nobody who writes pays for it."""
    tag = _TAGS.c.tag.collate("C")
    counted = select(_TAGS.c.tag, func.count().label("customers"))
    statement = counted.where(tag.startswith(prefix, autoescape=True))
    if page.cursor is not None:
        [after] = page.cursors.decode(page.cursor, prefix)
        statement = statement.where(tag > after)
    rows = (await session.execute(statement.group_by(_TAGS.c.tag).order_by(tag).limit(page.limit + 1))).all()
    items = [TagOut(tag=row.tag, customers=row.customers) for row in rows[: page.limit]]
    more = len(rows) > page.limit
    return Listing(items, page.cursors.encode([items[-1].tag], prefix) if more else None, more)
