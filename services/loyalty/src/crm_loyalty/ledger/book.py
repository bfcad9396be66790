"""The rules of the ledger, applied in memory to what is locked: posting after posting, nothing half done."""

import heapq
from bisect import insort
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID

from crm_loyalty.errors import (
    AccountNotFound,
    HoldNotFound,
    HoldRanOut,
    HoldResolved,
    InsufficientPoints,
    ReferenceReused,
)
from crm_loyalty.models.ledger import HoldState, Kind, ProgrammeAccount
from crm_loyalty.postings import (
    Adjust,
    Capture,
    Earn,
    Movement,
    PlaceHold,
    Posting,
    Release,
    Resolution,
    RunOut,
    Spend,
    Verdict,
)
from crm_shared.ids import uuid7
from crm_shared.problems import Problem

_NEVER = datetime.max.replace(tzinfo=UTC)

_RESOLVED_AS = {
    Kind.CAPTURE: HoldState.CAPTURED,
    Kind.RELEASE: HoldState.RELEASED,
    Kind.RUN_OUT: HoldState.RAN_OUT,
}


@dataclass(slots=True)
class AccountState:
    """A locked account."""

    id: UUID
    customer_id: UUID
    origin_customer_id: UUID
    version: int
    balance: int
    held: int

    @property
    def available(self) -> int:
        return self.balance - self.held


@dataclass(slots=True)
class LotState:
    """A lot with something left, or one that this book made; `transaction_id` is set for the latter."""

    id: UUID
    account_id: UUID
    amount: int
    remaining: int
    earned_at: datetime
    expires_at: datetime | None
    transaction_id: UUID | None = None

    @property
    def order(self) -> tuple[datetime, datetime, UUID]:
        """What expires first is spent first, then what is older; what never expires comes last."""
        return (self.expires_at or _NEVER, self.earned_at, self.id)


@dataclass(slots=True)
class HoldRecord:
    """A hold and what it reserves in which account; `transaction_id` is set when this book placed it."""

    id: UUID
    customer_id: UUID
    origin_customer_id: UUID
    points: int
    parts: dict[UUID, int]
    state: HoldState
    expires_at: datetime
    placed_at: datetime
    purpose: str | None = None
    transaction_id: UUID | None = None


@dataclass(slots=True)
class Changes:
    """What has to be written: new rows in order, changed rows once with their last values."""

    movements: list[tuple[Posting, Movement]] = field(default_factory=list)
    entries: list[tuple[UUID, UUID | ProgrammeAccount, int]] = field(default_factory=list)
    allocations: list[tuple[UUID, UUID, int]] = field(default_factory=list)
    accounts: dict[UUID, AccountState] = field(default_factory=dict)
    lots: dict[UUID, LotState] = field(default_factory=dict)
    holds: dict[UUID, HoldRecord] = field(default_factory=dict)


