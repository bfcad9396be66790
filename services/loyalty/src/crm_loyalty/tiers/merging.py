"""Tiers of customers who turn out to be one person, and of those who turn out not to be."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from crm_loyalty.models.tiers import TierChange, TierStanding
from crm_loyalty.rules.tiers import Ladder
from crm_loyalty.tiers import ladders, standings
from crm_shared import customers
from crm_shared.contracts.profiles import CustomerMerged, CustomerUnmerged
from crm_shared.database import Json
from crm_shared.ids import uuid7


async def join(session: AsyncSession, events: Sequence[CustomerMerged], *, at: datetime) -> None:
    """The survivor has the better of both tiers, and both bases from now on; what was before is kept."""
    ladder = await ladders.in_force(session)
    if ladder is None:
        return
    owners = await customers.resolve(session, {event.customer_id for event in events})
    merged = {absorbed: owner for absorbed, owner in owners.items() if owner != absorbed}
    forgotten = await customers.erased(session, {*merged, *merged.values()})
    rows = await standings.lock(session, {*merged, *merged.values()} - forgotten)
    for event in events:
        survivor = rows.get(merged.get(event.customer_id, event.customer_id))
        absorbed = rows.get(event.customer_id)
        if survivor is None or absorbed is None or survivor is absorbed:
            continue
        before = _state(survivor)
        _take_better(ladder, survivor, absorbed)
        session.add(_kept(event, survivor, before, ladder, at))
    await session.flush()
    await standings.reassess(session, set(merged.values()), at=at, causes={e.customer_id: e for e in events})


async def part(session: AsyncSession, events: Sequence[CustomerUnmerged], *, at: datetime) -> None:
    """Both have what they had before the merge, or what their own basis has reached since.

    What was given or ended by hand meanwhile stays as it was decided.
    """
    kept = await session.scalars(
        select(TierChange).where(TierChange.merge_id.in_({event.merge_id for event in events}))
    )
    before = {row.origin_customer_id: row for row in kept}
    for survivor, row in (await standings.lock(session, before)).items():
        _restore(row, before[survivor].held or {})
    await session.flush()
    both = {id for event in events for id in (event.customer_id, event.survivor_id)}
    await standings.reassess(session, both, at=at, causes={e.customer_id: e for e in events})


def _kept(
    event: CustomerMerged, survivor: TierStanding, before: Json, ladder: Ladder, at: datetime
) -> TierChange:
    return TierChange(
        id=uuid7(),
        customer_id=survivor.origin_customer_id,
        origin_customer_id=survivor.origin_customer_id,
        previous=survivor.counts,
        tier=survivor.counts,
        why="merged",
        total=0,
        until=survivor.until,
        ladder_version=ladder.version,
        at=at,
        merge_id=event.merge_id,
        held=before | {"became": _grant(survivor)},
    )


def _take_better(ladder: Ladder, survivor: TierStanding, absorbed: TierStanding) -> None:
    if ladder.rank(absorbed.tier) > ladder.rank(survivor.tier):
        survivor.tier, survivor.since, survivor.until = absorbed.tier, absorbed.since, absorbed.until
    if ladder.rank(absorbed.granted) > ladder.rank(survivor.granted):
        survivor.granted, survivor.granted_until = absorbed.granted, absorbed.granted_until
        survivor.granted_reason, survivor.granted_by = absorbed.granted_reason, absorbed.granted_by


def _state(row: TierStanding) -> Json:
    return {
        "tier": row.tier,
        "since": _text(row.since),
        "until": _text(row.until),
        **_grant(row),
    }


def _grant(row: TierStanding) -> Json:
    return {
        "granted": row.granted,
        "granted_until": _text(row.granted_until),
        "granted_reason": row.granted_reason,
        "granted_by": row.granted_by,
    }


def _restore(row: TierStanding, held: Json) -> None:
    row.tier, row.since, row.until = held.get("tier"), _instant(held, "since"), _instant(held, "until")
    if held.get("became") in (None, _grant(row)):
        row.granted, row.granted_until = held.get("granted"), _instant(held, "granted_until")
        row.granted_reason, row.granted_by = held.get("granted_reason"), held.get("granted_by")


def _text(instant: datetime | None) -> str | None:
    return instant.isoformat() if instant else None


def _instant(held: Json, name: str) -> datetime | None:
    found = held.get(name)
    return datetime.fromisoformat(found) if found else None
