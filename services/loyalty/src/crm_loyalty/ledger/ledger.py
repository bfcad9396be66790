"""The one way in which points move: many postings at once, each answered, none disturbed by its neighbours.

The accounts are locked in the order of their ids, what the postings need is read, the book applies them one
after the other in memory, and what changed is written by one statement.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from crm_loyalty.ledger import accounts, points_policy, pooling, reading, writing
from crm_loyalty.ledger.announcements import announce
from crm_loyalty.ledger.book import Book, Terms, needed
from crm_loyalty.ledger.journal import AccountState, Changes, Journal, LotState
from crm_loyalty.models.ledger import HoldState
from crm_loyalty.models.points_policy import PointsPolicyVersion
from crm_loyalty.postings import (
    Adjust,
    Earn,
    Expire,
    Posting,
    Resolution,
    Reverse,
    Transfer,
    Verdict,
    Wish,
)
from crm_loyalty.rules.expiry import lapses_at, notice_at
from crm_shared import customers
from crm_shared.due import Planned
from crm_shared.outbox import News

HOLD = "hold"
"""The kind of due work by which holds run out."""
EXPIRY = "expiry"
"""The kind by which lots end."""
EXPIRY_NOTICE = "expiry_notice"
"""The kind by which that is announced."""


async def post(session: AsyncSession, postings: Sequence[Posting], *, at: datetime) -> list[Verdict]:
    """Do each posting in its turn, in the caller's transaction, and answer each; `at` is now.

    The number of statements does not depend on the number of postings.
    """
    # While we work nobody changes hands, so that the accounts we lock stay those of their owners.
    await customers.stop_merges(session)
    opening = [posting.customer_id for posting in postings if isinstance(posting, Earn)]
    if opening:
        await accounts.open_(session, opening, at=at)
    hold_ids = {posting.hold_id for posting in postings if isinstance(posting, Resolution)}
    undone = {posting.transaction_id for posting in postings if isinstance(posting, Reverse)}
    locked = await reading.lock(session, {id for p in postings for id in p.concerned}, hold_ids, undone)
    policy = await _policy(session, postings)
    terms = Terms(policy.version, points_policy.expiry(policy), policy.debt) if policy else None
    known = await reading.known(session, postings)
    holds = await reading.holds(session, hold_ids)
    targets = await reading.targets(session, undone)
    named = {posting.lot_id for posting in postings if isinstance(posting, Expire)}
    for target in targets.values():
        named |= {target.lot_id} if target.lot_id else {*target.taken, *target.received}
    drawn = pooling.drawing(postings, locked)
    wanted = needed(postings, locked, holds, targets, drawn, _late(postings, terms, at))
    indebted = [account.id for account in locked if account.owed]
    lots = await reading.lots(session, wanted, named, indebted, at=at)
    holds |= await reading.holds(session, (), _holding_on(locked, lots, at))
    journal = Journal(locked, lots, holds.values(), at=at)
    pool_ids = {account.pool_id for account in locked if account.pool_id and account.id in drawn}
    pools = await pooling.terms(session, pool_ids, at=at)
    book = Book(journal, known, targets, terms, pools)
    wished = {id for posting in postings if isinstance(posting, Wish) for id in posting.concerned}
    forgotten = {account.origin_customer_id for account in locked if account.erased}
    forgotten |= await customers.erased(session, wished - {account.origin_customer_id for account in locked})
    verdicts = [_forgotten(posting, forgotten) or book.apply(posting) for posting in postings]
    changes = journal.changes
    if changes.movements:
        origins = {account.id: account.origin_customer_id for account in locked}
        told = [
            News(event, posting.cause, author=posting.author) for posting, event in announce(changes, origins)
        ]
        await writing.write(
            session, changes, told, [*_ends_of_holds(changes), *_ends_of_lots(journal, policy)], at=at
        )
    return verdicts


def _forgotten(posting: Posting, forgotten: Collection[UUID]) -> Verdict | None:
    """The refusal of what somebody asks for about a customer who was erased."""
    gone = [id for id in posting.concerned if id in forgotten] if isinstance(posting, Wish) else []
    return Verdict(posting, refusal=customers.CustomerWasErased(customer_id=str(gone[0]))) if gone else None


async def _policy(session: AsyncSession, postings: Iterable[Posting]) -> PointsPolicyVersion | None:
    """The points policy, if one of the postings makes lots or ends them."""
    if any(isinstance(posting, Earn | Adjust | Expire | Reverse | Transfer) for posting in postings):
        return await points_policy.current(session)
    return None


def _late(postings: Iterable[Posting], terms: Terms | None, at: datetime) -> set[UUID]:
    """Who earns something that is over by now."""
    if terms is None:
        return set()
    earned = [posting for posting in postings if isinstance(posting, Earn)]
    return {p.customer_id for p in earned if (end := terms.end_of(p)) is not None and end <= at}


def _holding_on(locked: Iterable[AccountState], lots: Iterable[LotState], at: datetime) -> list[UUID]:
    """Accounts with lots whose time is over and that holds may keep, be it once they get something back."""
    over = {lot.account_id for lot in lots if lot.over(at)}
    return [account.id for account in locked if account.held and account.id in over]


def _ends_of_holds(changes: Changes) -> Iterator[Planned]:
    """Have each new hold run out in its time.

    One that is resolved keeps its due row, which then finds nothing to do: to remove it would be to wait for
    the worker that waits for our accounts.
    """
    for id, hold in changes.holds.items():
        if hold.transaction_id is not None and hold.state is HoldState.OPEN:
            yield Planned(HOLD, id, hold.expires_at)


def _ends_of_lots(journal: Journal, policy: PointsPolicyVersion | None) -> Iterator[Planned]:
    """Have each new lot end in its time, and be announced before."""
    if policy is None:
        return
    zone = points_policy.zone(policy)
    for lot in journal.changes.lots.values():
        end = None
        if lot.expires_at is not None and lot.transaction_id is not None:
            end = lot.expires_at
        elif lot.idle_days is not None and (lot.transaction_id is not None or lot.id in journal.refilled):
            # One that was empty when its time came has no due row any more.
            end = lapses_at(journal.accounts[lot.account_id].active_at, lot.idle_days, zone)
        if end is not None:
            yield Planned(EXPIRY, lot.id, end)
            notice = notice_at(end, policy.notice_days, zone)
            # What is earned so late was announced as it was earned.
            if notice > journal.at:
                yield Planned(EXPIRY_NOTICE, lot.id, notice)
