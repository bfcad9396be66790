"""A customer's tier: explained, given by hand, and how it came about."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from crm_loyalty.errors import GrantInThePast, TierNotFound
from crm_loyalty.ledger import accounts
from crm_loyalty.models.tiers import TierChange, TierLadder
from crm_loyalty.rules.tiers import Decision, Ladder, TierBasis, TierReason
from crm_loyalty.schemas.tiers import (
    CustomerTierOut,
    NextTierOut,
    TierGrantIn,
    TierGrantOut,
    TierLadderIn,
    TierMoveOut,
    TierPreviewOut,
)
from crm_loyalty.tiers import counting, ladders, standings
from crm_loyalty.tiers.standings import Look
from crm_shared import customers
from crm_shared.pages import Key, Listing, PageRequest, paginate

_WORDS = {
    TierReason.NONE: "Nothing that is counted reaches a tier.",
    TierReason.REACHED: "What is counted in this period reaches the tier.",
    TierReason.HELD: "The tier was reached before, and is held until the end of its period.",
    TierReason.GRACE: "The period is over without reaching the tier, which goes when the grace is over, too.",
    TierReason.GRANTED: "Somebody gave the tier, which is higher than the one that was reached.",
}


@dataclass(frozen=True, slots=True)
class _Found:
    row: TierLadder
    ladder: Ladder
    look: Look
    joined_at: datetime


async def explain(session: AsyncSession, customer_id: UUID, *, at: datetime) -> CustomerTierOut:
    """Where the customer stands now and why; raises AccountNotFound, TierLadderNotFound."""
    found = await _find(session, customer_id, at=at)
    decision, standing = found.look.decision, found.look.standing
    return CustomerTierOut(
        customer_id=found.look.customer_id,
        tier=decision.tier,
        why=decision.why,
        explanation=_in_words(found.ladder, decision),
        since=decision.since,
        until=decision.until,
        lost_at=decision.lost_at,
        falls_to=decision.falls_to,
        granted=_grant(found.look, at),
        basis=found.ladder.basis,
        currency=found.ladder.currency,
        counted_from=found.ladder.window(at, found.joined_at)[0],
        total=decision.total,
        next=_next(decision),
        benefits=ladders.benefits(found.row, decision.tier),
        ladder_version=found.ladder.version,
        version=standing.version,
    )


async def grant(
    session: AsyncSession, customer_id: UUID, body: TierGrantIn, *, at: datetime, by: str
) -> CustomerTierOut:
    """Give the tier until then, in place of what was given before.

    Raises AccountNotFound, TierLadderNotFound, TierNotFound, GrantInThePast, CustomerWasErased.
    """
    found = await ladders.get(session)
    ladder = await ladders.ladder_of(session, found.version, TierLadderIn.model_validate(found.terms))
    if not ladder.rank(body.tier):
        raise TierNotFound(tier=body.tier)
    if body.until <= at:
        raise GrantInThePast
    owner = await _owner(session, customer_id)
    row = (await standings.lock(session, [owner]))[owner]
    row.granted, row.granted_until = body.tier, body.until
    row.granted_reason, row.granted_by = body.reason, by
    await session.flush()
    await standings.reassess(session, [owner], at=at)
    return await explain(session, owner, at=at)


async def take_back(session: AsyncSession, customer_id: UUID, *, at: datetime) -> CustomerTierOut:
    """End what was given by hand; raises AccountNotFound, TierLadderNotFound, CustomerWasErased."""
    owner = await _owner(session, customer_id)
    row = (await standings.lock(session, [owner]))[owner]
    row.granted = row.granted_until = row.granted_reason = row.granted_by = None
    await session.flush()
    await standings.reassess(session, [owner], at=at)
    return await explain(session, owner, at=at)


async def list_changes(session: AsyncSession, customer_id: UUID, *, page: PageRequest) -> Listing[TierChange]:
    """How the tier changed, the newest first; raises AccountNotFound."""
    owner = await accounts.owner(session, customer_id)
    return await paginate(
        session,
        select(TierChange).where(
            TierChange.customer_id == owner, TierChange.previous.is_distinct_from(TierChange.tier)
        ),
        [Key(TierChange.at, descending=True), Key(TierChange.id, descending=True)],
        page=page,
        filters=str(owner),
    )


async def preview(session: AsyncSession, body: TierLadderIn, *, at: datetime) -> TierPreviewOut:
    """Who would move if this were the ladder; nothing is written."""
    rows = await counting.moves(session, await ladders.ladder_of(session, 0, body), at=at)
    return TierPreviewOut(
        at=at,
        customers=sum(row.customers for row in rows),
        stay=sum(row.customers for row in rows if row.previous == row.tier),
        moves=[
            TierMoveOut(previous=row.previous, tier=row.tier, customers=row.customers, examples=row.examples)
            for row in rows
            if row.previous != row.tier
        ],
    )


async def _owner(session: AsyncSession, customer_id: UUID) -> UUID:
    await ladders.get(session)
    owner = await customers.resolve_one(session, customer_id, lock=True)
    if await customers.erased(session, [owner]):
        raise customers.CustomerWasErased(customer_id=str(customer_id))
    await accounts.owned(session, owner)
    return owner


async def _find(session: AsyncSession, customer_id: UUID, *, at: datetime) -> _Found:
    owned = await accounts.owned(session, customer_id)
    row = await ladders.get(session)
    ladder = await ladders.ladder_of(session, row.version, TierLadderIn.model_validate(row.terms))
    owner = owned[0].customer_id
    [look] = await standings.look(session, ladder, [owner], at=at)
    joined_at = next(each.opened_at for each in owned if each.origin_customer_id == owner)
    return _Found(row, ladder, look, joined_at)


def _in_words(ladder: Ladder, decision: Decision) -> str:
    words = [_WORDS[decision.why]]
    money = f"{ladder.currency} (minor units)"
    unit = {TierBasis.ORDERS: "orders", TierBasis.POINTS_EARNED: "points"}.get(ladder.basis, money)
    words.append(f"{decision.total} {unit} in this period")
    if decision.next is not None and decision.missing is not None:
        words.append(f"{decision.missing} more for {decision.next.key}")
    return f"{words[0]} {'; '.join(words[1:])}."


def _next(decision: Decision) -> NextTierOut | None:
    if decision.next is None or decision.next.threshold is None or decision.missing is None:
        return None
    return NextTierOut(
        tier=decision.next.key, threshold=decision.next.threshold, missing=max(decision.missing, 0)
    )


def _grant(look: Look, at: datetime) -> TierGrantOut | None:
    row = look.standing
    if row.granted is None or row.granted_until is None or row.granted_until <= at:
        return None
    return TierGrantOut(
        tier=row.granted, until=row.granted_until, reason=row.granted_reason, by=row.granted_by
    )
