"""Pools in the ledger: whose points one member may spend, and from which accounts they come."""

from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from sqlalchemy import ARRAY, DateTime, Uuid, bindparam, func, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from crm_loyalty.errors import InsufficientPoints
from crm_loyalty.ledger import points_policy
from crm_loyalty.ledger.journal import AccountState, Journal
from crm_loyalty.models.ledger import Account
from crm_loyalty.models.pools import MemberState, Pool, PoolMember, Spending
from crm_loyalty.postings import PlaceHold, Posting, Spend

# Who shares points is locked together, always and by one statement: nobody waits for another in a circle.
LOCKED_TOGETHER = """
    SELECT COALESCE(mate.customer_id, mine.customer_id)
    FROM accounts AS mine LEFT JOIN accounts AS mate ON mate.pool_id = mine.pool_id
    WHERE mine.origin_customer_id = ANY(CAST(:customers AS uuid[]))
"""

# What was held today and released is free again; what was spent and came back by a reversal still counts.
# Holds are looked for by who placed them, since they have the instant: by their parts it would be all there
# ever were.
DRAWN = text(
    """
    SELECT customer_id, CAST(sum(points) AS bigint) AS points
    FROM (
        SELECT spender.customer_id, -entries.amount AS points
        FROM accounts AS owner
        JOIN entries ON entries.account_id = owner.id AND entries.recorded_at >= :since
        JOIN transactions AS t ON t.id = entries.transaction_id AND t.kind = 'spend'
        JOIN accounts AS spender ON spender.id = t.account_id AND spender.customer_id <> owner.customer_id
        WHERE owner.pool_id = ANY(CAST(:pools AS uuid[]))
        UNION ALL
        SELECT holds.customer_id, part.points
        FROM (
            SELECT DISTINCT customer_id FROM accounts WHERE pool_id = ANY(CAST(:pools AS uuid[]))
        ) AS member
        JOIN holds ON holds.customer_id = member.customer_id AND holds.placed_at >= :since
            AND holds.state IN ('open', 'captured')
        JOIN hold_parts AS part ON part.hold_id = holds.id
        JOIN accounts AS owner ON owner.id = part.account_id AND owner.customer_id <> holds.customer_id
            AND owner.pool_id = ANY(CAST(:pools AS uuid[]))
    ) AS drawn
    GROUP BY customer_id
    """
).bindparams(bindparam("pools", type_=ARRAY(Uuid)), bindparam("since", type_=DateTime(timezone=True)))


@dataclass(frozen=True, slots=True)
class MemberShare:
    """What one member adds to a pool."""

    customer_id: UUID
    available: int


@dataclass(frozen=True, slots=True)
class PoolShare:
    """What a member can spend in a pool, and whose points these are."""

    pool_id: UUID
    name: str | None
    spending: Spending
    head: UUID
    daily_limit: int | None
    drawn_today: int
    available: int
    of_others: int
    """How many of these are not the member's own."""
    shares: list[MemberShare]


@dataclass(slots=True)
class PoolTerms:
    """Who may spend what the others have, and how much of it today."""

    name: str | None
    spending: Spending
    head: UUID
    daily_limit: int | None
    drawn: dict[UUID, int] = field(default_factory=dict)
    """What each customer has taken from the others today."""

    def let(self, owner: UUID) -> bool:
        """Whether this customer may spend what others have."""
        return self.spending is Spending.ANY or owner == self.head

    def within(self, owner: UUID, points: int) -> int:
        """How many of so many points of the others this customer may have now."""
        if not self.let(owner):
            return 0
        if self.daily_limit is None:
            return points
        return max(min(points, self.daily_limit - self.drawn.get(owner, 0)), 0)


