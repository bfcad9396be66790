"""Accounts: opened for whoever becomes known, owned by whom the id means today, read at any instant."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from sqlalchemy import ARRAY, ColumnElement, Uuid, bindparam, func, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import joinedload
from sqlalchemy.sql import Select

from crm_loyalty.errors import AccountNotFound, TransactionNotFound
from crm_loyalty.ledger import pooling
from crm_loyalty.ledger.pooling import LOCKED_TOGETHER, PoolShare
from crm_loyalty.models.ledger import Account, Allocation, Entry, Hold, HoldPart, Lot, Transaction
from crm_loyalty.schemas.accounts import LotOut
from crm_shared import customers
from crm_shared.ids import uuid7
from crm_shared.pages import Key, Listing, PageRequest, paginate


@dataclass(frozen=True)
class Standing:
    """What a customer has in all accounts together; `version` is None where it is not today's."""

    customer_id: UUID
    balance: int
    held: int
    version: int | None = None
    pool_id: UUID | None = None
    pool: PoolShare | None = None
    """What the customer can spend together with others, if that was asked for."""

    @property
    def available(self) -> int:
        return max(self.balance - self.held, 0)

    @property
    def spendable(self) -> int:
        """The own available points and those of others."""
        return self.available if self.pool is None else self.pool.available

    @property
    def owed(self) -> int:
        return max(self.held - self.balance, 0)


@dataclass(frozen=True)
class Then:
    """What of the past is asked for: what was recorded by an instant, of what had applied by an instant."""

    recorded: datetime | None = None
    effective: datetime | None = None

    @property
    def is_now(self) -> bool:
        return self.recorded is None and self.effective is None

    @property
    def earlier(self) -> datetime | None:
        """The instant by which both have come about, for what has no two times, as a hold."""
        return min((each for each in (self.recorded, self.effective) if each is not None), default=None)

    def counts(self) -> list[ColumnElement[bool]]:
        """Conditions on transactions."""
        found = []
        if self.recorded is not None:
            found.append(Transaction.recorded_at <= self.recorded)
        if self.effective is not None:
            found.append(Transaction.effective_at <= self.effective)
        return found


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
            "owed": 0,
            "active_at": at,
            "opened_at": at,
            "changed_at": at,
        }
        for id in missing
    ]
    await session.execute(insert(Account).on_conflict_do_nothing(), rows)


_LOCK = text(
    f"""
    SELECT origin_customer_id, customer_id FROM accounts
    WHERE customer_id IN ({LOCKED_TOGETHER})
    ORDER BY id FOR UPDATE
    """
).bindparams(bindparam("customers", type_=ARRAY(Uuid)))


async def lock(session: AsyncSession, customer_ids: Collection[UUID]) -> dict[UUID, UUID]:
    """Lock the accounts of whom these ids mean today and of their pools, and say who owns each: for what must
    be decided before points are posted to them, in the order in which the ledger locks them itself.
    """
    rows = await session.execute(_LOCK, {"customers": sorted(set(customer_ids))})
    return {row.origin_customer_id: row.customer_id for row in rows}


async def owned(session: AsyncSession, customer_id: UUID) -> Sequence[Account]:
    """All accounts of whom the id means today, oldest first; raises AccountNotFound."""
    found = list(await session.scalars(_owned(customer_id).order_by(Account.id)))
    if not found:
        raise AccountNotFound(customer_id=str(customer_id))
    return found


async def owner(session: AsyncSession, customer_id: UUID) -> UUID:
    """Whom the id means today; raises AccountNotFound."""
    return (await owned(session, customer_id))[0].customer_id


async def addressed(session: AsyncSession, transaction_id: UUID) -> UUID:
    """For whom the account was opened that a transaction was addressed to; raises TransactionNotFound."""
    customer_id = await session.scalar(
        select(Account.origin_customer_id)
        .join(Transaction, Transaction.account_id == Account.id)
        .where(Transaction.id == transaction_id)
    )
    if customer_id is None:
        raise TransactionNotFound(transaction_id=str(transaction_id))
    return customer_id


async def get(session: AsyncSession, customer_id: UUID) -> Standing:
    """What the customer has now; raises AccountNotFound."""
    accounts = await owned(session, customer_id)
    return Standing(
        customer_id=accounts[0].customer_id,
        balance=sum(account.balance for account in accounts),
        held=sum(account.held for account in accounts),
        version=sum(account.version for account in accounts),
        pool_id=accounts[0].pool_id,
    )


