"""Last contacts: the newest interaction or message, found by index at each look: right after every merge."""

from uuid import UUID

from sqlalchemy import Uuid, bindparam, text
from sqlalchemy.ext.asyncio import AsyncSession

from crm_profiles.schemas.interactions import LastContactOut


def newest(customer_id: str) -> str:
    """SQL of the last contact of the customer whom this expression names; a message that failed is none."""
    return f"""
        SELECT * FROM (
            (SELECT occurred_at AS at, channel, direction, agent AS by,
                    id AS interaction_id, CAST(NULL AS uuid) AS message_id
             FROM interactions WHERE interactions.customer_id = {customer_id}
             ORDER BY occurred_at DESC, id DESC LIMIT 1)
            UNION ALL
            (SELECT sent_at, channel, 'outbound', source, NULL, id
             FROM messages WHERE messages.customer_id = {customer_id} AND failed_at IS NULL
             ORDER BY sent_at DESC, id DESC LIMIT 1)
        ) AS contact ORDER BY at DESC LIMIT 1"""


_NEWEST = text(newest(":customer_id")).bindparams(bindparam("customer_id", type_=Uuid))


async def find(session: AsyncSession, customer_id: UUID) -> LastContactOut | None:
    """When somebody last spoke with the customer, or wrote to them."""
    found = (await session.execute(_NEWEST, {"customer_id": customer_id})).mappings().one_or_none()
    return None if found is None else LastContactOut.model_validate(dict(found))
