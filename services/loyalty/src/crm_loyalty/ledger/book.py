"""The rules of the ledger, applied in memory to what is locked: posting after posting, nothing half done."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from crm_loyalty.errors import (
    AccountNotFound,
    HoldNotFound,
    HoldRanOut,
    HoldResolved,
    InsufficientPoints,
    NothingToExpire,
    ReferenceReused,
)
from crm_loyalty.ledger import pooling, reversals, transferring, upkeep
from crm_loyalty.ledger.journal import AccountState, Journal, LotState, Target
from crm_loyalty.ledger.pooling import PoolTerms
from crm_loyalty.models.ledger import HoldState, Kind, ProgrammeAccount
from crm_loyalty.models.points_policy import DebtRule
from crm_loyalty.postings import (
    Adjust,
    Capture,
    Earn,
    Expire,
    HoldRecord,
    Movement,
    PlaceHold,
    Posting,
    Release,
    Resolution,
    Reverse,
    RunOut,
    Spend,
    Transfer,
    Verdict,
)
from crm_loyalty.rules.expiry import Expiry, lapses_at
from crm_shared.ids import uuid7
from crm_shared.problems import Problem

_RESOLVED_AS = {
    Kind.CAPTURE: HoldState.CAPTURED,
    Kind.RELEASE: HoldState.RELEASED,
    Kind.RUN_OUT: HoldState.RAN_OUT,
}


@dataclass(frozen=True, slots=True)
class Terms:
    """The points policy, as far as the book needs it."""

    version: int
    expiry: Expiry
    debt: DebtRule

    def end_of(self, posting: Earn) -> datetime | None:
        """When what is earned expires; None: never by date."""
        return posting.expires_at or self.expiry.of(posting.effective_at)


class Book:
    """A journal and what it is asked to do."""

    def __init__(
        self,
        journal: Journal,
        known: Iterable[Movement],
        targets: Mapping[UUID, Target],
        terms: Terms | None,
        pools: Mapping[UUID, PoolTerms],
    ) -> None:
        self._journal = journal
        self._known = {(movement.source, movement.reference): movement for movement in known}
        self._targets = targets
        self._terms = terms
        self._pools = pools

    def apply(self, posting: Posting) -> Verdict:
        """Do one posting, or refuse it and leave no trace; one that was done before gets its first answer."""
        lead = self._journal.opened_for.get(posting.customer_id)
        if lead is None:
            return Verdict(posting, refusal=AccountNotFound(customer_id=str(posting.customer_id)))
        known = self._known.get((posting.source, posting.reference))
        if known is not None:
            return _repeated(posting, known, lead)
        owners = self._touched(posting, lead)
        ending = isinstance(posting, Expire)
        if not ending:
            upkeep.keep_up(self._journal, owners)
        try:
            movement = self._do(posting, lead)
        except Problem as refusal:
            return Verdict(posting, refusal=refusal)
        self._known[posting.source, posting.reference] = movement
        upkeep.keep_up(self._journal, owners, since=None if ending else posting.effective_at)
        hold = self._journal.holds.get(movement.hold_id) if movement.hold_id else None
        # A copy: what comes after may end it.
        return Verdict(posting, movement, hold=hold and replace(hold))

    def _touched(self, posting: Posting, lead: AccountState) -> set[UUID]:
        """Whose points it may move: the lead's, those of a pool, or of whom lots have gone to since."""
        accounts: Iterable[UUID] = ()
        if isinstance(posting, Spend | PlaceHold):
            return {lead.customer_id, *self._journal.sharing(lead)}
        if isinstance(posting, Resolution) and posting.hold_id in self._journal.holds:
            accounts = self._journal.holds[posting.hold_id].parts
        elif isinstance(posting, Reverse) and posting.transaction_id in self._targets:
            target = self._targets[posting.transaction_id]
            accounts = (self._journal.lots[id].account_id for id in (*target.taken, *target.received))
        return {lead.customer_id, *(self._journal.accounts[id].customer_id for id in accounts)}

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
            case Transfer():
                return transferring.transfer(
                    self._journal, posting, lead, self._sufficient(lead, posting.points)
                )
            case Resolution():
                return self._resolve(posting, lead)
            case Expire():
                return self._expire(posting)
            case Reverse():
                target = self._targets.get(posting.transaction_id)
                return reversals.reverse(self._journal, posting, lead, target, self._in_force().debt)
        raise TypeError(f"the ledger does not know {type(posting).__name__}")

    def _in_force(self) -> Terms:
        if self._terms is None:
            raise LookupError("this posting needs the points policy")
        return self._terms

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
        if lot.expires_at is None:
            terms = self._in_force()
            lot.expires_at = terms.expiry.of(posting.effective_at)
            lot.idle_days = terms.expiry.idle_days
            lot.policy_version = terms.version
        self._journal.add_lot(lot)
        self._journal.enter(transaction_id, {lead.id: points}, {counterpart: -points})
        return self._journal.record(transaction_id, posting, lead, points=posting.points)

    def _spend(
        self, posting: Spend | Adjust, lead: AccountState, points: int, counterpart: ProgrammeAccount
    ) -> Movement:
        journal, transaction_id = self._journal, uuid7()
        pool = self._pools.get(lead.pool_id) if lead.pool_id and isinstance(posting, Spend) else None
        if pool is not None:
            limits = pooling.parts(journal, lead, points, pool)
        else:
            limits = {account.id: account.free for account in self._sufficient(lead, points)}
        taken = journal.take(transaction_id, limits, points, since=journal.at)
        journal.enter(transaction_id, {id: -part for id, part in taken.items()}, {counterpart: points})
        touched = [journal.accounts[id] for id in taken]
        return journal.record(transaction_id, posting, lead, points=posting.points, touched=touched)

    def _hold(self, posting: PlaceHold, lead: AccountState) -> Movement:
        pool = self._pools.get(lead.pool_id) if lead.pool_id else None
        if pool is not None:
            parts = pooling.parts(self._journal, lead, posting.points, pool)
        else:
            parts = self._own_parts(lead, posting.points)
        for id, part in parts.items():
            self._journal.accounts[id].held += part
        transaction_id = uuid7()
        hold = HoldRecord(
            id=uuid7(),
            customer_id=lead.customer_id,
            origin_customer_id=lead.origin_customer_id,
            points=posting.points,
            parts=parts,
            state=HoldState.OPEN,
            reference=posting.purpose,
            placed_at=self._journal.at,
            expires_at=posting.expires_at,
            transaction_id=transaction_id,
        )
        self._journal.holds[hold.id] = self._journal.changes.holds[hold.id] = hold
        touched = [self._journal.accounts[id] for id in parts]
        return self._journal.record(
            transaction_id, posting, lead, points=posting.points, touched=touched, hold_id=hold.id
        )

    def _own_parts(self, lead: AccountState, points: int) -> dict[UUID, int]:
        """What is reserved in which of the owner's accounts: first in the one that is addressed."""
        parts: dict[UUID, int] = {}
        missing = points
        for account in sorted(self._sufficient(lead, points), key=lambda account: account is not lead):
            if part := min(missing, account.free):
                parts[account.id] = part
                missing -= part
        return parts

    def _resolve(self, posting: Resolution, lead: AccountState) -> Movement:
        journal, hold = self._journal, self._journal.holds.get(posting.hold_id)
        if hold is None or hold.customer_id != lead.customer_id:
            raise HoldNotFound(hold_id=str(posting.hold_id))
        ran_out = journal.at >= hold.expires_at
        if hold.state is HoldState.RAN_OUT or (ran_out and isinstance(posting, Capture | Release)):
            raise HoldRanOut("The hold ran out at `expires_at`.", expires_at=hold.expires_at)
        if hold.state is not HoldState.OPEN:
            raise HoldResolved(f"The hold was {hold.state.value} before.", state=hold.state.value)
        if isinstance(posting, RunOut) and not ran_out:
            raise HoldResolved("Its time is not over yet.", state=hold.state.value)
        transaction_id = uuid7()
        for id, part in hold.parts.items():
            journal.accounts[id].held -= part
        if isinstance(posting, Capture):
            taken = journal.take(transaction_id, hold.parts, hold.points, since=hold.placed_at)
            amounts = {id: -part for id, part in taken.items()}
            journal.enter(transaction_id, amounts, {ProgrammeAccount.REDEEMED: hold.points})
        hold.state = _RESOLVED_AS[posting.kind]
        hold.resolved_at = journal.at
        journal.changes.holds[hold.id] = hold
        touched = [journal.accounts[id] for id in hold.parts]
        return journal.record(
            transaction_id, posting, lead, points=hold.points, touched=touched, hold_id=hold.id
        )

    def _expire(self, posting: Expire) -> Movement:
        journal = self._journal
        lot = journal.lots.get(posting.lot_id)
        if lot is None or lot.account_id not in journal.accounts:
            raise NothingToExpire(lot_id=str(posting.lot_id))
        account = journal.accounts[lot.account_id]
        points = 0
        if lot.over(journal.at):
            points = lot.remaining - upkeep.reserved(journal, lot)
        elif lot.idle_days is not None:
            active_at = max(each.active_at for each in journal.owned[account.customer_id])
            if lapses_at(active_at, lot.idle_days, self._in_force().expiry.zone) <= journal.at:
                points = min(lot.remaining, account.free)
        if points <= 0:
            raise NothingToExpire(lot_id=str(lot.id))
        movement = upkeep.expire(journal, posting, lot, points)
        if movement is None:
            raise NothingToExpire(lot_id=str(lot.id))
        return movement

    def _sufficient(self, lead: AccountState, points: int) -> list[AccountState]:
        """All accounts of the owner; raises InsufficientPoints."""
        owned = self._journal.owned[lead.customer_id]
        available = max(sum(account.free - account.owed for account in owned), 0)
        if points > available:
            raise InsufficientPoints(
                f"{points} points were asked for, {available} are available.",
                available=available,
                requested=points,
            )
        return owned


