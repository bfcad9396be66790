"""Levelling: figures from purchases, the level from the figures, and who must hear of it."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, date, datetime
from uuid import UUID

from sqlalchemy import ARRAY, Uuid, bindparam, func, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from crm_segmentation.basis import Basis, start_of
from crm_segmentation.levels import Figures, assign, next_flip
from crm_segmentation.models import Customer
from crm_shared import due
from crm_shared.calendars import day_of
from crm_shared.contracts.base import Event
from crm_shared.contracts.profiles import NOTHING_LEFT, PurchaseRecorded, PurchaseRefunded
from crm_shared.contracts.segmentation import Level, LevelChanged
from crm_shared.outbox import News, publish_many

FLIP = "level-flip"
"""Due work: the instant at which time alone may give a customer another level."""
RELEVEL = "relevel"
"""The job that levels everybody after a change of business day or thresholds."""

_EARLIEST, _LATEST = datetime(2, 1, 1, tzinfo=UTC), datetime(9998, 12, 31, tzinfo=UTC)
"""The contract allows any instant; beyond these the days of some time zones are in no calendar."""


@dataclass(frozen=True)
class _Value:
    """What is stored of a customer, apart from the version of the level."""

    first_purchase_on: date | None = None
    last_purchase_on: date | None = None
    frequency: int = 0
    monetary: int = 0
    currency: str | None = None
    level: Level | None = None
    reason: str | None = None
    thresholds_version: int | None = None
    flips_at: datetime | None = None


_LOCK = (
    select(
        Customer.customer_id,
        Customer.level_version,
        Customer.first_purchase_on,
        Customer.last_purchase_on,
        Customer.frequency,
        Customer.monetary,
        Customer.currency,
        Customer.level,
        Customer.reason,
        Customer.thresholds_version,
        Customer.flips_at,
    )
    .where(Customer.customer_id == func.any(bindparam("ids", type_=ARRAY(Uuid))))
    .order_by(Customer.customer_id)
    .with_for_update()
)
_WRITE = text(
    """
    UPDATE customers AS c
    SET first_purchase_on = n.first_purchase_on, last_purchase_on = n.last_purchase_on,
        frequency = n.frequency, monetary = n.monetary, currency = n.currency, level = n.level,
        level_version = n.level_version, reason = n.reason, thresholds_version = n.thresholds_version,
        flips_at = n.flips_at
    FROM unnest(
        CAST(:customer_id AS uuid[]), CAST(:level_version AS bigint[]), CAST(:first_purchase_on AS date[]),
        CAST(:last_purchase_on AS date[]), CAST(:frequency AS bigint[]), CAST(:monetary AS bigint[]),
        CAST(:currency AS text[]), CAST(:level AS text[]), CAST(:reason AS text[]),
        CAST(:thresholds_version AS bigint[]), CAST(:flips_at AS timestamptz[])
    ) AS n (customer_id, level_version, first_purchase_on, last_purchase_on, frequency, monetary, currency,
            level, reason, thresholds_version, flips_at)
    WHERE c.customer_id = n.customer_id
    """
)
NET = """
    SELECT p.customer_id, p.occurred_at, p.currency, p.amount - coalesce(r.amount, 0) AS net,
           CASE WHEN p.amount > 0 THEN coalesce(r.amount, 0) < p.amount
                ELSE NOT coalesce(r.completed, false) END AS counts,
           r.next_at AS next_refund_at
    FROM purchases AS p LEFT JOIN (
        SELECT purchase_id,
               sum(amount) FILTER (WHERE occurred_at < :until) AS amount,
               bool_or(completes) FILTER (WHERE occurred_at < :until) AS completed,
               min(occurred_at) FILTER (WHERE occurred_at >= :until) AS next_at
        FROM refunds WHERE customer_id = ANY(CAST(:ids AS uuid[])) GROUP BY purchase_id
    ) AS r ON r.purchase_id = p.purchase_id
    WHERE p.customer_id = ANY(CAST(:ids AS uuid[]))
"""
"""Each purchase of these customers less what was given back of it before an instant.

