"""Owners: whose something is that others tell of, kept from being merged or erased until it is written."""

from collections.abc import Collection, Sequence
from typing import Protocol
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from crm_profiles.bulk import arrays, unnested
from crm_profiles.customers import customers
from crm_profiles.customers.contact_points import Owner
from crm_profiles.models.customers import ExternalId
from crm_profiles.schemas.customers import CustomerReference
from crm_shared.customers import CustomerNotFound, resolve, resolve_one, stop_merges


class Named(Protocol):
    """What says of whom it is, by our id or by what another system calls them."""

    @property
    def customer_id(self) -> UUID | None: ...

    @property
    def customer(self) -> CustomerReference | None: ...


_NAMED = select(*unnested(ExternalId.source, ExternalId.external_id)).subquery()
_BY_EXTERNAL_ID = select(
    ExternalId.source, ExternalId.external_id, ExternalId.customer_id, ExternalId.origin_customer_id
).join(_NAMED, (_NAMED.c.source == ExternalId.source) & (_NAMED.c.external_id == ExternalId.external_id))


async def lock(session: AsyncSession, items: Sequence[Named]) -> list[Owner | None]:
    """Whose each item is, None where nobody is; the same number of statements however many they are.

    To be called before any row is locked.
    """
    await stop_merges(session)
    owners: dict[object, Owner] = {}
    references = [item.customer for item in items if item.customer is not None]
    if references:
        rows = [{"source": each.source, "external_id": each.external_id} for each in references]
        for row in await session.execute(_BY_EXTERNAL_ID, arrays(rows, "source", "external_id")):
            owners[row.source, row.external_id] = Owner(row.customer_id, row.origin_customer_id)
    asked = {item.customer_id for item in items if item.customer_id is not None}
    owners |= {origin: Owner(current, origin) for origin, current in (await resolve(session, asked)).items()}
    present = await customers.hold(session, (owner.id for owner in owners.values()))
    owners = {name: owner for name, owner in owners.items() if owner.id in present}
    return [
        owners.get(item.customer_id or (item.customer and (item.customer.source, item.customer.external_id)))
        for item in items
    ]


async def lock_one(session: AsyncSession, customer_id: UUID) -> Owner:
    """Whose it is that is written under this id; raises CustomerNotFound."""
    current = await resolve_one(session, customer_id, lock=True)
    if not await customers.hold(session, [current]):
        raise CustomerNotFound(customer_id=str(customer_id))
    return Owner(current, customer_id)


async def lock_all(session: AsyncSession, customer_ids: Collection[UUID]) -> dict[UUID, Owner]:
    """Whose it is that is written under each of these ids; who is not on file is not in it."""
    current = await resolve(session, customer_ids, lock=True)
    present = await customers.hold(session, current.values())
    return {origin: Owner(id, origin) for origin, id in current.items() if id in present}
