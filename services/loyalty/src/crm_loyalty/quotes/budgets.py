"""What promotions have taken off: kept for each order, and counted in a row for each currency."""

from collections.abc import Collection, Sequence
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from crm_loyalty.models.quotes import PromotionUse, Quote
from crm_loyalty.postings import Order
from crm_loyalty.rules.pricing import EffectKind
from crm_loyalty.schemas.quotes import EffectOut, PriceOut

_COUNT = text(
    """
    WITH counted AS (
        INSERT INTO promotion_counts AS c (promotion, currency, used)
        SELECT n.promotion, CAST(:currency AS text), n.amount
        FROM unnest(CAST(:promotions AS text[]), CAST(:amounts AS bigint[])) AS n (promotion, amount)
        ORDER BY n.promotion
        ON CONFLICT (promotion, currency) DO UPDATE SET used = c.used + excluded.used
        RETURNING promotion, currency, used
    )
    SELECT counted.promotion
    FROM counted
    JOIN promotions AS p ON p.key = counted.promotion AND p.currency = counted.currency
    WHERE p.budget < counted.used AND NOT EXISTS (
        SELECT FROM promotions AS newer WHERE newer.key = p.key AND newer.version > p.version
    )
    """
)

_RESTORE = text(
    """
    WITH back AS (
        UPDATE promotion_uses AS u SET restored_at = :at
        FROM unnest(CAST(:sources AS text[]), CAST(:ids AS text[])) AS o (source, id)
        WHERE u.order_source = o.source AND u.order_id = o.id AND u.restored_at IS NULL
        RETURNING u.promotion, u.currency, u.amount
    ), less AS (
        SELECT promotion, currency, CAST(sum(amount) AS bigint) AS amount
        FROM back GROUP BY promotion, currency
    ), locked AS (
        SELECT c.promotion, c.currency FROM promotion_counts AS c JOIN less USING (promotion, currency)
        ORDER BY c.promotion, c.currency FOR UPDATE OF c
    )
    UPDATE promotion_counts AS c SET used = c.used - less.amount
    FROM less JOIN locked USING (promotion, currency)
    WHERE c.promotion = less.promotion AND c.currency = less.currency
    """
)


async def take(
    session: AsyncSession, quote: Quote, price: PriceOut, order: Order, *, at: datetime
) -> Sequence[EffectOut]:
    """Keep and count what promotions take off, and say whose budgets have less than that left by now.

    The last thing before the commit: those who take from the same budget wait for no more than that.
    """
    effects = {effect.key: effect for effect in price.effects if effect.kind is EffectKind.PROMOTION}
    if not effects:
        return []
    session.add_all(
        PromotionUse(
            quote_id=quote.id,
            customer_id=quote.customer_id,
            origin_customer_id=quote.origin_customer_id,
            promotion=effect.key,
            version=effect.version,
            amount=effect.amount,
            currency=price.currency,
            order_source=order.source,
            order_id=order.external_id,
            taken_at=at,
        )
        for effect in effects.values()
    )
    await session.flush()
    counted = {
        "currency": price.currency,
        "promotions": list(effects),
        "amounts": [effect.amount for effect in effects.values()],
    }
    return [effects[key] for key in await session.scalars(_COUNT, counted)]


async def restore(session: AsyncSession, orders: Collection[Order], *, at: datetime) -> None:
    """Give budgets back what was taken off orders that came to nothing, wherever their coupons come back."""
    if not orders:
        return
    named = {"sources": [order.source for order in orders], "ids": [order.external_id for order in orders]}
    await session.execute(_RESTORE, named | {"at": at})
