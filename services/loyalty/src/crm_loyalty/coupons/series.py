"""Series of coupons: their terms in versions, and the issuing of coupons under the newest ones."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import literal, select, true, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from crm_loyalty.errors import CouponSeriesNotFound, CouponSuspended, IssueLimitReached
from crm_loyalty.models.coupons import Coupon, CouponCount, CouponOwner, CouponSeries, CouponState
from crm_loyalty.rules import codes
from crm_loyalty.schemas.coupons import CouponSeriesIn
from crm_shared import customers, versions
from crm_shared.contracts.loyalty import CouponIssued
from crm_shared.database import rows_of
from crm_shared.ids import uuid7
from crm_shared.outbox import News, publish_many
from crm_shared.pages import Key, Listing, PageRequest, paginate

NEWEST = versions.newest(CouponSeries.key, CouponSeries.version)


async def find(session: AsyncSession, key: str) -> CouponSeries | None:
    return await session.scalar(select(CouponSeries).where(CouponSeries.key == key, NEWEST))


async def get(session: AsyncSession, key: str) -> CouponSeries:
    """The newest version; raises CouponSeriesNotFound."""
    series = await find(session, key)
    if series is None:
        raise CouponSeriesNotFound(key=key)
    return series


async def list_(session: AsyncSession, *, page: PageRequest) -> Listing[CouponSeries]:
    """The newest version of each series, by key."""
    return await paginate(
        session,
        select(CouponSeries).where(NEWEST),
        [Key(CouponSeries.key)],
        page=page,
    )


async def put(
    session: AsyncSession,
    key: str,
    body: CouponSeriesIn,
    *,
    if_match: str | None,
    if_none_match: str | None,
    at: datetime,
    by: str,
) -> CouponSeries:
    """Write the next version, for coupons issued from now on; raises IfMatchMissing, StaleVersion."""
    current = await find(session, key)
    values = body.model_dump() | {"names": body.names.model_dump(exclude_none=True)}
    written = await versions.write(
        session,
        CouponSeries,
        {"key": key, **values},
        over=current.version if current else None,
        if_match=if_match,
        if_none_match=if_none_match,
        at=at,
        by=by,
    )
    await session.execute(
        insert(CouponCount).values(series_key=key, issued=0, used=0).on_conflict_do_nothing()
    )
    return written


async def left(session: AsyncSession, series: CouponSeries) -> int | None:
    """How many may still be issued, and nobody else issues any until the transaction ends; None: no limit."""
    if series.max_issued is None:
        return None
    issued = select(CouponCount.issued).where(CouponCount.series_key == series.key).with_for_update()
    return max(series.max_issued - (await session.scalars(issued)).one(), 0)


async def issue_to(
    session: AsyncSession, series: CouponSeries, customer_ids: Sequence[UUID], *, key: bytes, at: datetime
) -> list[Coupon]:
    """Issue each customer a coupon of their own, in a number of statements that does not depend on theirs.

    Raises CouponSuspended, CustomerWasErased, IssueLimitReached.
    """
    owners = await customers.resolve(session, customer_ids, lock=True)
    await customers.check_not_erased(session, customer_ids)
    ids = await issue(session, series, len(customer_ids), personal=True, key=key, at=at)
    rows = rows_of(
        {
            CouponOwner.coupon_id: ids,
            CouponOwner.customer_id: [owners[id] for id in customer_ids],
            CouponOwner.origin_customer_id: list(customer_ids),
        }
    )
    await session.execute(
        insert(CouponOwner.metadata.tables[CouponOwner.__tablename__]).from_select(
            [column.name for column in rows.c], select(rows)
        )
    )
    issued = {coupon.id: coupon for coupon in await session.scalars(select(Coupon).where(Coupon.id.in_(ids)))}
    coupons = [issued[id] for id in ids]
    told = zip(customer_ids, coupons, strict=True)
    news = [News(_issued(coupon, customer_id)) for customer_id, coupon in told]
    await publish_many(session, news, at=at)
    return coupons


def _issued(coupon: Coupon, customer_id: UUID) -> CouponIssued:
    return CouponIssued(
        customer_id=customer_id,
        version=coupon.version,
        coupon_id=coupon.id,
        series=coupon.series_key,
        series_version=coupon.series_version,
        valid_from=coupon.valid_from,
        valid_until=coupon.valid_until,
    )


async def issue(
    session: AsyncSession,
    series: CouponSeries,
    count: int,
    *,
    personal: bool = False,
    batch_id: UUID | None = None,
    key: bytes,
    at: datetime,
) -> list[UUID]:
    """Issue so many coupons, all or none, and say their ids; raises CouponSuspended, IssueLimitReached."""
    if not series.active:
        raise CouponSuspended
    same = {
        "series_key": series.key,
        "series_version": series.version,
        "personal": personal,
        "state": CouponState.ISSUED,
        "version": 1,
        "valid_from": series.valid_from,
        "valid_until": _valid_until(series, at),
        "batch_id": batch_id,
        "issued_at": at,
        "changed_at": at,
    }
    ids = await _insert(session, count, same, key=key)
    # Last: all who issue coupons of the series wait for this row.
    allowed = CouponCount.issued + count <= series.max_issued if series.max_issued is not None else true()
    counted = await session.scalar(
        update(CouponCount)
        .where(CouponCount.series_key == series.key, allowed)
        .values(issued=CouponCount.issued + count)
        .returning(CouponCount.issued)
    )
    if counted is None:
        raise IssueLimitReached(limit=series.max_issued)
    return ids


async def _insert(session: AsyncSession, count: int, same: Mapping[str, object], *, key: bytes) -> list[UUID]:
    """Coupons with codes of their own and everything else in common, in one statement; their ids."""
    ids = [uuid7() for _ in range(count)]
    made = [codes.code_of(key, id) for id in ids]
    rows = rows_of(
        {
            Coupon.id: ids,
            Coupon.digest: [codes.digest(code) for code in made],
            Coupon.hint: [code[-codes.HINT :] for code in made],
        }
    )
    table = Coupon.metadata.tables[Coupon.__tablename__]
    await session.execute(
        insert(table).from_select(
            [*(column.name for column in rows.c), *same],
            select(rows, *(literal(value, table.c[name].type) for name, value in same.items())),
        )
    )
    return ids


def _valid_until(series: CouponSeries, at: datetime) -> datetime | None:
    ends = [] if series.valid_until is None else [series.valid_until]
    if series.valid_days is not None:
        ends.append(at + timedelta(days=series.valid_days))
    return min(ends, default=None)
