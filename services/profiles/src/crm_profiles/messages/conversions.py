"""Conversions: a purchase is credited to the last message before it, if that went out few enough days ago.

Whichever is heard of first, the message, the purchase or that it was given back wholly, the same comes of it.
"""

from collections.abc import Collection
from uuid import UUID

from sqlalchemy import ARRAY, Uuid, bindparam, text
from sqlalchemy.ext.asyncio import AsyncSession

DEFINITION = (
    "a purchase that was not given back wholly is credited to the last message before it that did not fail,"
    " of a purpose that is credited at all, sent within the attribution days of the contact policy;"
    " numerator: messages sent with at least one such purchase, denominator: messages sent for such purposes"
)

_MATCH = """m.customer_id = p.customer_id AND m.failed_at IS NULL AND m.sent_at <= p.occurred_at
            AND p.occurred_at < m.sent_at + m.attribution_days * interval '24 hours'"""
_CREDIT = text(
    f"""
    INSERT INTO conversions (purchase_id, message_id, purchased_at)
    SELECT DISTINCT ON (p.id) p.id, m.id, p.occurred_at
    FROM purchases AS p JOIN messages AS m ON {_MATCH}
    WHERE p.id = ANY(:purchases) AND p.status <> 'refunded'
    ORDER BY p.id, m.sent_at DESC, m.id DESC
    ON CONFLICT (purchase_id) DO UPDATE SET message_id = excluded.message_id
    """
).bindparams(bindparam("purchases", type_=ARRAY(Uuid)))
_TOUCHED = text(
    """
    SELECT p.id FROM messages AS m JOIN purchases AS p ON p.customer_id = m.customer_id
        AND m.sent_at <= p.occurred_at
        AND p.occurred_at < m.sent_at + m.attribution_days * interval '24 hours'
    WHERE m.id = ANY(:messages)
    """
).bindparams(bindparam("messages", type_=ARRAY(Uuid)))
_OF_CUSTOMERS = text("SELECT id FROM purchases WHERE customer_id = ANY(:customers)").bindparams(
    bindparam("customers", type_=ARRAY(Uuid))
)
_TAKE_BACK = text("DELETE FROM conversions WHERE purchase_id = ANY(:purchases)").bindparams(
    bindparam("purchases", type_=ARRAY(Uuid))
)


async def credit(session: AsyncSession, purchases: Collection[UUID]) -> None:
    """Credit these new purchases; their customers are held, so no message comes between."""
    if purchases:
        await session.execute(_CREDIT, {"purchases": list(purchases)})


async def credit_anew(session: AsyncSession, messages: Collection[UUID]) -> None:
    """Credit again the purchases that these messages, new or failed, may have led to."""
    touched = list(await session.scalars(_TOUCHED, {"messages": list(messages)}))
    if touched:
        await take_back(session, touched)
        await credit(session, touched)


async def credit_customers_anew(session: AsyncSession, *customers: UUID) -> None:
    """Credit again all that they have bought: a merge, or its undoing, has given them other messages."""
    bought = list(await session.scalars(_OF_CUSTOMERS, {"customers": list(customers)}))
    if bought:
        await take_back(session, bought)
        await credit(session, bought)


async def take_back(session: AsyncSession, purchases: Collection[UUID]) -> None:
    """Credit these to nobody; their customers are held, so no message comes between."""
    await session.execute(_TAKE_BACK, {"purchases": list(purchases)})
