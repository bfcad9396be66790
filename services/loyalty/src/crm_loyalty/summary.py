"""A customer's points at a glance, as the JSON that the gateway puts into its page unread."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import DateTime, Uuid, bindparam, text
from sqlalchemy.ext.asyncio import AsyncSession

from crm_loyalty.ledger import pooling
from crm_loyalty.schemas.summary import SummaryPoolOut

_SUMMARY = text(
    """
    WITH owned AS MATERIALIZED (
        SELECT id, customer_id, balance, held, pool_id FROM accounts
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
    ) AS text) AS summary, (SELECT customer_id FROM owned LIMIT 1) AS owner,
        (SELECT pool_id FROM owned WHERE pool_id IS NOT NULL LIMIT 1) AS pool_id
    FROM owned
    """
).bindparams(bindparam("customer_id", type_=Uuid), bindparam("at", type_=DateTime(timezone=True)))


async def summarize(session: AsyncSession, customer_id: UUID, *, at: datetime) -> str:
    """Balance, what expires next, open holds, the pool; zeros for an id that nobody knows.

    One statement, and those that say what a pool has for one of its members.
    """
    row = (await session.execute(_SUMMARY, {"customer_id": customer_id, "at": at})).one()
    summary: str = row.summary
    if row.pool_id is None:
        return summary
    share = await pooling.share(session, row.pool_id, row.owner, at=at)
    if share is None:
        return summary
    pool = SummaryPoolOut(
        pool_id=share.pool_id,
        name=share.name,
        head=share.head == row.owner,
        available=share.available,
        of_others=share.of_others,
    )
    return f'{summary.removesuffix("}")}, "pool": {pool.model_dump_json()}}}'
