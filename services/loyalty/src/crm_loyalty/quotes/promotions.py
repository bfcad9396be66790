"""Promotions as data: a change is a new version, and the newest one of each key is in force."""

from collections.abc import Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

from sqlalchemy import case, func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import with_expression

from crm_loyalty.earning import facts
from crm_loyalty.earning.rules import conditions_of
from crm_loyalty.errors import PromotionNotFound
from crm_loyalty.models.quotes import Promotion, PromotionCount
from crm_loyalty.rules.conditions import CustomerFacts, Purchase
from crm_loyalty.rules.earning import Policy
from crm_loyalty.rules.pricing import Discount
from crm_loyalty.schemas.earning_rules import WhenIn
from crm_loyalty.schemas.quotes import PromotionIn
from crm_shared import versions
from crm_shared.pages import Key, Listing, PageRequest, paginate

_USED = select(PromotionCount.used).where(
    PromotionCount.promotion == Promotion.key, PromotionCount.currency == Promotion.currency
)
_NEWEST = (
    select(Promotion)
    .where(versions.newest(Promotion.key, Promotion.version))
    .options(
        with_expression(
            Promotion.used,
            case((Promotion.currency.is_not(None), func.coalesce(_USED.scalar_subquery(), 0))),
        )
    )
    .execution_options(populate_existing=True)
)
"""The newest version of each promotion, with what it has taken off."""


async def find(session: AsyncSession, key: str) -> Promotion | None:
    return await session.scalar(_NEWEST.where(Promotion.key == key))


async def get(session: AsyncSession, key: str) -> Promotion:
    """The newest version; raises PromotionNotFound."""
    promotion = await find(session, key)
    if promotion is None:
        raise PromotionNotFound(key=key)
    return promotion


async def list_(session: AsyncSession, *, page: PageRequest) -> Listing[Promotion]:
    """The newest version of each promotion, by key."""
    return await paginate(
        session,
        _NEWEST,
        [Key(Promotion.key)],
        page=page,
    )


async def put(
    session: AsyncSession,
    key: str,
    body: PromotionIn,
    *,
    if_match: str | None,
    if_none_match: str | None,
    at: datetime,
    by: str,
) -> Promotion:
    """Write the next version; raises IfMatchMissing, StaleVersion."""
    current = await find(session, key)
    values = body.model_dump() | {
        "names": body.names.model_dump(exclude_none=True),
        "when": body.when.model_dump(mode="json", exclude_defaults=True),
    }
    await versions.write(
        session,
        Promotion,
        {"key": key, **values},
        over=current.version if current else None,
        if_match=if_match,
        if_none_match=if_none_match,
        at=at,
        by=by,
    )
    return await get(session, key)


async def applying(
    session: AsyncSession, purchase: Purchase, customer: CustomerFacts, policy: Policy
) -> Sequence[Discount]:
    """The promotions whose conditions hold for such a purchase, as pricing takes them."""
    at = purchase.occurred_at
    rows = await session.scalars(
        _NEWEST.where(
            Promotion.active,
            or_(Promotion.valid_from.is_(None), Promotion.valid_from <= at),
            or_(Promotion.valid_until.is_(None), Promotion.valid_until > at),
        )
    )
    terms = [(row, conditions_of(WhenIn.model_validate(row.when))) for row in rows]
    calendars = {name.partition(":")[0] for _, when in terms for name in when.holidays}
    purchase = facts.celebrated(purchase, await facts.calendars(session, calendars), policy)
    local = at.astimezone(ZoneInfo(policy.time_zone))
    found = []
    for row, when in terms:
        if not any(when.against(purchase, customer, local)):
            found.append(
                Discount(
                    key=row.key,
                    rule=row.key,
                    version=row.version,
                    value=row.value,
                    amount=row.amount or 0,
                    basis_points=row.basis_points or 0,
                    cap=row.max_discount,
                    currency=row.currency,
                    product=row.free_product,
                    products=when.products,
                    categories=when.categories,
                    brands=when.brands,
                    group=row.group,
                    priority=row.priority,
                    left=row.left,
                )
            )
    return found
