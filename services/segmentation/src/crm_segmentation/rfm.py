"""Looking at levels: a customer's recency, frequency and monetary value, and how many have each level."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import func, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from crm_segmentation import basis
from crm_segmentation.levelling import NET, RELEVEL
from crm_segmentation.levels import definitions
from crm_segmentation.models import Customer
from crm_segmentation.schemas import LevelCountOut, LevelsOut, RfmOut
from crm_shared import customers
from crm_shared.contracts.base import Money
from crm_shared.jobs import Job, JobState

_SUMMARY = text(
    """
    WITH RECURSIVE chain (id, depth) AS (
        SELECT CAST(:customer_id AS uuid), 0
        UNION ALL
        SELECT a.survivor, depth + 1
        FROM chain JOIN customer_aliases AS a ON a.absorbed = chain.id WHERE depth < 10000
    ),
    day AS (
        SELECT coalesce(business_day, CAST(CAST(:at AS timestamptz) AT TIME ZONE time_zone AS date)) AS on_day
        FROM level_basis
    )
    SELECT CAST(json_build_object(
        'customer_id', CAST(:customer_id AS uuid),
        'business_day', day.on_day,
        'level', c.level,
        'reason', c.reason,
        'recency_days', day.on_day - c.last_purchase_on,
        'frequency', coalesce(c.frequency, 0),
        'monetary', CASE WHEN c.currency IS NOT NULL
                         THEN json_build_object('amount', c.monetary, 'currency', c.currency) END,
        'first_purchase_on', c.first_purchase_on,
        'last_purchase_on', c.last_purchase_on
    ) AS text)
    FROM day
    LEFT JOIN customers AS c ON c.customer_id = (SELECT id FROM chain ORDER BY depth DESC LIMIT 1)
    """
)
_OTHER_CURRENCIES = text(
    f"""
    SELECT currency, sum(net) FROM ({NET}) AS p
    WHERE occurred_at < :until AND currency <> :currency
    GROUP BY currency ORDER BY currency
    """
)


async def get(session: AsyncSession, customer_id: UUID, *, at: datetime) -> RfmOut:
    """The customer's figures; an unknown id has none, and a merged one stands for its survivor."""
    owner = await customers.resolve_one(session, customer_id)
    now = await basis.read(session, at=at)
    known = await session.get(Customer, owner) or Customer(frequency=0, monetary=0)
    currency = known.currency or now.thresholds.currency
    parameters = {"ids": [owner], "until": now.until, "currency": currency}
    others = await session.execute(_OTHER_CURRENCIES, parameters)
    last_on = known.last_purchase_on
    return RfmOut(
        customer_id=customer_id,
        business_day=now.on,
        recency_days=None if last_on is None else (now.on - last_on).days,
        frequency=known.frequency,
        monetary=Money(amount=known.monetary, currency=currency),
        other_currencies=[Money(amount=int(amount), currency=other) for other, amount in others],
        first_purchase_on=known.first_purchase_on,
        last_purchase_on=last_on,
        level=known.level,
        reason=known.reason,
        thresholds_version=known.thresholds_version,
    )


async def count_levels(session: AsyncSession, *, at: datetime) -> LevelsOut:
    """How many customers have each level, and whether a job is about to change that."""
    now = await basis.read(session, at=at)
    rows = await session.execute(
        select(Customer.level, func.count()).where(Customer.level.is_not(None)).group_by(Customer.level)
    )
    counts = {level: count for level, count in rows}
    running = await session.scalar(
        select(Job.id).where(Job.kind == RELEVEL, Job.state.in_([JobState.QUEUED, JobState.RUNNING])).limit(1)
    )
    return LevelsOut(
        business_day=now.on,
        thresholds_version=now.thresholds.version,
        customers=sum(counts.values()),
        recomputing=running is not None,
        items=[
            LevelCountOut(level=level, customers=counts.get(level, 0), definition=definition)
            for level, definition in definitions(now.thresholds).items()
        ],
    )


async def summarize(session: AsyncSession, customer_id: UUID, *, at: datetime) -> str:
    """The customer at a glance, as JSON, by one statement."""
    return str(await session.scalar(_SUMMARY, {"customer_id": customer_id, "at": at}))
