"""What rules may ask of a customer: a small copy of what other services tell."""

from collections.abc import Collection, Mapping, Sequence
from uuid import UUID

from sqlalchemy import ARRAY, Uuid, bindparam, func, select, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession

from crm_loyalty.models.purchases import Member
from crm_shared.contracts.profiles import CustomerState
from crm_shared.contracts.segmentation import LevelChanged

_OF = Member.customer_id == func.any(bindparam("ids", type_=ARRAY(Uuid)))

# In the order of ids, so that two who keep the same ones do not wait for each other in a circle.
_KEEP_LEVELS = text(
    """
    INSERT INTO members AS m (customer_id, level, level_version, profile_version)
    SELECT DISTINCT ON (id) id, level, version, 0
    FROM unnest(CAST(:ids AS uuid[]), CAST(:levels AS text[]), CAST(:versions AS bigint[]))
        AS n (id, level, version)
    ORDER BY id, version DESC
    ON CONFLICT (customer_id) DO UPDATE SET level = excluded.level, level_version = excluded.level_version
    WHERE m.level_version < excluded.level_version
    """
)


async def keep_levels(session: AsyncSession, events: Sequence[LevelChanged]) -> None:
    """Keep each customer's newest level."""
    await session.execute(
        _KEEP_LEVELS,
        {
            "ids": [event.customer_id for event in events],
            "levels": [event.level.value for event in events],
            "versions": [event.version for event in events],
        },
    )


_KEEP_BIRTHDAYS = text(
    """
    INSERT INTO members AS m (customer_id, level_version, birth_date, lunar_birth_date, profile_version)
    SELECT DISTINCT ON (id) id, 0, birth_date, lunar_birth_date, version
    FROM unnest(
        CAST(:ids AS uuid[]), CAST(:days AS date[]), CAST(:lunar_days AS jsonb[]), CAST(:versions AS bigint[])
    ) AS n (id, birth_date, lunar_birth_date, version)
    ORDER BY id, version DESC
    ON CONFLICT (customer_id) DO UPDATE SET birth_date = excluded.birth_date,
        lunar_birth_date = excluded.lunar_birth_date, profile_version = excluded.profile_version
    WHERE m.profile_version <= excluded.profile_version
    """
).bindparams(bindparam("lunar_days", type_=ARRAY(JSONB(none_as_null=True))))


async def keep_birthdays(session: AsyncSession, events: Sequence[CustomerState]) -> None:
    """Keep each customer's birthday as their newest profile has it."""
    await session.execute(
        _KEEP_BIRTHDAYS,
        {
            "ids": [event.customer_id for event in events],
            "days": [event.birth_date for event in events],
            "lunar_days": [
                event.lunar_birth_date.model_dump() if event.lunar_birth_date else None for event in events
            ],
            "versions": [event.version for event in events],
        },
    )


async def find(session: AsyncSession, customer_ids: Collection[UUID]) -> Mapping[UUID, Member]:
    """What is known of each, by id; of who was merged, what is known of the survivor counts."""
    rows = await session.scalars(select(Member).where(_OF), {"ids": sorted(set(customer_ids))})
    return {row.customer_id: row for row in rows}
