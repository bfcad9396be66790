"""The message report: what was sent for each purpose by each way, and what came of it."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

_REPORT = text(
    """
    SELECT purpose, channel, count(*) AS sent, count(delivered_at) AS delivered, count(failed_at) AS failed,
        count(answered_at) AS answered, count(attribution_days) AS attributed,
        count(*) FILTER (WHERE EXISTS (
            SELECT FROM conversions AS c JOIN purchases AS p ON p.id = c.purchase_id
            WHERE c.message_id = m.id AND p.customer_id = m.customer_id)) AS converted,
        count(*) FILTER (WHERE against_consent) AS against_consent
    FROM messages AS m WHERE sent_at >= :since AND sent_at < :until
    GROUP BY purpose, channel ORDER BY purpose, channel
    """
)


@dataclass(frozen=True)
class Line:
    """How many messages for one purpose by one way, and of how many something came."""

    purpose: str
    channel: str
    sent: int
    delivered: int
    failed: int
    answered: int
    attributed: int
    converted: int
    against_consent: int


async def report(session: AsyncSession, *, since: datetime, until: datetime) -> list[Line]:
    """One line for each purpose and channel of the messages sent; effects count whenever they came."""
    rows = await session.execute(_REPORT, {"since": since, "until": until})
    return [Line(**row._mapping) for row in rows]