async def terms(session: AsyncSession, pool_ids: Collection[UUID], *, at: datetime) -> dict[UUID, PoolTerms]:
    """The terms of these pools; read under the locks on their accounts, so that they hold."""
    if not pool_ids:
        return {}
    rows = await session.execute(
        select(Pool.id, Pool.name, Pool.spending, PoolMember.customer_id, Pool.daily_limit)
        .join(PoolMember, PoolMember.pool_id == Pool.id)
        .where(
            Pool.id == func.any(bindparam("ids", type_=ARRAY(Uuid))),
            PoolMember.head,
            PoolMember.state == MemberState.ACTIVE,
        ),
        {"ids": sorted(pool_ids)},
    )
    found = {row.id: PoolTerms(row.name, row.spending, row.customer_id, row.daily_limit) for row in rows}
    limited = sorted(id for id, each in found.items() if each.daily_limit is not None)
    if limited:
        since = points_policy.day_begins(await points_policy.current(session), at)
        drawn = {
            row.customer_id: row.points
            for row in await session.execute(DRAWN, {"pools": limited, "since": since})
        }
        for id in limited:
            found[id].drawn = drawn
    return found


async def share(session: AsyncSession, pool_id: UUID, owner: UUID, *, at: datetime) -> PoolShare | None:
    """What the pool has for one of its members; None if it was just dissolved."""
    pool = (await terms(session, [pool_id], at=at)).get(pool_id)
    if pool is None:
        return None
    rows = await session.execute(
        select(Account.customer_id, func.sum(Account.balance - Account.held).label("available"))
        .where(Account.pool_id == pool_id)
        .group_by(Account.customer_id)
        .order_by(Account.customer_id)
    )
    shares = [MemberShare(row.customer_id, max(int(row.available), 0)) for row in rows]
    own = sum(each.available for each in shares if each.customer_id == owner)
    others = pool.within(owner, sum(each.available for each in shares) - own)
    return PoolShare(
        pool_id=pool_id,
        name=pool.name,
        spending=pool.spending,
        head=pool.head,
        daily_limit=pool.daily_limit,
        drawn_today=pool.drawn.get(owner, 0),
        available=own + others,
        of_others=others,
        shares=shares,
    )


def drawing(postings: Iterable[Posting], accounts: Collection[AccountState]) -> dict[UUID, int]:
    """At most how many points members of its pool could take from each account by these postings."""
    pools = {account.origin_customer_id: account.pool_id for account in accounts if account.pool_id}
    if not pools:
        return {}
    taken: dict[UUID, int] = defaultdict(int)
    for posting in postings:
        if isinstance(posting, Spend | PlaceHold) and posting.customer_id in pools:
            taken[pools[posting.customer_id]] += posting.points
    return {account.id: taken[account.pool_id] for account in accounts if account.pool_id in taken}


def parts(journal: Journal, lead: AccountState, points: int, pool: PoolTerms) -> dict[UUID, int]:
    """How many of so many points come from which account of the pool: what expires first goes first.

    What a member owes stands against what that member has, and against nobody else's. Raises
    InsufficientPoints.
    """
    members = journal.sharing(lead)
    room = {owner: max(sum(a.free - a.owed for a in journal.owned[owner]), 0) for owner in members}
    own = room[lead.customer_id]
    others = pool.within(lead.customer_id, sum(room.values()) - own)
    if points > own + others:
        raise InsufficientPoints(
            f"{points} points were asked for, {own + others} are available.",
            available=own + others,
            requested=points,
        )
    free = {account.id: account.free for owner in members for account in journal.owned[owner]}
    found: dict[UUID, int] = defaultdict(int)
    missing, drawn = points, 0
    for lot in journal.in_order(free):
        owner = journal.accounts[lot.account_id].customer_id
        foreign = owner != lead.customer_id
        part = min(missing, lot.remaining, free[lot.account_id], room[owner])
        part = min(part, others - drawn) if foreign else part
        if part <= 0 or lot.over(journal.at):
            continue
        found[lot.account_id] += part
        free[lot.account_id] -= part
        room[owner] -= part
        missing -= part
        drawn += part if foreign else 0
        if not missing:
            break
    if missing:
        raise ArithmeticError(f"{missing} of {points} points are in no lot of the pool")
    pool.drawn[lead.customer_id] = pool.drawn.get(lead.customer_id, 0) + drawn
    return found
