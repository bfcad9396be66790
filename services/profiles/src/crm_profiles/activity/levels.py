"""Levels: our copy of what segmentation says of each customer's value."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from crm_profiles.models.managers import CustomerLevel
from crm_shared.contracts.segmentation import Level, LevelChanged
from crm_shared.database import rows_of


async def keep(session: AsyncSession, events: Sequence[LevelChanged]) -> None:
    """Take over the levels; an older one than the one kept is ignored."""
    newest: dict[UUID, LevelChanged] = {}
    for event in events:
        known = newest.get(event.customer_id)
        if known is None or known.version < event.version:
            newest[event.customer_id] = event
    ids = sorted(newest)
    instants: list[datetime] = [newest[id].envelope.time for id in ids]
    levels: list[Level] = [newest[id].level for id in ids]
    rows = rows_of(
        {
            CustomerLevel.customer_id: ids,
            CustomerLevel.level: levels,
            CustomerLevel.since: instants,
            CustomerLevel.version: [newest[id].version for id in ids],
        }
    )
    names = [column.name for column in CustomerLevel.__table__.c]
    statement = insert(CustomerLevel.metadata.tables[CustomerLevel.__tablename__]).from_select(
        names, select(*(rows.c[name] for name in names))
    )
    await session.execute(
        statement.on_conflict_do_update(
            index_elements=["customer_id"],
            set_={name: statement.excluded[name] for name in ("level", "since", "version")},
            where=CustomerLevel.version < statement.excluded.version,
        )
    )


async def find(session: AsyncSession, customer_id: UUID) -> CustomerLevel | None:
    """None: segmentation has told us of no level yet."""
    return await session.get(CustomerLevel, customer_id)