class Book:
    """The locked accounts of some owners, complete, with as many of their lots as could be needed."""

    def __init__(
        self,
        accounts: Iterable[AccountState],
        lots: Iterable[LotState],
        holds: Iterable[HoldRecord],
        known: Iterable[Movement],
        *,
        at: datetime,
    ) -> None:
        self.changes = Changes()
        self._at = at
        self._accounts = {account.id: account for account in accounts}
        self._lead = {account.origin_customer_id: account for account in self._accounts.values()}
        self._owned: dict[UUID, list[AccountState]] = defaultdict(list)
        for account in sorted(self._accounts.values(), key=lambda account: account.id):
            self._owned[account.customer_id].append(account)
        self._lots: dict[UUID, list[LotState]] = defaultdict(list)
        for lot in sorted(lots, key=lambda lot: lot.order):
            self._lots[lot.account_id].append(lot)
        self._holds = {hold.id: hold for hold in holds}
        self._known = {(movement.source, movement.reference): movement for movement in known}

    def apply(self, posting: Posting) -> Verdict:
        """Do one posting, or refuse it and leave no trace; one that was done before gets its first answer."""
        lead = self._lead.get(posting.customer_id)
        if lead is None:
            return Verdict(posting, refusal=AccountNotFound(customer_id=str(posting.customer_id)))
        known = self._known.get((posting.source, posting.reference))
        if known is not None:
            return _repeated(posting, known, lead)
        try:
            movement = self._do(posting, lead)
        except Problem as refusal:
            return Verdict(posting, refusal=refusal)
        self._known[posting.source, posting.reference] = movement
        self.changes.movements.append((posting, movement))
        return Verdict(posting, movement)

    def _do(self, posting: Posting, lead: AccountState) -> Movement:
        match posting:
            case Earn():
                return self._give(posting, lead, posting.points, ProgrammeAccount.ISSUED)
            case Adjust() if posting.points > 0:
                return self._give(posting, lead, posting.points, ProgrammeAccount.ADJUSTED)
            case Adjust():
                return self._spend(posting, lead, -posting.points, ProgrammeAccount.ADJUSTED)
            case Spend():
                return self._spend(posting, lead, posting.points, ProgrammeAccount.REDEEMED)
            case PlaceHold():
                return self._hold(posting, lead)
            case Resolution():
                return self._resolve(posting, lead)
        raise TypeError(f"the ledger does not know {type(posting).__name__}")

    def _give(
        self, posting: Earn | Adjust, lead: AccountState, points: int, counterpart: ProgrammeAccount
    ) -> Movement:
        transaction_id = uuid7()
        lot = LotState(
            id=uuid7(),
            account_id=lead.id,
            amount=points,
            remaining=points,
            earned_at=posting.effective_at,
            expires_at=posting.expires_at if isinstance(posting, Earn) else None,
            transaction_id=transaction_id,
        )
        insort(self._lots[lead.id], lot, key=lambda lot: lot.order)
        self.changes.lots[lot.id] = lot
        self._enter(transaction_id, {lead.id: points}, counterpart)
        return self._record(transaction_id, posting, lead, points=posting.points, touched=[lead])

    def _spend(
        self, posting: Spend | Adjust, lead: AccountState, points: int, counterpart: ProgrammeAccount
    ) -> Movement:
        owned = self._sufficient(lead, points)
        transaction_id = uuid7()
        taken = self._take(transaction_id, {account.id: account.available for account in owned}, points)
        self._enter(transaction_id, {id: -part for id, part in taken.items()}, counterpart)
        touched = [self._accounts[id] for id in taken]
        return self._record(transaction_id, posting, lead, points=posting.points, touched=touched)

    def _hold(self, posting: PlaceHold, lead: AccountState) -> Movement:
        owned = self._sufficient(lead, posting.points)
        parts: dict[UUID, int] = {}
        missing = posting.points
        for account in sorted(owned, key=lambda account: account is not lead):
            if part := min(missing, account.available):
                parts[account.id] = part
                account.held += part
                missing -= part
        transaction_id = uuid7()
        hold = HoldRecord(
            id=uuid7(),
            customer_id=lead.customer_id,
            origin_customer_id=lead.origin_customer_id,
            points=posting.points,
            parts=parts,
            state=HoldState.OPEN,
            expires_at=posting.expires_at,
            placed_at=self._at,
            purpose=posting.purpose,
            transaction_id=transaction_id,
        )
        self._holds[hold.id] = self.changes.holds[hold.id] = hold
        touched = [self._accounts[id] for id in parts]
        return self._record(
            transaction_id, posting, lead, points=posting.points, touched=touched, hold_id=hold.id
        )

    def _resolve(self, posting: Resolution, lead: AccountState) -> Movement:
        hold = self._holds.get(posting.hold_id)
        if hold is None or hold.customer_id != lead.customer_id:
            raise HoldNotFound(hold_id=str(posting.hold_id))
        ran_out = self._at >= hold.expires_at
        if hold.state is HoldState.RAN_OUT or (ran_out and isinstance(posting, Capture | Release)):
            raise HoldRanOut(
                f"The hold ran out at {hold.expires_at.isoformat()}.", expires_at=hold.expires_at.isoformat()
            )
        if hold.state is not HoldState.OPEN:
            raise HoldResolved(f"The hold was {hold.state.value} before.", state=hold.state.value)
        if isinstance(posting, RunOut) and not ran_out:
            raise HoldResolved("Its time is not over yet.", state=hold.state.value)
        transaction_id = uuid7()
        for id, part in hold.parts.items():
            self._accounts[id].held -= part
        if isinstance(posting, Capture):
            taken = self._take(transaction_id, hold.parts, hold.points)
            self._enter(transaction_id, {id: -part for id, part in taken.items()}, ProgrammeAccount.REDEEMED)
        hold.state = _RESOLVED_AS[posting.kind]
        self.changes.holds[hold.id] = hold
        touched = [self._accounts[id] for id in hold.parts]
        return self._record(
            transaction_id, posting, lead, points=hold.points, touched=touched, hold_id=hold.id
        )

    def _sufficient(self, lead: AccountState, points: int) -> list[AccountState]:
        """All accounts of the owner; raises InsufficientPoints."""
        owned = self._owned[lead.customer_id]
        available = sum(account.available for account in owned)
        if points > available:
            raise InsufficientPoints(
                f"{points} points were asked for, {available} are available.",
                available=available,
                requested=points,
            )
        return owned

    def _take(self, transaction_id: UUID, limits: Mapping[UUID, int], points: int) -> dict[UUID, int]:
        """Take points from lots in their order, from each account within its limit; how much from which."""
        taken: dict[UUID, int] = defaultdict(int)
        missing = points
        for lot in self._in_order(limits):
            part = min(missing, lot.remaining, limits[lot.account_id] - taken[lot.account_id])
            if part:
                lot.remaining -= part
                missing -= part
                taken[lot.account_id] += part
                self.changes.lots[lot.id] = lot
                self.changes.allocations.append((transaction_id, lot.id, part))
            if not missing:
                break
        if missing:
            raise ArithmeticError(f"{missing} points of transaction {transaction_id} are in no lot")
        for account_id in taken:
            lots = self._lots[account_id]
            while lots and not lots[0].remaining:
                lots.pop(0)
        return {account_id: part for account_id, part in taken.items() if part}

    def _in_order(self, accounts: Iterable[UUID]) -> Iterator[LotState]:
        return heapq.merge(*(self._lots[id] for id in accounts), key=lambda lot: lot.order)

    def _enter(
        self, transaction_id: UUID, amounts: Mapping[UUID, int], counterpart: ProgrammeAccount
    ) -> None:
        """Both sides of the transaction: what is added to accounts is taken from the programme."""
        for account_id, amount in amounts.items():
            self._accounts[account_id].balance += amount
            self.changes.entries.append((transaction_id, account_id, amount))
        self.changes.entries.append((transaction_id, counterpart, -sum(amounts.values())))

    def _record(
        self,
        transaction_id: UUID,
        posting: Posting,
        lead: AccountState,
        *,
        points: int,
        touched: Sequence[AccountState],
        hold_id: UUID | None = None,
    ) -> Movement:
        for account in {account.id: account for account in (lead, *touched)}.values():
            account.version += 1
            self.changes.accounts[account.id] = account
        owned = self._owned[lead.customer_id]
        return Movement(
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
            explanation=posting.explanation if isinstance(posting, Earn) else (),
            effective_at=posting.effective_at,
            recorded_at=self._at,
        )


