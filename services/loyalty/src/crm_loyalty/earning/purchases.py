"""Loyalty's own copy of purchases, with what was known of the customer when each was reckoned."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, Uuid, bindparam, func, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from crm_loyalty.models.purchases import Purchase
from crm_loyalty.rules import conditions
from crm_loyalty.rules.conditions import CustomerFacts, PurchaseLine
from crm_loyalty.rules.refunds import BoughtLine
from crm_shared.contracts.profiles import PurchaseRecorded, PurchaseRefunded

_KNOWN = text(
    """
    SELECT CAST(purchase_id AS text) FROM purchases WHERE purchase_id = ANY(CAST(:ids AS uuid[]))
    UNION ALL
    SELECT reference FROM transactions
    WHERE source = ANY(CAST(:sources AS text[])) AND reference = ANY(CAST(:references AS text[]))
    """
)
_GIVE_BACK = text(
    """
    UPDATE purchases SET refunded = greatest(purchases.refunded, r.refunded)
    FROM (
        SELECT id, max(amount) AS refunded
        FROM unnest(CAST(:ids AS uuid[]), CAST(:amounts AS bigint[])) AS told (id, amount) GROUP BY id
    ) AS r
    WHERE purchase_id = r.id
    """
)


def facts(event: PurchaseRecorded) -> conditions.Purchase:
    """What the rules look at."""
    return conditions.Purchase(
        occurred_at=event.occurred_at,
        amount=event.total.amount,
        currency=event.total.currency,
        lines=tuple(
            PurchaseLine(line.line, line.total.amount, line.quantity, line.product, line.category, line.brand)
            for line in event.lines
        ),
        channel=event.channel,
        shop=event.shop,
    )


def bought_lines(event: PurchaseRecorded) -> list[BoughtLine]:
    """What refunds may give back of it; a purchase without lines is one line, numbered 0."""
    lines = [BoughtLine(line.line, line.total.amount, line.quantity) for line in event.lines]
    return lines or [BoughtLine(0, event.total.amount, 1)]


def facts_of(row: Purchase) -> conditions.Purchase:
    """The same of one that is stored."""
    return conditions.Purchase(
        occurred_at=row.occurred_at,
        amount=row.amount,
        currency=row.currency,
        lines=tuple(PurchaseLine(**line) for line in row.lines),
        channel=row.channel,
        shop=row.shop,
    )


async def unknown(session: AsyncSession, events: Sequence[PurchaseRecorded]) -> list[PurchaseRecorded]:
    """Those that were not reckoned before, each once; asked under the locks of their customers' accounts.

    A purchase from before this copy was kept is known by its transaction.
    """
    by_id = {event.purchase_id: event for event in events}
    asked = {
        "ids": list(by_id),
        "sources": sorted({event.envelope.source for event in events}),
        "references": [str(id) for id in by_id],
    }
    known = set(await session.scalars(_KNOWN, asked))
    return [event for id, event in by_id.items() if str(id) not in known]


async def counts(session: AsyncSession, owners: Collection[UUID]) -> dict[UUID, int]:
    """How many purchases of each owner are known."""
    rows = await session.execute(
        select(Purchase.customer_id, func.count())
        .where(Purchase.customer_id == func.any(bindparam("owners", sorted(set(owners)), type_=ARRAY(Uuid))))
        .group_by(Purchase.customer_id)
    )
    return {owner: count for owner, count in rows}


async def record(
    session: AsyncSession,
    reckoned: Sequence[tuple[PurchaseRecorded, CustomerFacts]],
    owners: Mapping[UUID, UUID],
    *,
    at: datetime,
) -> None:
    """Keep the purchases, each with what was known of its customer."""
    rows: list[dict[str, Any]] = [
        {
            "purchase_id": event.purchase_id,
            "customer_id": owners[event.customer_id],
            "origin_customer_id": event.customer_id,
            "occurred_at": event.occurred_at,
            "recorded_at": at,
            "amount": event.total.amount,
            "refunded": 0,
            "currency": event.total.currency,
            "channel": event.channel,
            "shop": event.shop,
            "lines": [
                {
                    "line": line.line,
                    "amount": line.total.amount,
                    "quantity": line.quantity,
                    "product": line.product,
                    "category": line.category,
                    "brand": line.brand,
                }
                for line in event.lines
            ],
            "number": customer.number,
            "level": customer.level,
            "tier": customer.tier,
            "birthday_offset": customer.birthday_offset,
            "segments": sorted(customer.segments),
        }
        for event, customer in reckoned
    ]
    if rows:
        await session.execute(insert(Purchase), rows)


async def give_back(session: AsyncSession, events: Sequence[PurchaseRefunded]) -> None:
    """Keep what was given back of purchases so far, in whatever order it is told."""
    await session.execute(
        _GIVE_BACK,
        {
            "ids": [event.purchase_id for event in events],
            "amounts": [event.refunded_total.amount for event in events],
        },
    )
