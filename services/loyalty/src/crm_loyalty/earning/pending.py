"""Points that cannot be spent before a return window ends: kept apart, and posted when their time is over."""

from collections.abc import Collection, Sequence
from dataclasses import asdict, replace
from datetime import datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from crm_loyalty.earning.cases import Given
from crm_loyalty.ledger import accounts, ledger, refunds
from crm_loyalty.ledger.refunds import Returned
from crm_loyalty.models.purchases import PendingAward
from crm_loyalty.postings import Earn
from crm_loyalty.rules.apportioning import apportion
from crm_loyalty.rules.earning import Earned, Line
from crm_loyalty.rules.happenings import Happening
from crm_loyalty.rules.refunds import EarnedLine, kept
from crm_shared import customers, due
from crm_shared.contracts.profiles import PurchaseRefunded
from crm_shared.database import Json
from crm_shared.pages import Key, Listing, PageRequest, paginate

PENDING = "pending-points"
"""The kind of due work by which they come to the account."""


def available_at(earned: Earned, occurred_at: datetime, zone: str) -> datetime | None:
    """When the points can be spent: after the longest wait of the rules that gave them, by the wall clock.

    None: at once, whatever the clock of the shop says.
    """
    days = max((each.rule.pending_days for each in earned.decisions if each.points), default=0)
    return occurred_at.astimezone(ZoneInfo(zone)) + timedelta(days=days) if days else None


async def keep(session: AsyncSession, waiting: Sequence[tuple[Given, Earn]]) -> None:
    """Keep these postings until what they give can be spent."""
    if not waiting:
        return
    rows = [
        {
            "cause_id": given.case.id,
            "event_type": given.case.cause.type if isinstance(given.case.cause, Happening) else None,
            "customer_id": given.case.owner,
            "origin_customer_id": posting.customer_id,
            "source": posting.source,
            "points": posting.points,
            "lines": [asdict(line) for line in posting.lines],
            "explanation": [asdict(line) for line in posting.explanation],
            "returned": [],
            "occurred_at": posting.effective_at,
            "available_at": given.available_at,
        }
        for given, posting in waiting
    ]
    await session.execute(insert(PendingAward), rows)
    instants = {given.case.id: given.available_at for given, _ in waiting if given.available_at}
    await due.schedule(session, PENDING, instants)


async def take_back(session: AsyncSession, events: Sequence[PurchaseRefunded]) -> None:
    """Take what was given back from points that are still pending; each refund counts once."""
    by_purchase: dict[UUID, list[PurchaseRefunded]] = {}
    for event in events:
        by_purchase.setdefault(event.purchase_id, []).append(event)
    for row in await _locked(session, by_purchase):
        known = {each["refund_id"] for each in row.returned}
        whole = row.lines[0]["line"] == 0
        row.returned = row.returned + [
            returned
            for event in by_purchase[row.cause_id]
            if str(event.refund_id) not in known
            for returned in _returned(event, whole=whole)
        ]
        row.points = sum(kept(line, *_back(row, line.line)) for line in _lines(row))
    await session.flush()


async def release(session: AsyncSession, cause_ids: Collection[UUID], *, at: datetime) -> None:
    """Give what is left of points whose time is over; it expires as if it had been earned only then."""
    rows = await _locked(session, cause_ids)
    if rows:
        ids = [row.cause_id for row in rows]
        await session.execute(delete(PendingAward).where(PendingAward.cause_id.in_(ids)))
    giving = [row for row in rows if row.points]
    if giving:
        verdicts = await ledger.post(session, [_posting(row) for row in giving], at=at)
        given = [(verdict.accepted().id, row) for verdict, row in zip(verdicts, giving, strict=True)]
        # With them refunds to come reckon as if none of the points had waited.
        await refunds.note(session, [each for id, row in given for each in _noted(id, row)])


async def list_(session: AsyncSession, customer_id: UUID, *, page: PageRequest) -> Listing[PendingAward]:
    """What is still to come, by purchase or event, the newest first; raises AccountNotFound."""
    owner = await accounts.owner(session, customer_id)
    statement = select(PendingAward).where(PendingAward.customer_id == owner)
    keys = [Key(PendingAward.cause_id, descending=True)]
    return await paginate(session, statement, keys, page=page, filters=str(customer_id))


async def _locked(session: AsyncSession, cause_ids: Collection[UUID]) -> Sequence[PendingAward]:
    """Those of them that are pending, locked: always after the accounts, as everywhere."""
    query = select(PendingAward).where(PendingAward.cause_id.in_(cause_ids))
    buyers = {row.origin_customer_id for row in await session.scalars(query)}
    if not buyers:
        return []
    await customers.stop_merges(session)
    await accounts.lock(session, buyers)
    locked = query.order_by(PendingAward.cause_id).with_for_update()
    return (await session.scalars(locked.execution_options(populate_existing=True))).all()


def _returned(event: PurchaseRefunded, *, whole: bool) -> list[Json]:
    refund = {"refund_id": str(event.refund_id)}
    if whole:
        return [refund | {"line": 0, "amount": event.total.amount, "quantity": 0}]
    return [
        refund | {"line": line.line, "amount": line.amount.amount, "quantity": line.quantity}
        for line in event.lines
    ]


def _noted(transaction_id: UUID, row: PendingAward) -> list[Returned]:
    return [
        Returned(transaction_id, each["line"], UUID(each["refund_id"]), each["amount"], each["quantity"])
        for each in row.returned
    ]


def _lines(row: PendingAward) -> list[EarnedLine]:
    return [EarnedLine(**line) for line in row.lines]


def _back(row: PendingAward, line: int) -> tuple[int, int]:
    """Money and pieces of the line that came back."""
    of_line = [each for each in row.returned if each["line"] == line]
    return sum(each["amount"] for each in of_line), sum(each["quantity"] for each in of_line)


def _posting(row: PendingAward) -> Earn:
    lines = tuple(_lines(row))
    left = [(line, kept(line, *_back(row, line.line))) for line in lines]
    return Earn(
        customer_id=row.origin_customer_id,
        source=row.source,
        reference=str(row.cause_id),
        effective_at=row.available_at,
        points=row.points,
        explanation=tuple(each for line, points in left for each in _explanation(row, line, points)),
        lines=lines,
    )


def _explanation(row: PendingAward, line: EarnedLine, points: int) -> list[Line]:
    """What each rule gave for the line, less what went back with it."""
    given = [Line(**each) for each in row.explanation if (each["line"] or 0) == line.line]
    parts = apportion(points, [each.points for each in given])
    return [
        each
        if part == each.points
        else replace(each, points=part, text=f"{each.text}; {part} left after refunds")
        for each, part in zip(given, parts, strict=True)
        if part
    ]
