"""What the ledger does by itself before and after each posting: lots end in their time."""

from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

from crm_loyalty.ledger.journal import Journal, LotState
from crm_loyalty.models.ledger import HoldState, ProgrammeAccount
from crm_loyalty.postings import SOURCE, Expire, Movement, Settle
from crm_shared.ids import uuid7


def keep_up(journal: Journal, owners: Iterable[UUID], *, since: datetime | None = None) -> None:
    """End the owners' lots whose time is over, in whichever account: what ended first pays debts first.

    `since`: when what has just been given back was so; if that was too late for it, it ends then.
    """
    for owner in owners:
        over = [lot for account in journal.owned[owner] for lot in journal.over(account)]
        for lot in sorted(over, key=lambda lot: lot.order):
            part = lot.remaining - reserved(journal, lot)
            if part > 0 and lot.expires_at is not None:
                posting = Expire(
                    customer_id=journal.accounts[lot.account_id].origin_customer_id,
                    source=SOURCE,
                    reference=f"expiry {uuid7()}",
                    effective_at=max(lot.expires_at, since or lot.expires_at),
                    lot_id=lot.id,
                )
                expire(journal, posting, lot, part)


def expire(journal: Journal, posting: Expire, lot: LotState, points: int) -> Movement | None:
    """So many points of the lot have had their time: they pay what is owed, and the rest expires.

    None: all of them were needed for that. They could not be spent before, as they stood for the debt.
    """
    points -= _settle(journal, posting, lot, points)
    if not points:
        return None
    account, transaction_id = journal.accounts[lot.account_id], uuid7()
    journal.move(transaction_id, lot, points)
    journal.expired[lot.id] += points
    journal.enter(transaction_id, {account.id: -points}, {ProgrammeAccount.EXPIRED: points})
    return journal.record(transaction_id, posting, account, points=points)


def reserved(journal: Journal, lot: LotState) -> int:
    """How much of a lot that is over belongs to holds that were placed before: they keep it to their end.

    A hold reserves what comes first in the order of its account, as a spend at that time would have taken it;
    what was over when it was made was never there to be taken.
    """
    account = journal.accounts[lot.account_id]
    if not account.held or lot.expires_at is None or lot.transaction_id is not None:
        return 0
    held = sum(
        hold.parts.get(account.id, 0)
        for hold in journal.holds.values()
        if hold.state is HoldState.OPEN and hold.placed_at < lot.expires_at
    )
    before = sum(other.remaining for other in journal.over(account) if other.order < lot.order)
    return min(max(held - before, 0), lot.remaining)


def _settle(journal: Journal, posting: Expire, lot: LotState, points: int) -> int:
    """Pay the debts of the lot's owner with points of the lot, the oldest first; how much was owed."""
    account = journal.accounts[lot.account_id]
    owned = journal.owned[account.customer_id]
    debts = sorted((debt for each in owned for debt in journal.debts(each)), key=lambda debt: debt.order)
    points = min(points, -sum(debt.remaining for debt in debts))
    if not points:
        return 0
    transaction_id = uuid7()
    amounts = {account.id: -points}
    journal.move(transaction_id, lot, points)
    missing = points
    for debt in debts:
        part = min(missing, -debt.remaining)
        if part:
            journal.move(transaction_id, debt, -part)
            journal.accounts[debt.account_id].owed -= part
            amounts[debt.account_id] = amounts.get(debt.account_id, 0) + part
            missing -= part
    journal.enter(transaction_id, amounts, {})
    settlement = Settle(
        customer_id=posting.customer_id,
        source=SOURCE,
        reference=f"settlement {transaction_id}",
        effective_at=posting.effective_at,
    )
    touched = [journal.accounts[id] for id in amounts]
    journal.record(transaction_id, settlement, account, points=points, touched=touched)
    return points
