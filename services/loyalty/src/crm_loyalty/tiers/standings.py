"""Where customers stand on the ladder: looked at when they buy, when time has passed, and when they merge."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import ARRAY, Uuid, bindparam, func, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from crm_loyalty.models.ledger import Account
from crm_loyalty.models.tiers import TierChange, TierStanding
from crm_loyalty.rules.tiers import Decision, Facts, Ladder, Standing, decide
from crm_loyalty.tiers import counting, ladders
from crm_shared import customers, due
from crm_shared.contracts.base import Event
from crm_shared.contracts.loyalty import TierChanged, TierDowngradeAnnounced
from crm_shared.ids import uuid7
from crm_shared.outbox import News, publish_many

_OF = TierStanding.origin_customer_id == func.any(bindparam("ids", type_=ARRAY(Uuid)))

# In the order of ids, so that two who write the same ones do not wait for each other in a circle.
_HAVE_ROWS = text(
    """
    INSERT INTO tier_standings (origin_customer_id, customer_id, version, announced)
    SELECT id, id, 0, false FROM unnest(CAST(:ids AS uuid[])) AS n (id) ORDER BY id
    ON CONFLICT DO NOTHING
    """
).bindparams(bindparam("ids", type_=ARRAY(Uuid)))


@dataclass(frozen=True, slots=True)
class Look:
    """A customer's standing, and what the rule makes of it now."""

    customer_id: UUID
    standing: TierStanding
    decision: Decision


async def current(session: AsyncSession, owners: Collection[UUID]) -> dict[UUID, str]:
    """The tier of each who has one."""
    rows = await session.execute(
        select(TierStanding.origin_customer_id, TierStanding.counts).where(
            _OF, TierStanding.counts.is_not(None)
        ),
        {"ids": sorted(set(owners))},
    )
    return {owner: tier for owner, tier in rows if tier is not None}


async def reassess(
    session: AsyncSession,
    customer_ids: Collection[UUID],
    *,
    at: datetime,
    causes: Mapping[UUID, Event] | None = None,
    planned: bool = False,
) -> None:
    """Look at these customers, or at whom their ids mean today, and write and tell what has changed.

    The number of statements that read does not depend on theirs. A look that was `planned` plans the next
    one in any case.
    """
    ladder = await ladders.in_force(session)
    if ladder is None or not customer_ids:
        return
    by_id = await customers.resolve(session, customer_ids, lock=True)
    owners = set(by_id.values())
    owners -= await customers.erased(session, owners)
    await lock(session, owners)
    told = {by_id[id]: event for id, event in (causes or {}).items() if id in by_id}
    looks = await look(session, ladder, owners, at=at)
    plans = {
        each.customer_id: each.decision.look_at
        for each in looks
        if each.decision.look_at is not None and (planned or each.decision.look_at != each.standing.look_at)
    }
    await _settle(session, ladder, looks, told, at=at)
    await due.reschedule(session, ladders.LOOK, plans)


async def lock(session: AsyncSession, owners: Collection[UUID]) -> dict[UUID, TierStanding]:
    """See to it that each owner has a standing, and lock them."""
    ids = sorted(owners)
    await session.execute(_HAVE_ROWS, {"ids": ids})
    rows = await session.scalars(
        select(TierStanding).where(_OF).order_by(TierStanding.origin_customer_id).with_for_update(),
        {"ids": ids},
        execution_options={"populate_existing": True},
    )
    return {row.origin_customer_id: row for row in rows}


async def look(
    session: AsyncSession, ladder: Ladder, owners: Collection[UUID], *, at: datetime
) -> list[Look]:
    """What the rule says of each owner who has an account; whoever has no standing yet has an empty one."""
    ids = sorted(owners)
    joined = {
        owner: opened
        for owner, opened in await session.execute(
            select(Account.origin_customer_id, Account.opened_at).where(
                Account.origin_customer_id == func.any(bindparam("ids", type_=ARRAY(Uuid)))
            ),
            {"ids": ids},
        )
    }
    found = await session.scalars(select(TierStanding).where(_OF), {"ids": ids})
    stored = {row.origin_customer_id: row for row in found}
    rows = {
        id: stored.get(id) or TierStanding(origin_customer_id=id, customer_id=id, version=0, announced=False)
        for id in ids
        if id in joined
    }
    begun = {id: ladder.window(at, joined[id])[0] for id in rows}
    closing = {
        id: ladder.closing(row.until, joined[id]) if row.until else begun[id] for id, row in rows.items()
    }
    counted = await counting.totals(session, ladder, [*begun.items(), *closing.items()])
    return [
        Look(
            id,
            row,
            decide(
                ladder,
                standing_of(row),
                Facts(joined[id], counted[id, begun[id]], counted[id, closing[id]]),
                at,
            ),
        )
        for id, row in rows.items()
    ]


def standing_of(row: TierStanding) -> Standing:
    """The row as the rule knows it."""
    return Standing(
        tier=row.tier,
        since=row.since,
        until=row.until,
        granted=row.granted,
        granted_until=row.granted_until,
    )


async def _settle(
    session: AsyncSession,
    ladder: Ladder,
    looks: Sequence[Look],
    causes: Mapping[UUID, Event],
    *,
    at: datetime,
) -> None:
    """Write each decision, and tell those that changed something."""
    news: list[News] = []
    changes: list[dict[str, object]] = []
    for each in looks:
        row, decision = each.standing, each.decision
        if decision.tier != row.counts:
            row.version += 1
            news.append(News(_changed(ladder, each), causes.get(each.customer_id)))
            changes.append(_change(ladder, each, at))
        renewed = decision.until != row.until or decision.reached != row.tier
        announced = row.announced and not renewed and decision.at_risk
        if decision.announce and not announced and decision.lost_at is not None:
            row.version += 1
            news.append(News(_announced(ladder, each, decision.lost_at), causes.get(each.customer_id)))
            announced = True
        row.counts, row.tier, row.since, row.until = (
            decision.tier,
            decision.reached,
            decision.since,
            decision.until,
        )
        row.announced, row.look_at = announced, decision.look_at
    await session.flush()
    if changes:
        await session.execute(insert(TierChange), changes)
    await publish_many(session, news, at=at)


def _change(ladder: Ladder, each: Look, at: datetime) -> dict[str, object]:
    return {
        "id": uuid7(),
        "customer_id": each.customer_id,
        "origin_customer_id": each.customer_id,
        "previous": each.standing.counts,
        "tier": each.decision.tier,
        "why": each.decision.why.value,
        "total": each.decision.total,
        "until": each.decision.until,
        "ladder_version": ladder.version,
        "at": at,
    }


def _changed(ladder: Ladder, each: Look) -> TierChanged:
    return TierChanged(
        customer_id=each.customer_id,
        version=each.standing.version,
        tier=each.decision.tier,
        previous=each.standing.counts,
        why=each.decision.why.value,
        total=each.decision.total,
        basis=ladder.basis.value,
        currency=ladder.currency,
        until=each.decision.until,
        ladder_version=ladder.version,
    )


def _announced(ladder: Ladder, each: Look, lost_at: datetime) -> TierDowngradeAnnounced:
    return TierDowngradeAnnounced(
        customer_id=each.customer_id,
        version=each.standing.version,
        tier=each.decision.tier,
        why=each.decision.why.value,
        total=each.decision.total,
        basis=ladder.basis.value,
        currency=ladder.currency,
        until=each.decision.until,
        ladder_version=ladder.version,
        falls_to=each.decision.falls_to,
        falls_at=lost_at,
    )
