"""Whose row is it: merged customers' aliases, erased customers, and the re-owning of what belongs to them."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    MetaData,
    Select,
    Table,
    Uuid,
    bindparam,
    delete,
    exists,
    func,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import distinct_on, insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import InstrumentedAttribute, Mapped, mapped_column

from crm_shared.contracts.profiles import CustomerMerged, CustomerUnmerged
from crm_shared.database import SharedBase, rows_of
from crm_shared.prepared import Prepared
from crm_shared.problems import Gone, NotFound

Model = TypeVar("Model", bound="OwnedByCustomer")
Value = TypeVar("Value")


class CustomerNotFound(NotFound): ...


class CustomerWasErased(Gone):
    """The customer wanted to be forgotten: nothing new is written about them."""


class CustomerAlias(SharedBase):
    """The absorbed id now means the surviving one, which may itself have been absorbed since."""

    __tablename__ = "customer_aliases"

    absorbed: Mapped[UUID] = mapped_column(primary_key=True)
    survivor: Mapped[UUID] = mapped_column(index=True)
    merge_id: Mapped[UUID]
    sequence: Mapped[int]


class UndoneMerges(SharedBase):
    """Every merge of this customer into another one, up to this number, is undone, heard of or not.

    Merges are numbered as profiles makes them, one after the other, and events of two customers reach others
    in any order. What absorbs somebody stands for itself at that time: so a merge also tells that all earlier
    ones of its survivor were undone, and those that are heard of only later have no effect. Whatever the
    order, aliases thereby never form a circle, and end as profiles has them.
    """

    __tablename__ = "undone_merges"

    customer_id: Mapped[UUID] = mapped_column(primary_key=True)
    sequence: Mapped[int]


class ErasedCustomer(SharedBase):
    """An id that must stay forgotten: only the id is kept, and events about it are dropped."""

    __tablename__ = "erased_customers"

    customer_id: Mapped[UUID] = mapped_column(primary_key=True)
    erasure_id: Mapped[UUID]
    erased_at: Mapped[datetime]


@dataclass(frozen=True)
class Forgotten:
    """That a customer was erased, as every service knows it: ids and an instant, nothing else."""

    customer_id: UUID
    absorbed: list[UUID]
    """Who had been merged into them and went with them."""
    erasure_id: UUID
    erased_at: datetime


class OwnedByCustomer:
    """A customer's row, which goes back to the id it was written under when a merge is undone.

    `customer_id` is whom it belongs to today, and is changed by merges only; `origin_customer_id` is the id
    it was written under, and never changes. Reads go by the first, after `resolve`. Who writes gets the first
    by `resolve(..., lock=True)` of the second. An event about the row has the origin as its `customer_id`, so
    that each consumer resolves it for itself and gives it back as we do.

    A table with one row per customer (or per customer and purpose, ...) has the origin in its key, never the
    owner: two customers who are merged each have such a row, and both rows stay. A write through an id
    replaces the row of that id; `current` reads the one that was written last among the owner's. So nothing
    is lost by a merge, and undoing it gives each id what it had and what was written under it since.

        class Preference(OwnedByCustomer, Base):
            origin_customer_id: Mapped[UUID] = mapped_column(primary_key=True)
            topic: Mapped[str] = mapped_column(primary_key=True)
            chosen_at: Mapped[datetime]

        select_ = current(Preference, [owner], per=[Preference.topic], newest=Preference.chosen_at)

    What was counted or summed per customer is no row of this kind: it is computed anew for both after the
    merge and after its undoing.
    """

    customer_id: Mapped[UUID] = mapped_column(index=True)
    origin_customer_id: Mapped[UUID] = mapped_column(index=True)


_MERGING = 0x6D657267
"""The advisory lock that merges hold alone and writers of customers' rows share."""

STOPPING_MERGES = func.pg_advisory_xact_lock_shared(_MERGING)
"""What the first statement of a transaction may do along, and `merges_stopped` then says."""
_STOP_MERGES = Prepared(select(STOPPING_MERGES))
_STOPPED = "crm.merges_stopped"
_STOP_WRITERS = select(func.pg_advisory_xact_lock(_MERGING))

_RESOLVE = text(
    """
    WITH RECURSIVE chain (origin, id, depth) AS (
        SELECT origin, origin, 0 FROM unnest(CAST(:ids AS uuid[])) AS origin
        UNION ALL
        SELECT chain.origin, alias.survivor, depth + 1
        FROM chain JOIN customer_aliases AS alias ON alias.absorbed = chain.id WHERE depth < 10000
    )
    SELECT DISTINCT ON (origin) origin, id FROM chain ORDER BY origin, depth DESC
    """
).bindparams(bindparam("ids", type_=ARRAY(Uuid)))