def _repeated(posting: Posting, known: Movement, lead: AccountState) -> Verdict:
    """The first answer again, if the posting is about the same."""
    same = known.kind is posting.kind and known.account_id == lead.id
    match posting:
        case Earn() | Spend() | Adjust() | PlaceHold():
            same = same and known.points == posting.points
        case Resolution():
            same = same and known.hold_id == posting.hold_id
    if not same:
        return Verdict(posting, refusal=ReferenceReused(reference=posting.reference))
    return Verdict(posting, known, repeated=True)


def needed(
    postings: Iterable[Posting], accounts: Iterable[AccountState], holds: Mapping[UUID, HoldRecord]
) -> dict[UUID, int]:
    """At most how many points of its lots each account could lose to these postings."""
    accounts = list(accounts)
    owner = {account.origin_customer_id: account.customer_id for account in accounts}
    by_owner: dict[UUID, int] = defaultdict(int)
    by_account: dict[UUID, int] = defaultdict(int)
    for posting in postings:
        match posting:
            case Spend() | Adjust() if posting.customer_id in owner:
                taken = posting.points if isinstance(posting, Spend) else -posting.points
                by_owner[owner[posting.customer_id]] += max(taken, 0)
            case Capture() if posting.hold_id in holds:
                for account_id, part in holds[posting.hold_id].parts.items():
                    by_account[account_id] += part
    wanted = {a.id: min(a.balance, by_owner[a.customer_id] + by_account[a.id]) for a in accounts}
    return {account_id: points for account_id, points in wanted.items() if points}
