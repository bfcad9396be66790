"""Promotions and how points pay, over HTTP."""

from typing import Annotated

from fastapi import Path, Response

from crm_loyalty.errors import PromotionNotFound
from crm_loyalty.models.quotes import PaymentPolicy, Promotion
from crm_loyalty.quotes import payment, promotions
from crm_loyalty.routes.earning_rules import IfNoneMatch
from crm_loyalty.schemas.base import Key
from crm_loyalty.schemas.quotes import PaymentPolicyIn, PaymentPolicyOut, PromotionIn, PromotionOut
from crm_shared.callers import MANAGERS, READERS
from crm_shared.etags import IfMatchMissing, StaleVersion, etag
from crm_shared.pages import InvalidCursor, Listing, Page
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

router = Router(tags=["promotions"])

PromotionKey = Annotated[Key, Path(description="lower-case words with hyphens", examples=["member-day"])]


@router.get(
    "/v1/promotions",
    response_model=Page[PromotionOut],
    dependencies=[allow(*READERS)],
    responses=documented(InvalidCursor),
)
async def list_promotions(session: Session, page: Paging) -> Listing[Promotion]:
    """List the promotions, by key."""
    return await promotions.list_(session, page=page)


@router.get(
    "/v1/promotions/{promotion_key}",
    response_model=PromotionOut,
    dependencies=[allow(*READERS)],
    responses=documented(PromotionNotFound),
)
async def get_promotion(session: Session, response: Response, promotion_key: PromotionKey) -> Promotion:
    """Read the newest version of a promotion."""
    found = await promotions.get(session, promotion_key)
    response.headers["ETag"] = etag(found.version)
    return found


@router.put(
    "/v1/promotions/{promotion_key}",
    response_model=PromotionOut,
    dependencies=[allow(*MANAGERS)],
    responses=documented(IfMatchMissing, StaleVersion),
)
async def put_promotion(
    session: Session,
    clock: CurrentClock,
    caller: CurrentCaller,
    response: Response,
    promotion_key: PromotionKey,
    body: PromotionIn,
    if_match: IfMatch = None,
    if_none_match: IfNoneMatch = None,
) -> Promotion:
    """Write a promotion's next version; it counts at once, and makes open quotes with the old one stale.

    Send If-Match with the version you replace, or `If-None-Match: *` for a new promotion.
    """
    written = await promotions.put(
        session,
        promotion_key,
        body,
        if_match=if_match,
        if_none_match=if_none_match,
        at=clock.now(),
        by=caller.subject,
    )
    response.headers["ETag"] = etag(written.version)
    return written


@router.get("/v1/programme/payment-policy", response_model=PaymentPolicyOut, dependencies=[allow(*READERS)])
async def get_payment_policy(session: Session, response: Response) -> PaymentPolicy:
    """Read what points are worth when customers pay with them."""
    policy = await payment.get(session)
    response.headers["ETag"] = etag(policy.version)
    return policy


@router.put(
    "/v1/programme/payment-policy",
    response_model=PaymentPolicyOut,
    dependencies=[allow(*MANAGERS)],
    responses=documented(IfMatchMissing, StaleVersion),
)
async def put_payment_policy(
    session: Session,
    clock: CurrentClock,
    caller: CurrentCaller,
    response: Response,
    body: PaymentPolicyIn,
    if_match: IfMatch = None,
) -> PaymentPolicy:
    """Write what points are worth from now on; send If-Match with the version you replace."""
    policy = await payment.put(session, body, if_match=if_match, at=clock.now(), by=caller.subject)
    response.headers["ETag"] = etag(policy.version)
    return policy
