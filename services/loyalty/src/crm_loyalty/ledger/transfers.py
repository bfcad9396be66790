"""Transfers: customers give points to each other, as many a day as the points policy lets them."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from crm_loyalty.errors import AccountNotFound, TransferLimitReached
from crm_loyalty.ledger import accounts, ledger, points_policy
from crm_loyalty.models.ledger import Account, Entry, Kind, Transaction
from crm_loyalty.postings import Movement, Transfer
from crm_shared import customers


async def transfer(session: AsyncSession, posting: Transfer, *, at: datetime) -> Movement:
    """Do it at once, within the day's limit.

    Raises AccountNotFound, CustomerWasErased, InsufficientPoints, ReferenceReused, TransferLimitReached,
    TransferToSelf.
    """
    await customers.stop_merges(session)
    owners = await accounts.lock(session, posting.concerned)
    if posting.customer_id not in owners:
        raise AccountNotFound(customer_id=str(posting.customer_id))
    await _check_limit(session, owners[posting.customer_id], posting.points, at=at)
    [verdict] = await ledger.post(session, [posting], at=at)
    return verdict.accepted()


async def _check_limit(session: AsyncSession, owner: UUID, points: int, *, at: datetime) -> None:
    """Asked with the owner's accounts locked, so that nothing comes in between."""
    policy = await points_policy.current(session)
    if policy.transfer_max is None:
        return
    today = points_policy.day_begins(policy, at)
    given = await session.scalar(
        select(-func.coalesce(func.sum(Entry.amount), 0))
        .join(Transaction, Transaction.id == Entry.transaction_id)
        .join(Account, Account.id == Entry.account_id)
        .where(Account.customer_id == owner, Entry.recorded_at >= today, Transaction.kind == Kind.TRANSFER)
    )
    transferred = int(given or 0)
    if transferred + points > policy.transfer_max:
        raise TransferLimitReached(
            f"{policy.transfer_max} points may be transferred in a day.",
            limit=policy.transfer_max,
            transferred=transferred,
        )