_TREES = text(
    """
    WITH RECURSIVE tree (id) AS (
        SELECT root FROM unnest(CAST(:roots AS uuid[])) AS root
        UNION
        SELECT alias.absorbed FROM tree JOIN customer_aliases AS alias ON alias.survivor = tree.id
    )
    SELECT id FROM tree
    """
).bindparams(bindparam("roots", type_=ARRAY(Uuid)))


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


async def resolve_one(session: AsyncSession, id: UUID, *, lock: bool = False) -> UUID:
    """The customer that this id means today: see `resolve`."""
    return (await resolve(session, [id], lock=lock))[id]


async def absorbed_into(session: AsyncSession, *customer_ids: UUID) -> list[UUID]:
    """The ids themselves and all that were merged into them, directly or through others."""
    return list(await session.scalars(_TREES, {"roots": sorted(set(customer_ids))}))


def current(
    model: type[Model],
    owners: Collection[UUID],
    *,
    per: Sequence[InstrumentedAttribute[Value]] = (),
    newest: InstrumentedAttribute[datetime],
) -> Select[Model]:
    """Of each owner the row that was written last, one for each value of `per`: see OwnedByCustomer."""
    key = (model.customer_id, *per)
    return (
        select(model)
        .ext(distinct_on(*key))
        .where(model.customer_id == func.any(bindparam("owners", sorted(set(owners)), type_=ARRAY(Uuid))))
        .order_by(*key, newest.desc(), model.origin_customer_id)
    )


async def link(session: AsyncSession, tables: MetaData, merges: Sequence[CustomerMerged]) -> None:
    """Let each absorbed id mean its survivor, who gets what it owns; repeating it changes nothing.

    A merge that is known to be undone has no effect, nor has one into somebody who was erased: whoever was
    not erased with them had left before.
    """
    await stop_writers(session)
    gone = await erased(session, {merge.survivor_id for merge in merges})
    made = [merge for merge in merges if merge.survivor_id not in gone]
    await _settle(
        session,
        [(merge.survivor_id, merge.sequence) for merge in made]
        + [(merge.customer_id, merge.sequence) for merge in merges if merge.survivor_id in gone],
    )
    if made:
        newest = {merge.customer_id: merge for merge in sorted(made, key=lambda merge: merge.sequence)}
        await _alias(session, [newest[absorbed] for absorbed in sorted(newest)])
    await _reown(session, tables, [id for merge in merges for id in (merge.customer_id, merge.survivor_id)])


async def unlink(session: AsyncSession, tables: MetaData, undone: Sequence[CustomerUnmerged]) -> None:
    """Undo those merges: every row goes back to the id it was written under; repeating it changes nothing."""
    await stop_writers(session)
    await _settle(session, [(each.customer_id, each.sequence) for each in undone])
    await _reown(session, tables, [each.customer_id for each in undone])


async def forget(
    session: AsyncSession,
    tables: MetaData,
    customer_id: UUID,
    absorbed: Collection[UUID],
    *,
    erasure_id: UUID,
    at: datetime,
) -> None:
    """Keep these ids forgotten, together for ever: no event about any of them has an effect from now on.

    `absorbed` are all that profiles had merged into the customer. Who is merged into one of them here and is
    not among them had left before, which is only heard of later.
    """
    await stop_writers(session)
    ids = {customer_id, *absorbed}
    await session.execute(
        insert(ErasedCustomer).on_conflict_do_nothing(),
        [{"customer_id": id, "erasure_id": erasure_id, "erased_at": at} for id in sorted(ids)],
    )
    alias = CustomerAlias
    left = await session.execute(
        select(alias.absorbed, alias.sequence).where(alias.survivor.in_(ids), alias.absorbed.not_in(ids))
    )
    released = [(row.absorbed, row.sequence) for row in left]
    await _settle(session, released)
    await session.execute(delete(alias).where(alias.absorbed.in_(ids)))
    await session.execute(delete(UndoneMerges).where(UndoneMerges.customer_id.in_(ids)))
    if others := sorted(ids - {customer_id}):
        row = {"survivor": customer_id, "merge_id": erasure_id, "sequence": 0}
        await session.execute(insert(alias), [row | {"absorbed": other} for other in others])
    await _reown(session, tables, [*ids, *(absorbed for absorbed, _ in released)])


async def stop_merges(session: AsyncSession) -> None:
    """Wait for a merge that is under way, and let none begin before the transaction ends."""
    if _STOPPED not in session.info:
        await _STOP_MERGES.fetch(session, {})


def merges_stopped(session: AsyncSession) -> None:
    """Of a session with one transaction, whose first statement was STOPPING_MERGES: not to ask again."""
    session.info[_STOPPED] = True


async def stop_writers(session: AsyncSession) -> None:
    """Wait for whoever writes under a resolved id, and keep others from beginning to."""
    await session.execute(_STOP_WRITERS)


