"""External ids: what other systems call customers; each names one customer."""

from collections.abc import Collection, Mapping
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import delete, select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

from crm_profiles.bulk import arrays, insert_new, unnested
from crm_profiles.contact_points import Owner
from crm_profiles.models.customers import ExternalId


class ExternalKey(NamedTuple):
    """A source and what it calls the customer."""

    source: str
    external_id: str


_CLAIM = insert_new(ExternalId, "source", "external_id", "customer_id", "origin_customer_id").returning(
    ExternalId.source, ExternalId.external_id
)
_KEYS = select(*unnested(ExternalId.source, ExternalId.external_id)).subquery()
_RELEASE = delete(ExternalId).where(tuple_(ExternalId.source, ExternalId.external_id).in_(select(_KEYS)))


async def claim(session: AsyncSession, wanted: Mapping[ExternalKey, Owner]) -> set[ExternalKey]:
    """Let each name that customer unless it names somebody already; returns those that did not.

    Waits for others who are claiming the same.
    """
    rows = [
        key._asdict() | {"customer_id": owner.id, "origin_customer_id": owner.origin}
        for key, owner in sorted(wanted.items())
    ]
    claimed = await session.execute(_CLAIM, arrays(rows, *rows[0]))
    return {ExternalKey(row.source, row.external_id) for row in claimed}


async def find(session: AsyncSession, key: ExternalKey) -> UUID | None:
    """Whom it names."""
    found: UUID | None = await session.scalar(
        select(ExternalId.customer_id).where(
            ExternalId.source == key.source, ExternalId.external_id == key.external_id
        )
    )
    return found


async def release(session: AsyncSession, keys: Collection[ExternalKey]) -> None:
    """They name nobody any more."""
    if keys:
        await session.execute(_RELEASE, arrays([key._asdict() for key in keys], "source", "external_id"))