It counts until nothing is left: all of its money was given back or, where it cost nothing, its last piece.
A refund comes under the id of its purchase, so both always have one owner.
"""
_FIGURES = text(
    f"""
    SELECT c.id,
           EXISTS (SELECT FROM customer_aliases AS a WHERE a.absorbed = c.id) AS absorbed,
           count(p.occurred_at) FILTER (WHERE p.counts AND p.occurred_at < :until) AS frequency,
           CAST(coalesce(
               sum(p.net) FILTER (WHERE p.occurred_at < :until AND p.currency = :currency), 0
           ) AS bigint) AS monetary,
           min(p.occurred_at) FILTER (WHERE p.counts AND p.occurred_at < :until) AS first_at,
           max(p.occurred_at) FILTER (WHERE p.counts AND p.occurred_at < :until) AS last_at,
           least(
               min(p.occurred_at) FILTER (WHERE p.occurred_at >= :until), min(p.next_refund_at)
           ) AS next_at
    FROM unnest(CAST(:ids AS uuid[])) AS c (id) LEFT JOIN ({NET}) AS p ON p.customer_id = c.id
    GROUP BY c.id
    """
)
_INTRODUCE = text(
    """
    INSERT INTO customers (customer_id, frequency, monetary, level_version)
    SELECT id, 0, 0, 0 FROM unnest(CAST(:ids AS uuid[])) AS n (id) ORDER BY id
    ON CONFLICT DO NOTHING RETURNING customer_id
    """
)
_RECORD = text(
    """
    INSERT INTO purchases (purchase_id, customer_id, origin_customer_id, occurred_at, amount, currency)
    SELECT * FROM unnest(
        CAST(:purchase_ids AS uuid[]), CAST(:customer_ids AS uuid[]), CAST(:origins AS uuid[]),
        CAST(:instants AS timestamptz[]), CAST(:amounts AS bigint[]), CAST(:currencies AS text[])
    )
    ON CONFLICT DO NOTHING
    """
)
_GIVE_BACK = text(
    """
    INSERT INTO refunds (
        refund_id, purchase_id, customer_id, origin_customer_id, occurred_at, amount, completes
    )
    SELECT * FROM unnest(
        CAST(:refund_ids AS uuid[]), CAST(:purchase_ids AS uuid[]), CAST(:customer_ids AS uuid[]),
        CAST(:origins AS uuid[]), CAST(:instants AS timestamptz[]), CAST(:amounts AS bigint[]),
        CAST(:completes AS boolean[])
    )
    ON CONFLICT DO NOTHING
    """
)


async def introduce(session: AsyncSession, customer_ids: Collection[UUID]) -> list[UUID]:
    """Make the customers known here, whichever event speaks of them first; returns those who were not."""
    if not customer_ids:
        return []
    return list(await session.scalars(_INTRODUCE, {"ids": sorted(set(customer_ids))}))


async def record(
    session: AsyncSession, purchases: Sequence[PurchaseRecorded], owners: Mapping[UUID, UUID]
) -> None:
    """Keep the purchases, each under who its customer is today; one that is known already stays as it is."""
    await session.execute(
        _RECORD,
        {
            "purchase_ids": [purchase.purchase_id for purchase in purchases],
            "customer_ids": [owners[purchase.customer_id] for purchase in purchases],
            "origins": [purchase.customer_id for purchase in purchases],
            "instants": [_within_calendar(purchase.occurred_at) for purchase in purchases],
            "amounts": [purchase.total.amount for purchase in purchases],
            "currencies": [purchase.total.currency for purchase in purchases],
        },
    )


async def give_back(
    session: AsyncSession, refunds: Sequence[PurchaseRefunded], owners: Mapping[UUID, UUID]
) -> None:
    """Keep the refunds; one whose purchase is not known yet counts as soon as it is."""
    await session.execute(
        _GIVE_BACK,
        {
            "refund_ids": [refund.refund_id for refund in refunds],
            "purchase_ids": [refund.purchase_id for refund in refunds],
            "customer_ids": [owners[refund.customer_id] for refund in refunds],
            "origins": [refund.customer_id for refund in refunds],
            "instants": [_within_calendar(refund.occurred_at) for refund in refunds],
            "amounts": [refund.total.amount for refund in refunds],
            "completes": [refund.status == NOTHING_LEFT for refund in refunds],
        },
    )


def _within_calendar(instant: datetime) -> datetime:
    if instant.year < _EARLIEST.year:
        return _EARLIEST
    return _LATEST if instant.year > _LATEST.year else instant


async def relevel(
    session: AsyncSession,
    customer_ids: Collection[UUID],
    basis: Basis,
    *,
    at: datetime,
    causes: Mapping[UUID, Event] | None = None,
) -> int:
    """Give the customers the level that their purchases earn on this basis; returns how many got another.

    The basis must be held. Only what has changed is written, told, and planned anew.
    """
    if not customer_ids:
        return 0
    stored = (await session.execute(_LOCK, {"ids": sorted(set(customer_ids))})).all()
    values = await _evaluate(session, [row.customer_id for row in stored], basis)
    changed: list[tuple[UUID, int, _Value]] = []
    flips: dict[UUID, datetime | None] = {}
    told: list[News] = []
    for customer_id, version, *before in stored:
        previous, value = _Value(*before), values[customer_id]
        if value == previous:
            continue
        if value.level is not None and value.level is not previous.level:
            version += 1
            event = _event(customer_id, version, previous.level, value, basis)
            told.append(News(event, (causes or {}).get(customer_id)))
        if value.flips_at != previous.flips_at:
            flips[customer_id] = value.flips_at
        changed.append((customer_id, version, value))
    await _write(session, changed)
    await publish_many(session, told, at=at)
    await due.schedule(session, FLIP, {ref: instant for ref, instant in flips.items() if instant is not None})
    await due.cancel(session, FLIP, [ref for ref, instant in flips.items() if instant is None])
    return len(told)


async def _evaluate(session: AsyncSession, customer_ids: list[UUID], basis: Basis) -> dict[UUID, _Value]:
    """What should be stored of each customer. Runs after the locks, so that it sees all that led to them."""
    parameters = {"ids": customer_ids, "until": basis.until, "currency": basis.thresholds.currency}
    rows = await session.execute(_FIGURES, parameters)
    return {
        row.id: _Value()
        if row.absorbed
        else _value(row.first_at, row.last_at, row.next_at, row.frequency, row.monetary, basis)
        for row in rows
    }


def _value(
    first_at: datetime | None,
    last_at: datetime | None,
    next_at: datetime | None,
    frequency: int,
    monetary: int,
    basis: Basis,
) -> _Value:
    first_on, last_on, next_on = (_day(instant, basis) for instant in (first_at, last_at, next_at))
    figures = Figures(last_on, frequency, monetary)
    standing = assign(figures, basis.thresholds, basis.on)
    flips_on: date | None = None
    if basis.follows_clock:
        # A purchase or a refund that is dated later begins to count by time alone, too.
        candidates = (next_flip(figures, basis.thresholds, basis.on), next_on)
        flips_on = min((day for day in candidates if day is not None), default=None)
    return _Value(
        first_purchase_on=first_on,
        last_purchase_on=last_on,
        frequency=frequency,
        monetary=monetary,
        currency=basis.thresholds.currency,
        level=standing.level,
        reason=standing.reason,
        thresholds_version=basis.thresholds.version,
        flips_at=start_of(flips_on, basis.time_zone).astimezone(UTC) if flips_on else None,
    )


def _day(instant: datetime | None, basis: Basis) -> date | None:
    return None if instant is None else day_of(instant, basis.time_zone)


def _event(
    customer_id: UUID, version: int, previous: Level | None, value: _Value, basis: Basis
) -> LevelChanged:
    assert value.level is not None
    assert value.reason is not None
    return LevelChanged(
        customer_id=customer_id,
        version=version,
        level=value.level,
        previous=previous,
        reason=value.reason,
        thresholds_version=basis.thresholds.version,
        business_day=basis.on,
    )


async def _write(session: AsyncSession, changed: Sequence[tuple[UUID, int, _Value]]) -> None:
    if not changed:
        return
    columns: dict[str, list[object]] = {
        field.name: [getattr(value, field.name) for _, _, value in changed] for field in fields(_Value)
    }
    columns["customer_id"] = [customer_id for customer_id, _, _ in changed]
    columns["level_version"] = [version for _, version, _ in changed]
    await session.execute(_WRITE, columns)