def owned_tables(tables: MetaData) -> list[Table]:
    return [table for table in tables.sorted_tables if "origin_customer_id" in table.c]


async def _alias(session: AsyncSession, merges: Sequence[CustomerMerged]) -> None:
    """Write the aliases of those merges that are neither undone nor older than what is known."""
    rows = rows_of(
        {
            CustomerAlias.absorbed: [merge.customer_id for merge in merges],
            CustomerAlias.survivor: [merge.survivor_id for merge in merges],
            CustomerAlias.merge_id: [merge.merge_id for merge in merges],
            CustomerAlias.sequence: [merge.sequence for merge in merges],
        }
    )
    undone = exists().where(
        UndoneMerges.customer_id == rows.c.absorbed, UndoneMerges.sequence >= rows.c.sequence
    )
    names = [column.name for column in rows.c]
    statement = insert(CustomerAlias.metadata.tables[CustomerAlias.__tablename__]).from_select(
        names, select(rows).where(~undone)
    )
    await session.execute(
        statement.on_conflict_do_update(
            index_elements=[CustomerAlias.absorbed],
            set_={name: statement.excluded[name] for name in names},
            where=CustomerAlias.sequence < statement.excluded.sequence,
        )
    )


async def _settle(session: AsyncSession, undone: Iterable[tuple[UUID, int]]) -> None:
    """Remember that each customer's merges up to that number are undone, and take their aliases away."""
    numbers: dict[UUID, int] = {}
    for customer_id, sequence in undone:
        numbers[customer_id] = max(sequence, numbers.get(customer_id, sequence))
    if not numbers:
        return
    ids = sorted(numbers)
    rows = rows_of({UndoneMerges.customer_id: ids, UndoneMerges.sequence: [numbers[id] for id in ids]})
    statement = insert(UndoneMerges.metadata.tables[UndoneMerges.__tablename__]).from_select(
        [column.name for column in rows.c], select(rows)
    )
    await session.execute(
        statement.on_conflict_do_update(
            index_elements=[UndoneMerges.customer_id],
            set_={"sequence": func.greatest(UndoneMerges.sequence, statement.excluded.sequence)},
        )
    )
    await session.execute(
        delete(CustomerAlias)
        .where(
            CustomerAlias.absorbed.in_(ids),
            CustomerAlias.absorbed == UndoneMerges.customer_id,
            CustomerAlias.sequence <= UndoneMerges.sequence,
        )
        .execution_options(synchronize_session=False)
    )


async def _reown(session: AsyncSession, tables: MetaData, ids: Iterable[UUID]) -> None:
    """Give each row written under one of the ids, or under one absorbed by it, to who owns it now."""
    owners: Mapping[UUID, UUID] = await resolve(session, await absorbed_into(session, *ids))
    if not owners:
        return
    rows = rows_of({CustomerAlias.absorbed: list(owners), CustomerAlias.survivor: list(owners.values())})
    for table in owned_tables(tables):
        mine = table.c.origin_customer_id == rows.c.absorbed
        await session.execute(
            update(table)
            .where(mine, table.c.customer_id != rows.c.survivor)
            .values(customer_id=rows.c.survivor)
        )


async def erased(session: AsyncSession, ids: Collection[UUID]) -> set[UUID]:
    """Which of these customers are to stay forgotten."""
    if not ids:
        return set()
    known = select(ErasedCustomer.customer_id).where(
        ErasedCustomer.customer_id == func.any(bindparam("ids", type_=ARRAY(Uuid)))
    )
    return set(await session.scalars(known, {"ids": sorted(set(ids))}))


async def check_not_erased(session: AsyncSession, ids: Collection[UUID]) -> None:
    """Nothing new is written about who wanted to be forgotten; raises CustomerWasErased."""
    if gone := await erased(session, ids):
        raise CustomerWasErased(customer_id=str(min(gone)))


async def forgotten(session: AsyncSession) -> list[Forgotten]:
    """Whom this service was told to forget, the earliest first, each with who had been merged into them."""
    alias = CustomerAlias
    whole = func.coalesce(alias.survivor, ErasedCustomer.customer_id)
    absorbed = func.array_agg(ErasedCustomer.customer_id).filter(alias.survivor.is_not(None))
    rows = await session.execute(
        select(whole, absorbed, ErasedCustomer.erasure_id, func.min(ErasedCustomer.erased_at).label("at"))
        .outerjoin(
            alias,
            (alias.absorbed == ErasedCustomer.customer_id) & (alias.merge_id == ErasedCustomer.erasure_id),
        )
        .group_by(whole, ErasedCustomer.erasure_id)
        .order_by("at")
    )
    return [Forgotten(who, sorted(others or ()), erasure_id, at) for who, others, erasure_id, at in rows]
