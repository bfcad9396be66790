"""A customer's points at a glance, as the JSON that the gateway puts into its page unread."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import DateTime, Uuid, bindparam, text
from sqlalchemy.ext.asyncio import AsyncSession

_SUMMARY = text(
    """
    WITH owned AS MATERIALIZED (
        SELECT id, customer_id, balance, held FROM accounts
        WHERE customer_id IN (SELECT customer_id FROM accounts WHERE origin_customer_id = :customer_id)
    ), expiring AS (
        SELECT sum(remaining) AS points, expires_at FROM lots
        WHERE account_id IN (SELECT id FROM owned) AND remaining > 0 AND expires_at > :at
        GROUP BY expires_at ORDER BY expires_at LIMIT 5
    ), open_holds AS (
        SELECT id, points, reference, expires_at FROM holds
        WHERE customer_id IN (SELECT customer_id FROM owned) AND state = 'open' AND expires_at > :at
        ORDER BY expires_at LIMIT 10
    )
    SELECT CAST(json_build_object(
        'customer_id', COALESCE((SELECT customer_id FROM owned LIMIT 1), :customer_id),
        'balance', COALESCE(sum(balance), 0),
        'held', COALESCE(sum(held), 0),
        'available', GREATEST(COALESCE(sum(balance - held), 0), 0),
        'expiring', (SELECT COALESCE(json_agg(expiring), '[]') FROM expiring),
        'open_holds', (SELECT COALESCE(json_agg(open_holds), '[]') FROM open_holds)
    ) AS text) FROM owned
    """
).bindparams(bindparam("customer_id", type_=Uuid), bindparam("at", type_=DateTime(timezone=True)))


async def summarize(session: AsyncSession, customer_id: UUID, *, at: datetime) -> str:
    """Balance, what expires next, open holds; zeros for an id that nobody knows. One statement."""
    summary: str = (await session.execute(_SUMMARY, {"customer_id": customer_id, "at": at})).scalar_one()
    return summary
