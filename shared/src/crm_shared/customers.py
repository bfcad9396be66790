"""Whose row is it: merged customers' aliases, erased customers, and the re-owning of what belongs to them."""

from collections.abc import Collection
from datetime import datetime
from uuid import UUID

from sqlalchemy import ARRAY, MetaData, Table, Uuid, bindparam, delete, func, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from crm_shared.database import SharedBase
from crm_shared.problems import Conflict, Gone, NotFound


class CustomerNotFound(NotFound): ...


class CustomerWasErased(Gone):
    """The customer wanted to be forgotten: nothing new is written about them."""


class AliasCycle(Conflict):
    """A customer cannot be merged into one who was merged into them."""


class CustomerAlias(SharedBase):
    """The absorbed id now means the surviving one, which may itself have been absorbed since."""

    __tablename__ = "customer_aliases"

    absorbed: Mapped[UUID] = mapped_column(primary_key=True)
    survivor: Mapped[UUID] = mapped_column(index=True)
    merge_id: Mapped[UUID]
    version: Mapped[int]


class ErasedCustomer(SharedBase):
    """An id that must stay forgotten: only the id is kept, and events about it are dropped."""

    __tablename__ = "erased_customers"

    customer_id: Mapped[UUID] = mapped_column(primary_key=True)
    erasure_id: Mapped[UUID]
    erased_at: Mapped[datetime]


class OwnedByCustomer:
    """A customer's row, which goes back to the id it was written under when a merge is undone."""

    customer_id: Mapped[UUID] = mapped_column(index=True)
    origin_customer_id: Mapped[UUID] = mapped_column(index=True)


_MERGING = 0x6D657267
"""The advisory lock that merges hold alone and writers of customers' rows share."""

_STOP_MERGES = select(func.pg_advisory_xact_lock_shared(_MERGING))
_STOP_WRITERS = select(func.pg_advisory_xact_lock(_MERGING))

_RESOLVE = text(
    """
    WITH RECURSIVE chain (origin, id, depth) AS (
        SELECT origin, origin, 0 FROM unnest(CAST(:ids AS uuid[])) AS origin
        UNION ALL
        SELECT chain.origin, alias.survivor, depth + 1
        FROM chain JOIN customer_aliases AS alias ON alias.absorbed = chain.id WHERE depth < 64
    )
    SELECT DISTINCT ON (origin) origin, id FROM chain ORDER BY origin, depth DESC
    """
).bindparams(bindparam("ids", type_=ARRAY(Uuid)))

_SUBTREE = text(
    """
    WITH RECURSIVE tree (id) AS (
        SELECT CAST(:root AS uuid)
        UNION
        SELECT alias.absorbed FROM tree JOIN customer_aliases AS alias ON alias.survivor = tree.id
    )
    SELECT id FROM tree
    """
).bindparams(bindparam("root", type_=Uuid))


async def resolve(session: AsyncSession, ids: Collection[UUID], *, lock: bool = False) -> dict[UUID, UUID]:
    """The customer that each id means today: itself, or who absorbed it, however many merges ago.

    Who writes rows under the answer asks for `lock`: no merge then slips in before the transaction ends and
    leaves those rows with somebody who is no more. It is taken before any lock on rows.
    """
    if not ids:
        return {}
    if lock:
        await stop_merges(session)
    rows = await session.execute(_RESOLVE, {"ids": sorted(set(ids))})
    return {row.origin: row.id for row in rows}


async def absorbed_into(session: AsyncSession, customer_id: UUID) -> list[UUID]:
    """The id itself and all that were merged into it, directly or through others."""
    return list(await session.scalars(_SUBTREE, {"root": customer_id}))


async def link(
    session: AsyncSession, tables: MetaData, *, absorbed: UUID, survivor: UUID, merge_id: UUID, version: int
) -> None:
    """Let the absorbed id mean the survivor, who gets what it owns; repeating it changes nothing.

    An older version than the one known is ignored. Raises AliasCycle.
    """
    await stop_writers(session)
    if (await resolve(session, [survivor]))[survivor] == absorbed:
        raise AliasCycle(absorbed=str(absorbed), survivor=str(survivor))
    row = {"absorbed": absorbed, "survivor": survivor, "merge_id": merge_id, "version": version}
    await session.execute(
        insert(CustomerAlias)
        .values(row)
        .on_conflict_do_update(
            index_elements=[CustomerAlias.absorbed], set_=row, where=CustomerAlias.version < version
        )
    )
    await _reown(session, tables, absorbed)


async def unlink(session: AsyncSession, tables: MetaData, *, absorbed: UUID, merge_id: UUID) -> None:
    """Undo that merge: every row goes back to the id it was written under; repeating it changes nothing."""
    await stop_writers(session)
    await session.execute(
        delete(CustomerAlias).where(CustomerAlias.absorbed == absorbed, CustomerAlias.merge_id == merge_id)
    )
    await _reown(session, tables, absorbed)


async def stop_merges(session: AsyncSession) -> None:
    """Wait for a merge that is under way, and let none begin before the transaction ends."""
    await session.execute(_STOP_MERGES)


async def stop_writers(session: AsyncSession) -> None:
    """Wait for whoever writes under a resolved id, and keep others from beginning to."""
    await session.execute(_STOP_WRITERS)


def owned_tables(tables: MetaData) -> list[Table]:
    return [table for table in tables.sorted_tables if "origin_customer_id" in table.c]


async def _reown(session: AsyncSession, tables: MetaData, absorbed: UUID) -> None:
    """Give each row written under the absorbed id, or under one absorbed by it, to who owns it now."""
    origins = await absorbed_into(session, absorbed)
    owner = (await resolve(session, [absorbed]))[absorbed]
    for table in owned_tables(tables):
        await session.execute(
            update(table)
            .where(table.c.origin_customer_id.in_(origins), table.c.customer_id != owner)
            .values(customer_id=owner)
        )


async def erased(session: AsyncSession, ids: Collection[UUID]) -> set[UUID]:
    """Which of these customers are to stay forgotten."""
    if not ids:
        return set()
    known = select(ErasedCustomer.customer_id).where(
        ErasedCustomer.customer_id == func.any(bindparam("ids", type_=ARRAY(Uuid)))
    )
    return set(await session.scalars(known, {"ids": sorted(set(ids))}))