def _repeated(posting: Posting, known: Movement, lead: AccountState) -> Verdict:
    """The first answer again, if the posting is about the same."""
    same = known.kind is posting.kind and known.account_id == lead.id
    match posting:
        case Earn() | Spend() | Adjust() | PlaceHold() | Transfer():
            same = same and known.points == posting.points
        case Resolution():
            same = same and known.hold_id == posting.hold_id
        case Reverse():
            same = known.kind is posting.kind and known.reverses == posting.transaction_id
    if not same:
        return Verdict(posting, refusal=ReferenceReused(reference=posting.reference))
    return Verdict(posting, known, repeated=True)


def needed(
    postings: Iterable[Posting],
    accounts: Collection[AccountState],
    holds: Mapping[UUID, HoldRecord],
    targets: Mapping[UUID, Target],
    drawn: Mapping[UUID, int],
    late: Collection[UUID],
) -> dict[UUID, int]:
    """At most how many points of its lots each account could lose to these postings; `drawn` is what members
    of its pool could take.

    Owners who only gain points are left out: nobody looks at their lots. Unless they gain them too `late`,
    when they are over already: then lots that were over before come first. Of the others all accounts are
    needed, for whichever has what ended first pays first.
    """
    by_origin = {account.origin_customer_id: account for account in accounts}
    by_owner: dict[UUID, int] = defaultdict(int)
    by_account: dict[UUID, int] = defaultdict(int, drawn)
    for posting in postings:
        if isinstance(posting, Resolution) and posting.hold_id in holds:
            for account_id, part in holds[posting.hold_id].parts.items():
                by_account[account_id] += part if isinstance(posting, Capture) else 0
        if isinstance(posting, Reverse) and posting.transaction_id in targets:
            by_account.update((id, by_account[id]) for id in targets[posting.transaction_id].moved_in)
        if posting.customer_id in by_origin and (
            not isinstance(posting, Earn) or posting.customer_id in late
        ):
            by_owner[by_origin[posting.customer_id].customer_id] += _taken(posting)
    owners = {account.customer_id for account in accounts if account.id in by_account} | by_owner.keys()
    return {
        account.id: min(
            account.balance + account.owed, by_owner[account.customer_id] + by_account[account.id]
        )
        for account in accounts
        if account.customer_id in owners
    }


def _taken(posting: Posting) -> int:
    """What the posting takes, from whichever of the owner's accounts."""
    match posting:
        case Spend() | Transfer():
            return posting.points
        case Adjust():
            return max(-posting.points, 0)
    return 0