async def get_shared(session: AsyncSession, customer_id: UUID, *, at: datetime) -> Standing:
    """What the customer has now, alone and in a pool; raises AccountNotFound."""
    standing = await get(session, customer_id)
    if standing.pool_id is None:
        return standing
    share = await pooling.share(session, standing.pool_id, standing.customer_id, at=at)
    return replace(standing, pool=share)


async def get_then(session: AsyncSession, customer_id: UUID, then: Then) -> Standing:
    """What the accounts that are the customer's today had then."""
    accounts = await owned(session, customer_id)
    ids = [account.id for account in accounts]
    balance = (
        select(func.coalesce(func.sum(Entry.amount), 0))
        .join(Transaction, Transaction.id == Entry.transaction_id)
        .where(Entry.account_id.in_(ids), *then.counts())
    )
    held = (
        select(func.coalesce(func.sum(HoldPart.points), 0))
        .join(Hold, Hold.id == HoldPart.hold_id)
        .where(
            HoldPart.account_id.in_(ids),
            Hold.placed_at <= then.earlier,
            Hold.resolved_at.is_(None) | (Hold.resolved_at > then.earlier),
        )
    )
    figures = select(balance.scalar_subquery().label("balance"), held.scalar_subquery().label("held"))
    row = (await session.execute(figures)).one()
    return Standing(accounts[0].customer_id, int(row.balance), int(row.held))


async def list_entries(
    session: AsyncSession, customer_id: UUID, then: Then, *, page: PageRequest
) -> Listing[Entry]:
    """What came and went, newest first, each with its transaction and its reason."""
    ids = [account.id for account in await owned(session, customer_id)]
    statement = (
        select(Entry)
        .where(Entry.account_id == ids[0] if len(ids) == 1 else Entry.account_id.in_(ids))
        .options(
            joinedload(Entry.transaction).options(
                joinedload(Transaction.reason), joinedload(Transaction.account, innerjoin=True)
            )
        )
    )
    if then.recorded is not None:
        statement = statement.where(Entry.recorded_at <= then.recorded)
    if then.effective is not None:
        statement = statement.where(Entry.transaction.has(Transaction.effective_at <= then.effective))
    keys = [Key(Entry.recorded_at, descending=True), Key(Entry.id, descending=True)]
    filters = [str(customer_id), then.recorded, then.effective]
    return await paginate(session, statement, keys, page=page, filters=filters)


async def list_lots(
    session: AsyncSession, customer_id: UUID, then: Then, *, page: PageRequest
) -> Listing[LotOut]:
    """Lots that have something left, and debts, newest first; of the past: with what they had left then."""
    ids = [account.id for account in await owned(session, customer_id)]
    statement = select(Lot).where(Lot.account_id.in_(ids), Lot.remaining != 0)
    if not then.is_now:
        left = _lots_then(ids, then).subquery()
        statement = select(Lot).join(left, left.c.id == Lot.id).where(left.c.remaining != 0)
    listing = await paginate(
        session,
        statement,
        [Key(Lot.id, descending=True)],
        page=page,
        filters=[str(customer_id), then.recorded, then.effective],
    )
    had = {lot.id: lot.remaining for lot in listing.items}
    if not then.is_now:
        left = _lots_then(ids, then).where(Lot.id.in_(list(had))).subquery()
        had = {row.id: int(row.remaining) for row in await session.execute(select(left))}
    return listing.map(lambda lot: LotOut.model_validate(lot).model_copy(update={"remaining": had[lot.id]}))


def _lots_then(account_ids: Collection[UUID], then: Then) -> Select[UUID, int]:
    """What each lot of these accounts had left then."""
    taken = (
        select(func.coalesce(func.sum(Allocation.points), 0))
        .join(Transaction, Transaction.id == Allocation.transaction_id)
        .where(Allocation.lot_id == Lot.id, *then.counts())
        .correlate(Lot)
        .scalar_subquery()
    )
    return (
        select(Lot.id, (Lot.amount - taken).label("remaining"))
        .join(Transaction, Transaction.id == Lot.transaction_id)
        .where(Lot.account_id.in_(account_ids), *then.counts())
    )


def _owned(customer_id: UUID) -> Select[Account]:
    owner = select(Account.customer_id).where(Account.origin_customer_id == customer_id)
    return select(Account).where(Account.customer_id.in_(owner))
