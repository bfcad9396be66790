"""Compensations: proposed when a complaint is upheld, granted within a budget by somebody else."""

from collections.abc import Sequence
from datetime import date, datetime
from uuid import UUID

from sqlalchemy import select, true, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from crm_loyalty.errors import (
    AboveYourLimit,
    CompensationWasGranted,
    OwnRequest,
    RecoveryBudgetSpent,
    RecoveryNotFound,
    RecoveryStateConflict,
)
from crm_loyalty.ledger import ledger, points_policy
from crm_loyalty.models.recovery import Recovery, RecoveryBudget, RecoveryState
from crm_loyalty.postings import RECOVERY, SOURCE, Adjust, ReverseWish
from crm_loyalty.recovery import policy
from crm_shared import customers
from crm_shared.callers import MANAGERS, Caller
from crm_shared.contracts.tickets import ComplaintUpheld
from crm_shared.ids import uuid7
from crm_shared.pages import Key, Listing, PageRequest, paginate


async def propose(session: AsyncSession, events: Sequence[ComplaintUpheld], *, at: datetime) -> None:
    """Propose what the policy says for each complaint, once."""
    terms = await policy.current(session)
    if not terms.active:
        return
    worth = {event.ticket_id: int(terms.points.get(event.severity, 0)) for event in events}
    owners = await customers.resolve(session, {event.customer_id for event in events}, lock=True)
    rows = [
        {
            "id": uuid7(),
            "customer_id": owners[event.customer_id],
            "origin_customer_id": event.customer_id,
            "complaint_id": event.ticket_id,
            "severity": event.severity,
            "cause": event.cause,
            "compensation": event.compensation,
            "points": worth[event.ticket_id],
            "policy_version": terms.version,
            "state": RecoveryState.PROPOSED,
            "proposed_at": at,
            "proposed_by": event.envelope.actor,
            "version": 1,
        }
        for event in events
        if worth[event.ticket_id]
    ]
    if rows:
        await session.execute(insert(Recovery).on_conflict_do_nothing(), rows)


async def approve(
    session: AsyncSession, recovery_id: UUID, note: str | None, caller: Caller, *, at: datetime
) -> Recovery:
    """Give the points.

    Raises RecoveryNotFound, RecoveryStateConflict, OwnRequest, AboveYourLimit, RecoveryBudgetSpent,
    AccountNotFound, CustomerWasErased.
    """
    recovery = await _in_state(session, recovery_id, RecoveryState.PROPOSED)
    if recovery.proposed_by == caller.subject:
        raise OwnRequest
    terms = await policy.current(session)
    limit = None if caller.has(MANAGERS) else terms.supervisor_limit
    if limit is not None and recovery.points > limit:
        raise AboveYourLimit(f"More than {limit} points need a manager.", limit=limit)
    posting = Adjust(
        customer_id=recovery.origin_customer_id,
        source=SOURCE,
        reference=f"{RECOVERY} {recovery.id}",
        effective_at=at,
        points=recovery.points,
        reason="compensation for a complaint",
    )
    [verdict] = await ledger.post(session, [posting], at=at)
    recovery.transaction_id = verdict.accepted().id
    recovery.state, recovery.version = RecoveryState.GRANTED, recovery.version + 1
    recovery.decided_at, recovery.decided_by, recovery.note = at, caller.subject, note
    zone = points_policy.zone(await points_policy.current(session))
    recovery.month = at.astimezone(zone).date().replace(day=1)
    # Last: all who approve in this month wait for this row.
    await _take(session, recovery.month, recovery.points, terms.monthly_budget)
    return recovery


async def decline(
    session: AsyncSession, recovery_id: UUID, note: str | None, caller: Caller, *, at: datetime
) -> Recovery:
    """Give nothing; raises RecoveryNotFound, RecoveryStateConflict."""
    recovery = await _in_state(session, recovery_id, RecoveryState.PROPOSED)
    recovery.state, recovery.version = RecoveryState.DECLINED, recovery.version + 1
    recovery.decided_at, recovery.decided_by, recovery.note = at, caller.subject, note
    return recovery


