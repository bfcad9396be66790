"""Undoing a movement: what was given is taken back, what was spent goes back to where it came from."""

from uuid import UUID

from crm_loyalty.errors import NothingToReverse, TransactionNotFound
from crm_loyalty.ledger import transferring
from crm_loyalty.ledger.journal import AccountState, Journal, LotState, Target
from crm_loyalty.models.ledger import Kind, ProgrammeAccount
from crm_loyalty.models.points_policy import DebtRule
from crm_loyalty.postings import Movement, Reverse
from crm_shared.ids import uuid7

REVERSIBLE = (Kind.EARN, Kind.ADJUST, Kind.SPEND, Kind.CAPTURE, Kind.TRANSFER)


def reverse(
    journal: Journal, posting: Reverse, lead: AccountState, target: Target | None, debt: DebtRule
) -> Movement:
    """Undo as much as the posting says; raises TransactionNotFound, NothingToReverse."""
    if target is None or journal.accounts[target.account_id].customer_id != lead.customer_id:
        raise TransactionNotFound(transaction_id=str(posting.transaction_id))
    whole = abs(target.points)
    points = min(whole if posting.total is None else posting.total, whole) - target.reversed
    if points <= 0 or target.kind not in REVERSIBLE:
        raise NothingToReverse(kind=target.kind.value, points=whole, reversed=target.reversed)
    account = journal.accounts[target.account_id]
    if target.kind is Kind.TRANSFER:
        return transferring.send_back(journal, posting, account, target, points)
    transaction_id = uuid7()
    if target.lot_id is not None:
        lot = journal.lots[target.lot_id]
        touched = _take_back(journal, transaction_id, account, target, lot, points, debt)
    else:
        touched = _give_back(journal, transaction_id, target, points)
    target.reversed += points
    change = -points if target.lot_id is not None else points
    return journal.record(
        transaction_id, posting, account, points=change, touched=touched, reverses=target.id
    )


def _take_back(
    journal: Journal,
    transaction_id: UUID,
    account: AccountState,
    target: Target,
    lot: LotState,
    points: int,
    debt: DebtRule,
) -> list[AccountState]:
    """First what has expired, for that is gone already; then what the lot has left, for it was not spent.

    What was spent is owed: it stands against all that the owner has, and no other lot is touched.
    """
    expired = min(points, target.expired + journal.expired[lot.id])
    target.expired -= expired
    missing = points - expired
    amounts: dict[UUID, int] = {account.id: 0}
    if part := min(missing, lot.remaining, account.free):
        journal.move(transaction_id, lot, part)
        amounts[account.id] -= part
        missing -= part
    forgiven = 0
    if debt is DebtRule.FORGIVE:
        owned = journal.owned[account.customer_id]
        there = sum(each.free - each.owed + amounts.get(each.id, 0) for each in owned)
        forgiven = max(missing - max(there, 0), 0)
    if owing := missing - forgiven:
        journal.add_lot(
            LotState(uuid7(), account.id, -owing, -owing, journal.at, None, transaction_id=transaction_id)
        )
        amounts[account.id] -= owing
    counterparts = {
        ProgrammeAccount.REVERSED: points,
        ProgrammeAccount.EXPIRED: -expired,
        ProgrammeAccount.FORGIVEN: -forgiven,
    }
    journal.enter(transaction_id, amounts, counterparts)
    return [account]


def _give_back(journal: Journal, transaction_id: UUID, target: Target, points: int) -> list[AccountState]:
    """To the lots that were taken last, with the expiry they have: as if less had been spent."""
    amounts: dict[UUID, int] = {}
    missing = points
    for lot in sorted((journal.lots[id] for id in target.taken), key=lambda lot: lot.order, reverse=True):
        if part := min(missing, target.taken[lot.id]):
            journal.move(transaction_id, lot, -part)
            target.taken[lot.id] -= part
            amounts[lot.account_id] = amounts.get(lot.account_id, 0) + part
            missing -= part
    if missing:
        raise ArithmeticError(f"{missing} points of transaction {target.id} came from no lot")
    journal.enter(transaction_id, amounts, {ProgrammeAccount.REVERSED: -points})
    return [journal.accounts[id] for id in amounts]
