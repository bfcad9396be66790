"""What tiers are reached by: sums over the purchases of a period, whoever they were written under."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, BigInteger, Boolean, DateTime, Row, Text, Uuid, bindparam, text
from sqlalchemy.ext.asyncio import AsyncSession

from crm_loyalty.rules.tiers import Ladder, TierBasis, TierPeriodKind

_COUNTED: Mapping[TierBasis, str] = {
    TierBasis.SPEND: "sum(p.amount)",
    TierBasis.NET_SPEND: "sum(greatest(p.amount - p.refunded, 0))",
    TierBasis.ORDERS: "count(*) FILTER (WHERE p.refunded < p.amount OR p.amount = 0)",
    TierBasis.POINTS_EARNED: """
        sum((SELECT sum(CASE WHEN p.amount > 0 THEN
                floor(CAST(a.points AS numeric) * greatest(p.amount - p.refunded, 0) / p.amount)
                ELSE a.points END)
             FROM awards AS a WHERE a.cause_id = p.purchase_id))
    """,
}


def _of_purchases(basis: TierBasis) -> str:
    return f"CAST(coalesce({_COUNTED[basis]}, 0) AS bigint)"


# One lateral sum for each customer and beginning: an index scan over the purchases of that period.
_TOTALS = {
    basis: text(
        f"""
        SELECT asked.customer_id, asked.since, counted.total
        FROM unnest(:customers, :beginnings) AS asked (customer_id, since)
        CROSS JOIN LATERAL (
            SELECT {_of_purchases(basis)} AS total FROM purchases AS p
            WHERE p.customer_id = asked.customer_id AND p.occurred_at >= asked.since
                AND (CAST(:currency AS text) IS NULL OR p.currency = :currency)
        ) AS counted
        """
    ).bindparams(
        bindparam("customers", type_=ARRAY(Uuid)),
        bindparam("beginnings", type_=ARRAY(DateTime(timezone=True))),
        bindparam("currency", type_=Text),
    )
    for basis in TierBasis
}

# The last one that has come, as Ladder.window has it. Not by age(), for which somebody who joined on 29
# February has no full year on 28 February.
_ANNIVERSARIES = """
    SELECT customer_id, (joined + make_interval(years => greatest(
        years - CAST(joined + make_interval(years => years) > today AS integer), 0
    ))) AT TIME ZONE :zone AS anniversary
    FROM accounts
    CROSS JOIN LATERAL (SELECT
        date_trunc('day', opened_at AT TIME ZONE :zone) AS joined,
        date_trunc('day', :at AT TIME ZONE :zone) AS today
    ) AS days
    CROSS JOIN LATERAL (SELECT
        CAST(extract(year FROM today) - extract(year FROM joined) AS integer) AS years
    ) AS apart
    WHERE customer_id = origin_customer_id
"""
_MOVES = {
    basis: text(
        f"""
        WITH customers AS (
            {_ANNIVERSARIES}
        ), counted AS (
            SELECT customers.customer_id, {_of_purchases(basis)} AS total
            FROM customers JOIN purchases AS p ON p.customer_id = customers.customer_id
                AND p.occurred_at >= CASE WHEN :anniversary THEN anniversary ELSE :since END
                AND (CAST(:currency AS text) IS NULL OR p.currency = :currency)
            GROUP BY customers.customer_id
        ), placed AS (
            SELECT customers.customer_id, standing.counts AS previous,
                (:keys)[nullif(width_bucket(coalesce(total, 0), :thresholds), 0)] AS reached,
                CASE WHEN standing.granted_until > :at THEN standing.granted END AS granted
            FROM customers LEFT JOIN counted USING (customer_id)
            LEFT JOIN tier_standings AS standing ON standing.origin_customer_id = customers.customer_id
        ), moved AS (
            SELECT customer_id, previous, CASE
                WHEN array_position(:ranks, granted) > coalesce(array_position(:ranks, reached), 0)
                THEN granted ELSE reached END AS tier
            FROM placed
        )
        SELECT previous, tier, count(*) AS customers,
            (array_agg(customer_id ORDER BY customer_id))[1:5] AS examples
        FROM moved GROUP BY previous, tier ORDER BY count(*) DESC, previous, tier
        """
    ).bindparams(
        bindparam("zone", type_=Text),
        bindparam("at", type_=DateTime(timezone=True)),
        bindparam("anniversary", type_=Boolean),
        bindparam("since", type_=DateTime(timezone=True)),
        bindparam("currency", type_=Text),
        bindparam("keys", type_=ARRAY(Text)),
        bindparam("thresholds", type_=ARRAY(BigInteger)),
        bindparam("ranks", type_=ARRAY(Text)),
    )
    for basis in TierBasis
}


async def totals(
    session: AsyncSession, ladder: Ladder, asked: Sequence[tuple[UUID, datetime]]
) -> dict[tuple[UUID, datetime], int]:
    """What each customer has since that instant, by one statement however many they are."""
    if not asked:
        return {}
    distinct = sorted(set(asked))
    rows = await session.execute(
        _TOTALS[ladder.basis],
        {
            "customers": [customer_id for customer_id, _ in distinct],
            "beginnings": [since for _, since in distinct],
            "currency": ladder.currency,
        },
    )
    return {(row.customer_id, row.since): row.total for row in rows}


async def moves(session: AsyncSession, ladder: Ladder, *, at: datetime) -> Sequence[Row[Any]]:
    """How many customers would go from which tier to which by the ladder, themselves included who stay.

    One statement over all purchases of the period; a tier that was granted stays granted.
    """
    reachable = [tier for tier in ladder.tiers if tier.threshold is not None]
    found = await session.execute(
        _MOVES[ladder.basis],
        {
            "zone": str(ladder.zone),
            "at": at,
            "anniversary": ladder.period is TierPeriodKind.ANNIVERSARY,
            "since": ladder.window(at, at)[0],
            "currency": ladder.currency,
            "keys": [tier.key for tier in reachable],
            "thresholds": [tier.threshold for tier in reachable],
            "ranks": [tier.key for tier in ladder.tiers],
        },
    )
    return found.all()
