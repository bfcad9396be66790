"""Accounts: opened for whoever becomes known, owned by whom the id means today, read at any instant."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import ARRAY, Uuid, bindparam, func, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import joinedload
from sqlalchemy.sql import Select

from crm_loyalty.errors import AccountNotFound
from crm_loyalty.models.ledger import Account, Entry, Hold, HoldPart, Lot, Transaction
from crm_shared import customers
from crm_shared.ids import uuid7
from crm_shared.pages import Cursors, Key, Listing, paginate


@dataclass(frozen=True)
class Standing:
    """What a customer has in all accounts together; `version` is None where it is not today's."""

    customer_id: UUID
    balance: int
    held: int
    version: int | None = None

    @property
    def available(self) -> int:
        return self.balance - self.held


_OF = Account.origin_customer_id == func.any(bindparam("ids", type_=ARRAY(Uuid)))


async def open_(session: AsyncSession, customer_ids: Collection[UUID], *, at: datetime) -> None:
    """See to it that each of these customers has an account; takes no lock when all have.

    Must come before the transaction locks accounts: a merge that is under way is waited for.
    """
    ids = sorted(set(customer_ids))
    known = set(await session.scalars(select(Account.origin_customer_id).where(_OF), {"ids": ids}))
    missing = [id for id in ids if id not in known]
    if not missing:
        return
    owners = await customers.resolve(session, missing, lock=True)
    # In a fixed order, so that two who open the same ones do not wait for each other in a circle.
    rows = [
        {
            "id": uuid7(),
            "customer_id": owners[id],
            "origin_customer_id": id,
            "version": 1,
            "balance": 0,
            "held": 0,
            "opened_at": at,
            "changed_at": at,
        }
        for id in missing
    ]
    await session.execute(insert(Account).on_conflict_do_nothing(), rows)


_LOCK = text(
    """
    SELECT origin_customer_id, customer_id FROM accounts
    WHERE customer_id IN (
        SELECT customer_id FROM accounts WHERE origin_customer_id = ANY(CAST(:ids AS uuid[]))
    )
    ORDER BY id FOR UPDATE
    """
).bindparams(bindparam("ids", type_=ARRAY(Uuid)))


async def lock(session: AsyncSession, customer_ids: Collection[UUID]) -> dict[UUID, UUID]:
    """Lock the accounts of whom these ids mean today, and say who owns each: for what must be decided before
    points are posted to them, in the order in which the ledger locks them itself.
    """
    rows = await session.execute(_LOCK, {"ids": sorted(set(customer_ids))})
    return {row.origin_customer_id: row.customer_id for row in rows}


async def owned(session: AsyncSession, customer_id: UUID) -> Sequence[Account]:
    """All accounts of whom the id means today, oldest first; raises AccountNotFound."""
    found = list(await session.scalars(_owned(customer_id).order_by(Account.id)))
    if not found:
        raise AccountNotFound(customer_id=str(customer_id))
    return found


async def get(session: AsyncSession, customer_id: UUID) -> Standing:
    """What the customer has now; raises AccountNotFound."""
    accounts = await owned(session, customer_id)
    return Standing(
        customer_id=accounts[0].customer_id,
        balance=sum(account.balance for account in accounts),
        held=sum(account.held for account in accounts),
        version=sum(account.version for account in accounts),
    )


async def get_as_of(session: AsyncSession, customer_id: UUID, instant: datetime) -> Standing:
    """What we had recorded at an instant, for the accounts that are the customer's today."""
    accounts = await owned(session, customer_id)
    ids = [account.id for account in accounts]
    balance = select(func.coalesce(func.sum(Entry.amount), 0)).where(
        Entry.account_id.in_(ids), Entry.recorded_at <= instant
    )
    held = (
        select(func.coalesce(func.sum(HoldPart.points), 0))
        .join(Hold, Hold.id == HoldPart.hold_id)
        .where(
            HoldPart.account_id.in_(ids),
            Hold.placed_at <= instant,
            Hold.resolved_at.is_(None) | (Hold.resolved_at > instant),
        )
    )
    row = (
        await session.execute(select(balance.scalar_subquery().label("b"), held.scalar_subquery().label("h")))
    ).one()
    return Standing(accounts[0].customer_id, balance=int(row.b), held=int(row.h))


async def list_entries(
    session: AsyncSession, customer_id: UUID, *, cursors: Cursors, cursor: str | None, limit: int
) -> Listing[Entry]:
    """What came and went, newest first, each with its transaction and its reason."""
    ids = [account.id for account in await owned(session, customer_id)]
    statement = (
        select(Entry)
        .where(Entry.account_id == ids[0] if len(ids) == 1 else Entry.account_id.in_(ids))
        .options(joinedload(Entry.transaction).joinedload(Transaction.reason))
    )
    keys = [Key(Entry.recorded_at, descending=True), Key(Entry.id, descending=True)]
    return await paginate(
        session, statement, keys, cursors=cursors, cursor=cursor, limit=limit, filters=str(customer_id)
    )


async def list_lots(
    session: AsyncSession, customer_id: UUID, *, cursors: Cursors, cursor: str | None, limit: int
) -> Listing[Lot]:
    """Lots that have something left, newest first."""
    ids = [account.id for account in await owned(session, customer_id)]
    statement = select(Lot).where(Lot.account_id.in_(ids), Lot.remaining > 0)
    return await paginate(
        session,
        statement,
        [Key(Lot.id, descending=True)],
        cursors=cursors,
        cursor=cursor,
        limit=limit,
        filters=str(customer_id),
    )


def _owned(customer_id: UUID) -> Select[Account]:
    owner = select(Account.customer_id).where(Account.origin_customer_id == customer_id)
    return select(Account).where(Account.customer_id.in_(owner))