async def reverse(
    session: AsyncSession, recovery_id: UUID, note: str | None, caller: Caller, *, at: datetime
) -> Recovery:
    """Take the points back, and give them back to the budget that they came from.

    Raises RecoveryNotFound, RecoveryStateConflict, NothingToReverse, CustomerWasErased.
    """
    recovery = await _in_state(session, recovery_id, RecoveryState.GRANTED)
    if recovery.transaction_id is None:
        raise RecoveryStateConflict(state=recovery.state.value)
    posting = ReverseWish(
        customer_id=recovery.origin_customer_id,
        source=SOURCE,
        reference=f"{RECOVERY} {recovery.id} reversed",
        effective_at=at,
        transaction_id=recovery.transaction_id,
        reason="compensation for a complaint was taken back",
    )
    [verdict] = await ledger.post(session, [posting], at=at)
    verdict.accepted()
    recovery.state, recovery.version = RecoveryState.REVERSED, recovery.version + 1
    recovery.reversed_at, recovery.reversed_by = at, caller.subject
    recovery.note = note or recovery.note
    if recovery.month is not None:
        await _take(session, recovery.month, -recovery.points, None)
    return recovery


async def check_reversal(session: AsyncSession, transaction_id: UUID) -> None:
    """What was granted is taken back with the recovery or not at all; raises CompensationWasGranted."""
    standing = select(Recovery.id).where(
        Recovery.transaction_id == transaction_id, Recovery.state == RecoveryState.GRANTED
    )
    if recovery_id := await session.scalar(standing):
        raise CompensationWasGranted(recovery_id=str(recovery_id))


async def get(session: AsyncSession, recovery_id: UUID) -> Recovery:
    """Raises RecoveryNotFound."""
    found = await session.get(Recovery, recovery_id)
    if found is None:
        raise RecoveryNotFound(recovery_id=str(recovery_id))
    return found


async def list_(
    session: AsyncSession,
    *,
    customer_id: UUID | None,
    state: RecoveryState | None,
    page: PageRequest,
) -> Listing[Recovery]:
    """Compensations, the newest first."""
    statement = select(Recovery)
    if customer_id is not None:
        owner = await customers.resolve_one(session, customer_id)
        statement = statement.where(Recovery.customer_id == owner)
    if state is not None:
        statement = statement.where(Recovery.state == state)
    return await paginate(
        session,
        statement,
        [Key(Recovery.id, descending=True)],
        page=page,
        filters=[customer_id, state],
    )


async def _in_state(session: AsyncSession, recovery_id: UUID, state: RecoveryState) -> Recovery:
    """The compensation, locked; raises RecoveryNotFound, RecoveryStateConflict."""
    await customers.stop_merges(session)
    found = await session.scalar(select(Recovery).where(Recovery.id == recovery_id).with_for_update())
    if found is None:
        raise RecoveryNotFound(recovery_id=str(recovery_id))
    if found.state is not state:
        raise RecoveryStateConflict(f"It is {found.state.value}.", state=found.state.value)
    return found


async def _take(session: AsyncSession, month: date, points: int, budget: int | None) -> None:
    """Take it from the month's budget, or give it back; raises RecoveryBudgetSpent."""
    await session.execute(insert(RecoveryBudget).values(month=month, used=0).on_conflict_do_nothing())
    left = true() if budget is None else RecoveryBudget.used + points <= budget
    used = await session.scalar(
        update(RecoveryBudget)
        .where(RecoveryBudget.month == month, left)
        .values(used=RecoveryBudget.used + points)
        .returning(RecoveryBudget.used)
    )
    if used is None:
        raise RecoveryBudgetSpent(budget=budget, month=month.isoformat())
