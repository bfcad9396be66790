"""What is locked, and what is being changed about it: lots in their order, and all sides of each entry."""

import heapq
from bisect import insort
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID

from crm_loyalty.models.ledger import Kind, ProgrammeAccount
from crm_loyalty.postings import Earn, HoldRecord, Movement, Posting

_NEVER = datetime.max.replace(tzinfo=UTC)

_ACTIVE = (Kind.EARN, Kind.SPEND, Kind.CAPTURE, Kind.TRANSFER, Kind.RECEIVE)
"""What keeps points alive that lapse by inactivity."""


@dataclass(slots=True)
class AccountState:
    """A locked account."""

    id: UUID
    customer_id: UUID
    origin_customer_id: UUID
    version: int
    balance: int
    held: int
    owed: int
    active_at: datetime
    erased: bool = False
    """The customer for whom it was opened is to stay forgotten."""
    pool_id: UUID | None = None
    """The pool of which the owner is a member."""

    @property
    def free(self) -> int:
        """What its lots have left beyond what is held."""
        return self.balance + self.owed - self.held


@dataclass(slots=True)
class LotState:
    """A lot with something left, or a debt; `transaction_id` is set when it was made here."""

    id: UUID
    account_id: UUID
    amount: int
    remaining: int
    earned_at: datetime
    expires_at: datetime | None
    idle_days: int | None = None
    policy_version: int | None = None
    parted_from: UUID | None = None
    transaction_id: UUID | None = None

    @property
    def order(self) -> tuple[datetime, datetime, UUID]:
        """What expires first is spent first, then what is older; what never expires comes last.

        So does what lapses by inactivity: spending puts that off.
        """
        return (self.expires_at or _NEVER, self.earned_at, self.id)

    def over(self, at: datetime) -> bool:
        return self.expires_at is not None and self.expires_at <= at


@dataclass(slots=True)
class Target:
    """A movement that may be undone, and how much of it still can be."""

    id: UUID
    kind: Kind
    account_id: UUID
    points: int
    reversed: int
    """By all reversals so far."""
    lot_id: UUID | None
    """The lot that it made."""
    expired: int
    """Of that lot, what expired and was not yet left out of a reversal."""
    taken: dict[UUID, int]
    """What it took from which lot, less what was given back."""
    receipt_id: UUID | None
    """The other half of a transfer."""
    received: list[UUID]
    """The lots that it made."""
    moved_in: list[UUID]
    """The accounts of all these lots but the first one."""


@dataclass(frozen=True, slots=True)
class Touch:
    """An account of somebody else than the movement's, as the movement left it."""

    account_id: UUID
    version: int
    balance: int
    held: int


@dataclass(slots=True)
class Changes:
    """What has to be written: new rows in order, changed rows once with their last values."""

    movements: list[tuple[Posting, Movement]] = field(default_factory=list)
    touched: dict[UUID, list[Touch]] = field(default_factory=dict)
    """By movement, the accounts of others that it changed too."""
    entries: list[tuple[UUID, UUID | ProgrammeAccount, int]] = field(default_factory=list)
    allocations: dict[tuple[UUID, UUID], int] = field(default_factory=lambda: defaultdict(int))
    accounts: dict[UUID, AccountState] = field(default_factory=dict)
    lots: dict[UUID, LotState] = field(default_factory=dict)
    holds: dict[UUID, HoldRecord] = field(default_factory=dict)


