"""External ids: what other systems call customers; each names one customer."""

from collections.abc import Collection, Mapping
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import delete, select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

from crm_profiles.bulk import arrays, claim_new, unnested
from crm_profiles.customers.contact_points import Owner
from crm_profiles.models.customers import ExternalId


class ExternalKey(NamedTuple):
    """A source and what it calls the customer."""

    source: str
    external_id: str


_CLAIM = claim_new(ExternalId, "source", "external_id", "customer_id", "origin_customer_id")
_KEYS = select(*unnested(ExternalId.source, ExternalId.external_id)).subquery()
_RELEASE = delete(ExternalId).where(tuple_(ExternalId.source, ExternalId.external_id).in_(select(_KEYS)))


async def claim(session: AsyncSession, wanted: Mapping[ExternalKey, Owner]) -> set[ExternalKey]:
    """Let each name that customer unless it names somebody already; returns those that did not.

    Waits for others who are claiming the same.
    """
    keys = sorted(wanted)
    names = await session.execute(
        _CLAIM,
        {
            "source": [key.source for key in keys],
            "external_id": [key.external_id for key in keys],
            "customer_id": [wanted[key].id for key in keys],
            "origin_customer_id": [wanted[key].origin for key in keys],
        },
    )
    return wanted.keys() - {ExternalKey(*name) for name in names}


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
