"""What tickets knows of customers: their names and levels, each as new as the newest event that told it."""

from collections.abc import Collection, Sequence
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from crm_shared.contracts.profiles import CustomerChanged, CustomerCreated
from crm_shared.contracts.segmentation import LevelChanged

# Always in the order of ids: transactions that lock the same customers then do not wait in a circle.
_KEEP_NAMES = text(
    """
    INSERT INTO customers AS c (customer_id, name, profile_version, level_version)
    SELECT id, name, version, 0
    FROM unnest(CAST(:ids AS uuid[]), CAST(:names AS text[]), CAST(:versions AS bigint[]))
        AS n (id, name, version)
    ORDER BY id
    ON CONFLICT (customer_id) DO UPDATE
    SET name = excluded.name, profile_version = excluded.profile_version
    WHERE c.profile_version < excluded.profile_version
    """
)
_KEEP_LEVELS = text(
    """
    INSERT INTO customers AS c (customer_id, profile_version, level, level_version)
    SELECT id, 0, level, version
    FROM unnest(CAST(:ids AS uuid[]), CAST(:levels AS text[]), CAST(:versions AS bigint[]))
        AS n (id, level, version)
    ORDER BY id
    ON CONFLICT (customer_id) DO UPDATE
    SET level = excluded.level, level_version = excluded.level_version
    WHERE c.level_version < excluded.level_version
    RETURNING customer_id
    """
)
_LOCK = text(
    """
    INSERT INTO customers (customer_id, profile_version, level_version)
    SELECT id, 0, 0 FROM unnest(CAST(:ids AS uuid[])) AS n (id) ORDER BY id
    ON CONFLICT (customer_id) DO UPDATE SET customer_id = excluded.customer_id
    """
)


async def lock(session: AsyncSession, ids: Collection[UUID]) -> None:
    """Let nobody change or tell a level of these customers, known or not, before the transaction ends."""
    if ids:
        await session.execute(_LOCK, {"ids": sorted(set(ids))})


async def keep_names(session: AsyncSession, events: Sequence[CustomerCreated | CustomerChanged]) -> None:
    newest = {event.customer_id: event for event in sorted(events, key=lambda event: event.version)}
    await session.execute(
        _KEEP_NAMES,
        {
            "ids": list(newest),
            "names": [event.name for event in newest.values()],
            "versions": [event.version for event in newest.values()],
        },
    )


async def keep_levels(session: AsyncSession, events: Sequence[LevelChanged]) -> list[UUID]:
    """Returns whose level is another one now; the level may be the first that is heard of a customer."""
    newest = {event.customer_id: event for event in sorted(events, key=lambda event: event.version)}
    changed = await session.scalars(
        _KEEP_LEVELS,
        {
            "ids": list(newest),
            "levels": [event.level for event in newest.values()],
            "versions": [event.version for event in newest.values()],
        },
    )
    return list(changed)
