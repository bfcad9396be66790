"""Transfers in the book: parts of lots change hands, and what is left of them can be sent back."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace
from uuid import UUID

from crm_loyalty.errors import AccountNotFound, NothingToReverse, TransferToSelf
from crm_loyalty.ledger.journal import AccountState, Journal, LotState, Target
from crm_loyalty.models.ledger import ProgrammeAccount
from crm_loyalty.postings import SOURCE, Movement, Receive, Reverse, Transfer
from crm_shared.ids import uuid7


def transfer(
    journal: Journal, posting: Transfer, lead: AccountState, owned: Iterable[AccountState]
) -> Movement:
    """Take the points as a spend would, and make lots of the same age and expiry of them.

    Each side has a movement of its own, so that each account has its version and its event. Raises
    AccountNotFound, TransferToSelf.
    """
    recipient = journal.opened_for.get(posting.to)
    if recipient is None:
        raise AccountNotFound(customer_id=str(posting.to))
    if recipient.customer_id == lead.customer_id:
        raise TransferToSelf
    transaction_id, receipt_id = uuid7(), uuid7()
    free = {account.id: account.free for account in owned}
    taken = journal.take(transaction_id, free, posting.points, since=journal.at)
    amounts = {id: -part for id, part in taken.items()}
    journal.enter(transaction_id, amounts, {ProgrammeAccount.TRANSFERRED: posting.points})
    for lot, part in journal.taken_by(transaction_id):
        journal.add_lot(
            replace(
                lot,
                id=uuid7(),
                account_id=recipient.id,
                amount=part,
                remaining=part,
                parted_from=lot.id,
                transaction_id=receipt_id,
            )
        )
    journal.enter(receipt_id, {recipient.id: posting.points}, {ProgrammeAccount.TRANSFERRED: -posting.points})
    touched = [journal.accounts[id] for id in taken]
    movement = journal.record(transaction_id, posting, lead, points=posting.points, touched=touched)
    receipt = Receive(
        customer_id=posting.to,
        source=SOURCE,
        reference=Receive.of(transaction_id),
        effective_at=posting.effective_at,
        author=posting.author,
        transfer_id=transaction_id,
    )
    journal.record(receipt_id, receipt, recipient, points=posting.points)
    return movement


def send_back(
    journal: Journal, posting: Reverse, sender: AccountState, target: Target, points: int
) -> Movement:
    """As many of the points as the recipient still has and has not reserved; raises NothingToReverse."""
    if target.receipt_id is None:
        raise LookupError(f"nobody has received transfer {target.id}")
    lots = sorted((journal.lots[id] for id in target.received), key=lambda lot: lot.order, reverse=True)
    recipient = journal.accounts[lots[0].account_id]
    parts = _left(lots, min(points, recipient.free))
    points = sum(part for _, part in parts)
    if not points:
        raise NothingToReverse(
            "The points were spent, are held, or have expired.",
            points=target.points,
            reversed=target.reversed,
        )
    transaction_id, receipt_id = uuid7(), uuid7()
    returned: dict[UUID, int] = defaultdict(int)
    for lot, part in parts:
        origin = journal.lots[_origin(lot)]
        journal.move(receipt_id, lot, part)
        journal.move(transaction_id, origin, -part)
        target.taken[origin.id] -= part
        returned[origin.account_id] += part
    journal.enter(receipt_id, {recipient.id: -points}, {ProgrammeAccount.REVERSED: points})
    journal.enter(transaction_id, returned, {ProgrammeAccount.REVERSED: -points})
    target.reversed += points
    touched = [journal.accounts[id] for id in returned]
    movement = journal.record(
        transaction_id, posting, sender, points=points, touched=touched, reverses=target.id
    )
    of_recipient = replace(
        posting,
        customer_id=recipient.origin_customer_id,
        reference=f"{posting.reference} received",
        reason=None,
    )
    journal.record(receipt_id, of_recipient, recipient, points=-points, reverses=target.receipt_id)
    return movement


def _left(lots: Iterable[LotState], points: int) -> list[tuple[LotState, int]]:
    """How many of so many points each lot has left."""
    found = []
    for lot in lots:
        if part := min(points, lot.remaining):
            found.append((lot, part))
            points -= part
    return found


def _origin(lot: LotState) -> UUID:
    if lot.parted_from is None:
        raise LookupError(f"lot {lot.id} was not transferred")
    return lot.parted_from