class Journal:
    """The locked accounts of some owners, complete, with as many of their lots as could be needed."""

    def __init__(
        self,
        accounts: Iterable[AccountState],
        lots: Iterable[LotState],
        holds: Iterable[HoldRecord],
        *,
        at: datetime,
    ) -> None:
        self.at = at
        self.changes = Changes()
        self.accounts = {account.id: account for account in accounts}
        self.opened_for = {account.origin_customer_id: account for account in self.accounts.values()}
        self.owned: dict[UUID, list[AccountState]] = defaultdict(list)
        for account in sorted(self.accounts.values(), key=lambda account: account.id):
            self.owned[account.customer_id].append(account)
        self._pools: dict[UUID, set[UUID]] = defaultdict(set)
        for account in self.accounts.values():
            if account.pool_id is not None:
                self._pools[account.pool_id].add(account.customer_id)
        self.lots = {lot.id: lot for lot in lots}
        self.refilled: set[UUID] = set()
        """Lots that were empty and got points back."""
        self.expired: dict[UUID, int] = defaultdict(int)
        """How much of which lot expired here."""
        self.holds = {hold.id: hold for hold in holds}
        self._open: dict[UUID, list[LotState]] = defaultdict(list)
        self._debts: dict[UUID, list[LotState]] = defaultdict(list)
        for lot in sorted(self.lots.values(), key=lambda lot: lot.order):
            if lot.remaining > 0:
                self._open[lot.account_id].append(lot)
            elif lot.remaining < 0:
                self._debts[lot.account_id].append(lot)

    def sharing(self, account: AccountState) -> Collection[UUID]:
        """All members of the owner's pool; without one the owner alone."""
        return {account.customer_id} if account.pool_id is None else self._pools[account.pool_id]

    def add_lot(self, lot: LotState) -> None:
        """A new one; below zero it is a debt."""
        self.lots[lot.id] = self.changes.lots[lot.id] = lot
        of_account = self._open if lot.amount > 0 else self._debts
        insort(of_account[lot.account_id], lot, key=lambda lot: lot.order)
        if lot.amount < 0:
            self.accounts[lot.account_id].owed -= lot.amount

    def over(self, account: AccountState) -> list[LotState]:
        """The account's lots whose time is over and that have something left, in order."""
        found = []
        for lot in self._open[account.id]:
            if not lot.over(self.at):
                break
            if lot.remaining:
                found.append(lot)
        return found

    def debts(self, account: AccountState) -> list[LotState]:
        """What the account owes, the oldest first."""
        return [debt for debt in self._debts[account.id] if debt.remaining]

    def move(self, transaction_id: UUID, lot: LotState, points: int) -> None:
        """Take points from one lot, or with a negative number give them back to it."""
        refilled = not lot.remaining and points < 0
        lot.remaining -= points
        self.changes.lots[lot.id] = lot
        self.changes.allocations[transaction_id, lot.id] += points
        if refilled:
            self.refilled.add(lot.id)
            open_ = self._open[lot.account_id]
            if lot not in open_:
                insort(open_, lot, key=lambda lot: lot.order)

    def take(
        self, transaction_id: UUID, limits: Mapping[UUID, int], points: int, *, since: datetime
    ) -> dict[UUID, int]:
        """Take points from lots in their order, from each account within its limit; how much from which.

        Lots whose time was over at `since` are left alone: what they still have is for earlier holds.
        """
        taken: dict[UUID, int] = defaultdict(int)
        missing = points
        for lot in self.in_order(limits):
            part = min(missing, lot.remaining, limits[lot.account_id] - taken[lot.account_id])
            if part > 0 and not lot.over(since):
                self.move(transaction_id, lot, part)
                missing -= part
                taken[lot.account_id] += part
            if not missing:
                break
        if missing:
            raise ArithmeticError(f"{missing} points of transaction {transaction_id} are in no lot")
        for account_id in taken:
            lots = self._open[account_id]
            while lots and not lots[0].remaining:
                lots.pop(0)
        return {account_id: part for account_id, part in taken.items() if part}

    def taken_by(self, transaction_id: UUID) -> list[tuple[LotState, int]]:
        """The lots from which a transaction of this journal took points, and how many."""
        taken = self.changes.allocations.items()
        return [(self.lots[lot_id], points) for (id, lot_id), points in taken if id == transaction_id]

    def in_order(self, accounts: Iterable[UUID]) -> Iterator[LotState]:
        """The open lots of these accounts, those first that are spent first."""
        return heapq.merge(*(self._open[id] for id in accounts), key=lambda lot: lot.order)

    def enter(
        self,
        transaction_id: UUID,
        amounts: Mapping[UUID, int],
        counterparts: Mapping[ProgrammeAccount, int],
    ) -> None:
        """All sides of the transaction: what is added to accounts is taken from the programme."""
        if sum(amounts.values()) + sum(counterparts.values()):
            raise ArithmeticError(f"the entries of transaction {transaction_id} do not add up to zero")
        for account_id, amount in amounts.items():
            if amount:
                self.accounts[account_id].balance += amount
                self.changes.entries.append((transaction_id, account_id, amount))
        self.changes.entries.extend(
            (transaction_id, counterpart, amount) for counterpart, amount in counterparts.items() if amount
        )

    def record(
        self,
        transaction_id: UUID,
        posting: Posting,
        lead: AccountState,
        *,
        points: int,
        touched: Sequence[AccountState] = (),
        hold_id: UUID | None = None,
        reverses: UUID | None = None,
    ) -> Movement:
        """The movement as it will be known, addressed to one account; all that it touched have changed."""
        if posting.kind in _ACTIVE:
            lead.active_at = max(lead.active_at, min(posting.effective_at, self.at))
        for account in {account.id: account for account in (lead, *touched)}.values():
            account.version += 1
            self.changes.accounts[account.id] = account
        owned = self.owned[lead.customer_id]
        movement = Movement(
            id=transaction_id,
            kind=posting.kind,
            source=posting.source,
            reference=posting.reference,
            account_id=lead.id,
            version=lead.version,
            points=points,
            balance=sum(account.balance for account in owned),
            held=sum(account.held for account in owned),
            hold_id=hold_id,
            reverses=reverses,
            explanation=posting.explanation if isinstance(posting, Earn) else (),
            effective_at=posting.effective_at,
            recorded_at=self.at,
        )
        self.changes.movements.append((posting, movement))
        others = [account for account in touched if account.customer_id != lead.customer_id]
        if others:
            self.changes.touched[transaction_id] = [self._touch(account) for account in others]
        return movement

    def _touch(self, account: AccountState) -> Touch:
        owned = self.owned[account.customer_id]
        balance, held = sum(each.balance for each in owned), sum(each.held for each in owned)
        return Touch(account.id, account.version, balance, held)
