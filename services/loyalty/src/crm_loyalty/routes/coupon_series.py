"""Series of coupons over HTTP: their terms, and issuing under them."""

from typing import Annotated
from uuid import UUID

from fastapi import Path, Response

from crm_loyalty.coupons import batches, holdings, series
from crm_loyalty.errors import CouponSeriesNotFound, CouponSuspended, IssueLimitReached
from crm_loyalty.models.coupons import CouponSeries
from crm_loyalty.routes.earning_rules import IfNoneMatch
from crm_loyalty.routes.settings import CurrentSettings
from crm_loyalty.schemas.base import Key
from crm_loyalty.schemas.coupons import (
    CouponBatchIn,
    CouponOut,
    CouponSeriesIn,
    CouponSeriesOut,
    CouponsIn,
    IssuedCouponsOut,
)
from crm_shared.callers import MANAGERS, READERS, STAFF
from crm_shared.customers import CustomerWasErased
from crm_shared.etags import IfMatchMissing, StaleVersion, etag
from crm_shared.jobs import JobNotFound, JobOut
from crm_shared.pages import InvalidCursor, Listing, Page
from crm_shared.web.idempotency import requires_key
from crm_shared.web.problems import documented
from crm_shared.web.router import Router
from crm_shared.web.session import (
    CurrentCaller,
    CurrentClock,
    IfMatch,
    Paging,
    Session,
    allow,
)

router = Router(tags=["coupon series"])

SeriesKey = Annotated[Key, Path(description="lower-case words with hyphens", examples=["spring"])]


@router.get(
    "/v1/coupon-series",
    response_model=Page[CouponSeriesOut],
    dependencies=[allow(*READERS)],
    responses=documented(InvalidCursor),
)
async def list_coupon_series(session: Session, page: Paging) -> Listing[CouponSeries]:
    """List the series of coupons, by key."""
    return await series.list_(session, page=page)


@router.get(
    "/v1/coupon-series/{series_key}",
    response_model=CouponSeriesOut,
    dependencies=[allow(*READERS)],
    responses=documented(CouponSeriesNotFound),
)
async def get_coupon_series(session: Session, response: Response, series_key: SeriesKey) -> CouponSeries:
    """Read the newest terms of a series."""
    found = await series.get(session, series_key)
    response.headers["ETag"] = etag(found.version)
    return found


@router.put(
    "/v1/coupon-series/{series_key}",
    response_model=CouponSeriesOut,
    dependencies=[allow(*MANAGERS)],
    responses=documented(IfMatchMissing, StaleVersion),
)
async def put_coupon_series(
    session: Session,
    clock: CurrentClock,
    caller: CurrentCaller,
    response: Response,
    series_key: SeriesKey,
    body: CouponSeriesIn,
    if_match: IfMatch = None,
    if_none_match: IfNoneMatch = None,
) -> CouponSeries:
    """Write a series' next terms, for coupons issued from now on; each coupon keeps those of its own.

    Only `active` counts for all of them at once. Send If-Match with the version you replace, or
    `If-None-Match: *` for a new series.
    """
    written = await series.put(
        session,
        series_key,
        body,
        if_match=if_match,
        if_none_match=if_none_match,
        at=clock.now(),
        by=caller.subject,
    )
    response.headers["ETag"] = etag(written.version)
    return written


@router.post(
    "/v1/coupon-series/{series_key}/coupons",
    status_code=201,
    response_model=IssuedCouponsOut,
    dependencies=[allow(*STAFF), requires_key],
    responses=documented(CouponSeriesNotFound, CouponSuspended, IssueLimitReached, CustomerWasErased),
)
async def issue_coupons(
    session: Session,
    clock: CurrentClock,
    settings: CurrentSettings,
    series_key: SeriesKey,
    body: CouponsIn,
) -> IssuedCouponsOut:
    """Issue each of these customers a coupon of their own; their codes are read where coupons are listed.

    Answers to this are kept for retries, and codes are kept nowhere.
    """
    at = clock.now()
    terms = await series.get(session, series_key)
    made = await series.issue_to(session, terms, body.customer_ids, key=settings.coupon_key, at=at)
    return IssuedCouponsOut(items=[CouponOut.of(coupon, at=at) for coupon in made])


@router.post(
    "/v1/coupon-series/{series_key}/batches",
    status_code=202,
    response_model=JobOut,
    dependencies=[allow(*MANAGERS), requires_key],
    responses=documented(CouponSeriesNotFound, CouponSuspended),
)
async def issue_coupon_batch(
    session: Session, clock: CurrentClock, response: Response, series_key: SeriesKey, body: CouponBatchIn
) -> JobOut:
    """Issue many coupons that belong to whoever has their codes, in the background."""
    job = await batches.start(session, series_key, body.count, at=clock.now())
    response.headers["Location"] = f"/v1/coupon-batches/{job.id}"
    return JobOut.of(job)


@router.get(
    "/v1/coupon-batches/{batch_id}",
    response_model=JobOut,
    dependencies=[allow(*MANAGERS)],
    responses=documented(JobNotFound),
)
async def get_coupon_batch(session: Session, batch_id: UUID) -> JobOut:
    """Read how far a batch is."""
    return JobOut.of(await batches.get(session, batch_id))


@router.get(
    "/v1/coupon-batches/{batch_id}/coupons",
    response_model=Page[CouponOut],
    dependencies=[allow(*MANAGERS)],
    responses=documented(JobNotFound, InvalidCursor),
)
async def list_coupons_of_batch(
    session: Session,
    clock: CurrentClock,
    page: Paging,
    settings: CurrentSettings,
    batch_id: UUID,
) -> Listing[CouponOut]:
    """List the coupons of a batch with their codes, to be printed or sent."""
    await batches.get(session, batch_id)
    found = await holdings.of_batch(session, batch_id, page=page)
    at, key = clock.now(), settings.coupon_key
    return found.map(lambda coupon: CouponOut.of(coupon, at=at, code=holdings.code(coupon, key)))
