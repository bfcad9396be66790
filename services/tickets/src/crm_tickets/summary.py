"""A customer's tickets at a glance."""

from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

_SUMMARY = text(
    """
    WITH RECURSIVE chain (id, depth) AS (
        SELECT CAST(:customer_id AS uuid), 0
        UNION ALL
        SELECT a.survivor, depth + 1
        FROM chain JOIN customer_aliases AS a ON a.absorbed = chain.id WHERE depth < 10000
    ),
    mine AS (
        SELECT * FROM tickets WHERE customer_id = (SELECT id FROM chain ORDER BY depth DESC LIMIT 1)
    ),
    urgent AS (
        SELECT * FROM mine WHERE status IN ('open', 'responded') ORDER BY severity_rank, due_at, id LIMIT 20
    )
    SELECT CAST(json_build_object(
        'customer_id', CAST(:customer_id AS uuid),
        'counts', (
            SELECT json_build_object(
                'open', count(*) FILTER (WHERE status = 'open'),
                'responded', count(*) FILTER (WHERE status = 'responded'),
                'resolved', count(*) FILTER (WHERE status = 'resolved'),
                'closed', count(*) FILTER (WHERE status = 'closed')
            ) FROM mine
        ),
        'open', (
            SELECT coalesce(json_agg(json_build_object(
                'id', id, 'number', number, 'kind', kind, 'severity', severity, 'status', status,
                'title', title,
                'opened_at', to_char(opened_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
                'due_at', to_char(due_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
            ) ORDER BY severity_rank, due_at, id), '[]') FROM urgent
        )
    ) AS text)
    """
)


async def summarize(session: AsyncSession, customer_id: UUID) -> str:
    """The customer's tickets, as JSON, by one statement; an unknown id has none."""
    return str(await session.scalar(_SUMMARY, {"customer_id": customer_id}))
