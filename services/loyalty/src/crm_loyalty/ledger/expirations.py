"""Expiry: lots end in their time, are announced before, and every coming date can be read."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import Text, cast, func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from crm_loyalty.ledger import accounts, ledger, points_policy
from crm_loyalty.models.ledger import Account, Lot
from crm_loyalty.postings import SOURCE, Expire
from crm_loyalty.rules.expiry import lapses_at, notice_at
from crm_shared import due
from crm_shared.contracts.loyalty import PointsExpiring
from crm_shared.ids import uuid7
from crm_shared.outbox import News, publish_many
from crm_shared.pages import Listing, PageRequest

_of_owner = aliased(Account)
_ACTIVE_AT = (
    select(func.max(_of_owner.active_at))
    .where(_of_owner.customer_id == Account.customer_id)
    .correlate(Account)
    .scalar_subquery()
)


@dataclass
class Expiration:
    """Points that cannot be spent any more from an instant on."""

    expires_at: datetime
    points: int
    lots: int
    policy_versions: list[int]


async def expire(session: AsyncSession, lot_ids: Collection[UUID], *, at: datetime) -> None:
    """Take what is left of the lots whose time is over; one that was put off by a movement comes again."""
    rows = (
        await session.execute(
            select(Lot.id, Account.origin_customer_id, Lot.expires_at, Lot.idle_days)
            .join(Account, Account.id == Lot.account_id)
            .where(Lot.id.in_(lot_ids), Lot.remaining > 0)
            .order_by(Lot.expires_at, Lot.earned_at, Lot.id)  # the first ones pay what is owed
        )
    ).all()
    postings = [
        Expire(
            customer_id=row.origin_customer_id,
            source=SOURCE,
            reference=f"expiry {uuid7()}",
            effective_at=row.expires_at or at,
            lot_id=row.id,
        )
        for row in rows
    ]
    if postings:
        await ledger.post(session, postings, at=at)
    idle = [row.id for row in rows if row.idle_days is not None]
    if idle:
        await _again(session, ledger.EXPIRY, await _lapses(session, idle), at=at)


async def announce(session: AsyncSession, lot_ids: Collection[UUID], *, at: datetime) -> None:
    """Tell once per account and instant what is about to expire; what was put off is told of later."""
    policy = await points_policy.current(session)
    zone = points_policy.zone(policy)
    idle = await _lapses(session, lot_ids)
    told = {id: notice_at(instant, policy.notice_days, zone) for id, instant in idle.items()}
    await _again(session, ledger.EXPIRY_NOTICE, {id: t for id, t in told.items() if t > at}, at=at)
    now = {id: instant for id, instant in idle.items() if told[id] <= at}
    lots = (
        await session.execute(
            select(Lot.id, Lot.account_id, Lot.remaining, Lot.expires_at, Lot.idle_days).where(
                Lot.id.in_(lot_ids), Lot.remaining > 0
            )
        )
    ).all()
    dated = await _ending_together(
        session, {(lot.account_id, lot.expires_at) for lot in lots if lot.expires_at}
    )
    points: dict[tuple[UUID, datetime], int] = {}
    for lot in lots:
        if lot.expires_at is not None:
            first, together = dated.get((lot.account_id, lot.expires_at), (None, 0))
            # The others of the same day are told of with the first one.
            if first == lot.id and lot.expires_at > at:
                points[lot.account_id, lot.expires_at] = together
        elif lot.id in now:
            key = (lot.account_id, now[lot.id])
            points[key] = points.get(key, 0) + lot.remaining
    await _tell(session, points, at=at)


async def _ending_together(
    session: AsyncSession, keys: Collection[tuple[UUID, datetime]]
) -> dict[tuple[UUID, datetime], tuple[UUID, int]]:
    """The first lot of all that end in an account at an instant, and their points together."""
    if not keys:
        return {}
    first = func.min(cast(Lot.id, Text)).label("first")
    rows = await session.execute(
        select(Lot.account_id, Lot.expires_at, first, func.sum(Lot.remaining).label("points"))
        .where(
            Lot.account_id.in_({account_id for account_id, _ in keys}),
            Lot.expires_at.in_({expires_at for _, expires_at in keys}),
            Lot.remaining > 0,
        )
        .group_by(Lot.account_id, Lot.expires_at)
    )
    return {(row.account_id, row.expires_at): (UUID(row.first), int(row.points)) for row in rows}


async def _tell(session: AsyncSession, points: dict[tuple[UUID, datetime], int], *, at: datetime) -> None:
    ids = {account_id for account_id, _ in points}
    found = await session.scalars(select(Account).where(Account.id.in_(ids)))
    owners = {account.id: account for account in found}
    news = [
        News(
            PointsExpiring(
                customer_id=owners[account_id].origin_customer_id,
                version=owners[account_id].version,
                account_id=account_id,
                points=points[account_id, expires_at],
                expires_at=expires_at,
            )
        )
        for account_id, expires_at in sorted(points)
    ]
    await publish_many(session, news, at=at)


async def _lapses(session: AsyncSession, lot_ids: Collection[UUID]) -> dict[UUID, datetime]:
    """When each of these lots lapses, of those that lapse by inactivity and have something left."""
    rows = (
        await session.execute(
            select(Lot.id, Lot.idle_days, _ACTIVE_AT.label("active_at"))
            .join(Account, Account.id == Lot.account_id)
            .where(Lot.id.in_(lot_ids), Lot.remaining > 0, Lot.idle_days.is_not(None))
        )
    ).all()
    if not rows:
        return {}
    zone = points_policy.zone(await points_policy.current(session))
    return {row.id: lapses_at(row.active_at, row.idle_days, zone) for row in rows}


async def _again(session: AsyncSession, kind: str, instants: dict[UUID, datetime], *, at: datetime) -> None:
    """Come back at these instants; what holds have reserved beyond its time is looked at every day."""
    tomorrow = at + timedelta(days=1)
    await due.schedule(session, kind, {id: i if i > at else tomorrow for id, i in instants.items()})


async def list_(
    session: AsyncSession,
    customer_id: UUID,
    *,
    at: datetime,
    page: PageRequest,
) -> Listing[Expiration]:
    """Every coming instant at which points of the customer expire, the next first."""
    owned = await accounts.owned(session, customer_id)
    digest = f"expirations {owned[0].customer_id}"
    after = (
        datetime.fromisoformat(page.cursors.decode(page.cursor, digest)[0]) if page.cursor is not None else at
    )
    versions = func.array_agg(func.distinct(Lot.policy_version)).filter(Lot.policy_version.is_not(None))
    figures = (
        func.sum(Lot.remaining).label("points"),
        func.count().label("lots"),
        versions.label("versions"),
    )
    open_ = (Lot.account_id.in_([account.id for account in owned]), Lot.remaining > 0)
    dated = await session.execute(
        select(Lot.expires_at.label("key"), *figures)
        .where(*open_, Lot.expires_at > after)
        .group_by(Lot.expires_at)
        .order_by(Lot.expires_at)
        .limit(page.limit + 1)
    )
    found = {row.key: Expiration(row.key, int(row.points), row.lots, row.versions or []) for row in dated}
    idle = (
        await session.execute(
            select(Lot.idle_days.label("key"), *figures)
            .where(*open_, Lot.idle_days.is_not(None))
            .group_by(Lot.idle_days)
        )
    ).all()
    if idle:
        zone = points_policy.zone(await points_policy.current(session))
        active_at = max(account.active_at for account in owned)
        for row in idle:
            instant = lapses_at(active_at, row.key, zone)
            if instant > after:
                same = found.setdefault(instant, Expiration(instant, 0, 0, []))
                same.points += int(row.points)
                same.lots += row.lots
                same.policy_versions = sorted({*same.policy_versions, *(row.versions or [])})
    items = [found[instant] for instant in sorted(found)]
    more = len(items) > page.limit
    following = page.cursors.encode([items[page.limit - 1].expires_at], digest) if more else None
    return Listing(items[: page.limit], following, more)
