"""Adjustments: small ones happen at once, larger ones when a second person agrees."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from crm_loyalty.errors import (
    AdjustmentDecided,
    AdjustmentNotFound,
    ApprovalRequired,
    OwnRequest,
)
from crm_loyalty.ledger import accounts, ledger, points_policy
from crm_loyalty.models.adjustments import Adjustment, AdjustmentState
from crm_loyalty.postings import SOURCE, Adjust
from crm_loyalty.schemas.adjustments import AdjustmentIn
from crm_shared import customers
from crm_shared.callers import MANAGERS, Caller
from crm_shared.ids import uuid7
from crm_shared.pages import Key, Listing, PageRequest, paginate


async def check(session: AsyncSession, points: int, caller: Caller) -> None:
    """Raise ApprovalRequired when the caller may not move so many points alone."""
    limit = (await points_policy.current(session)).approval_above if caller.has(frozenset(MANAGERS)) else 0
    if limit is not None and abs(points) > limit:
        raise ApprovalRequired(f"More than {limit} points need a second person.", limit=limit)


async def request(session: AsyncSession, body: AdjustmentIn, caller: Caller, *, at: datetime) -> Adjustment:
    """Do it if the caller may alone, else keep it for somebody else to decide.

    Raises AccountNotFound, CustomerWasErased, InsufficientPoints.
    """
    await customers.stop_merges(session)
    owner = await accounts.owner(session, body.customer_id)
    await customers.check_not_erased(session, [body.customer_id])
    adjustment = Adjustment(
        id=uuid7(),
        customer_id=owner,
        origin_customer_id=body.customer_id,
        points=body.points,
        reason=body.reason,
        state=AdjustmentState.REQUESTED,
        requested_by=caller.subject,
        requested_at=at,
        version=1,
    )
    try:
        await check(session, body.points, caller)
    except ApprovalRequired:
        pass
    else:
        await _post(session, adjustment, caller, at=at)
    session.add(adjustment)
    await session.flush()
    return adjustment


async def approve(
    session: AsyncSession, adjustment_id: UUID, note: str | None, caller: Caller, *, at: datetime
) -> Adjustment:
    """Do what was asked for; raises AdjustmentNotFound, AdjustmentDecided, OwnRequest, InsufficientPoints."""
    adjustment = await _undecided(session, adjustment_id, caller)
    await _post(session, adjustment, caller, at=at)
    adjustment.note, adjustment.version = note, adjustment.version + 1
    return adjustment


async def reject(
    session: AsyncSession, adjustment_id: UUID, note: str | None, caller: Caller, *, at: datetime
) -> Adjustment:
    """Do not do it; raises AdjustmentNotFound, AdjustmentDecided, OwnRequest."""
    adjustment = await _undecided(session, adjustment_id, caller)
    adjustment.state = AdjustmentState.REJECTED
    adjustment.decided_by, adjustment.decided_at = caller.subject, at
    adjustment.note, adjustment.version = note, adjustment.version + 1
    return adjustment


async def get(session: AsyncSession, adjustment_id: UUID) -> Adjustment:
    """Raises AdjustmentNotFound."""
    found = await session.get(Adjustment, adjustment_id)
    if found is None:
        raise AdjustmentNotFound(adjustment_id=str(adjustment_id))
    return found


async def list_(
    session: AsyncSession, *, state: AdjustmentState | None, page: PageRequest
) -> Listing[Adjustment]:
    """What was asked for, the newest first."""
    statement = select(Adjustment)
    if state is not None:
        statement = statement.where(Adjustment.state == state)
    key = Key(Adjustment.id, descending=True)
    return await paginate(session, statement, [key], page=page, filters=state)


async def _undecided(session: AsyncSession, adjustment_id: UUID, caller: Caller) -> Adjustment:
    """The adjustment, locked, if this caller may decide on it."""
    await customers.stop_merges(session)
    found = await session.scalar(select(Adjustment).where(Adjustment.id == adjustment_id).with_for_update())
    if found is None:
        raise AdjustmentNotFound(adjustment_id=str(adjustment_id))
    if found.state is not AdjustmentState.REQUESTED:
        raise AdjustmentDecided(f"It was {found.state.value} before.", state=found.state.value)
    if found.requested_by == caller.subject:
        raise OwnRequest
    return found


async def _post(session: AsyncSession, adjustment: Adjustment, caller: Caller, *, at: datetime) -> None:
    posting = Adjust(
        customer_id=adjustment.origin_customer_id,
        source=SOURCE,
        reference=f"adjustment {adjustment.id}",
        effective_at=at,
        points=adjustment.points,
        reason=adjustment.reason or "adjustment",
    )
    [verdict] = await ledger.post(session, [posting], at=at)
    adjustment.transaction_id = verdict.accepted().id
    adjustment.state = AdjustmentState.APPROVED
    adjustment.decided_by, adjustment.decided_at = caller.subject, at
