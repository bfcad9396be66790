"""The catalogue of rewards: versions, and the stock that all orders share."""

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import case, or_, select, true, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from crm_loyalty.coupons import series
from crm_loyalty.errors import LimitReached, OutOfStock, RewardNotFound
from crm_loyalty.models.rewards import Reward, RewardStock
from crm_loyalty.schemas.rewards import RewardIn
from crm_shared import versions
from crm_shared.pages import Key, Listing, PageRequest, paginate
from crm_shared.problems import InvalidRequest

_NEWEST = versions.newest(Reward.key, Reward.version)


async def find(session: AsyncSession, key: str) -> Reward | None:
    return await session.scalar(select(Reward).where(Reward.key == key, _NEWEST))


async def get(session: AsyncSession, key: str) -> Reward:
    """The newest version; raises RewardNotFound."""
    reward = await find(session, key)
    if reward is None:
        raise RewardNotFound(key=key)
    return reward


async def list_(
    session: AsyncSession,
    *,
    offered_at: datetime | None,
    page: PageRequest,
) -> Listing[Reward]:
    """The newest version of each reward, by key; with an instant only those that can be ordered then."""
    statement = select(Reward).where(_NEWEST)
    if offered_at is not None:
        statement = statement.where(
            Reward.active,
            or_(Reward.valid_from.is_(None), Reward.valid_from <= offered_at),
            or_(Reward.valid_until.is_(None), Reward.valid_until > offered_at),
        )
    return await paginate(
        session,
        statement,
        [Key(Reward.key)],
        page=page,
        filters=offered_at is not None,
    )


async def stocks(session: AsyncSession, keys: Collection[str]) -> dict[str, RewardStock]:
    """How many there are of each, as it is now."""
    rows = select(RewardStock).where(RewardStock.reward_key.in_(keys))
    found = await session.scalars(rows.execution_options(populate_existing=True))
    return {stock.reward_key: stock for stock in found}


async def put(
    session: AsyncSession,
    key: str,
    body: RewardIn,
    *,
    if_match: str | None,
    if_none_match: str | None,
    at: datetime,
    by: str,
) -> Reward:
    """Write the next version; raises IfMatchMissing, StaleVersion, InvalidRequest."""
    if body.coupon_series is not None and await series.find(session, body.coupon_series) is None:
        raise InvalidRequest(
            errors=[
                {"pointer": "/coupon_series", "code": "coupon_series_not_found", "message": "There is none"}
            ]
        )
    current = await find(session, key)
    values = body.model_dump() | {"names": body.names.model_dump(exclude_none=True)}
    written = await versions.write(
        session,
        Reward,
        {"key": key, **values},
        over=current.version if current else None,
        if_match=if_match,
        if_none_match=if_none_match,
        at=at,
        by=by,
    )
    await session.execute(
        insert(RewardStock).values(reward_key=key, remaining=0, ordered=0).on_conflict_do_nothing()
    )
    return written


async def restock(session: AsyncSession, reward: Reward, change: int) -> None:
    """Add to what is left, or with a negative number take away; raises OutOfStock."""
    changed = await session.scalar(
        update(RewardStock)
        .where(RewardStock.reward_key == reward.key, RewardStock.remaining + change >= 0)
        .values(remaining=RewardStock.remaining + change)
        .returning(RewardStock.remaining)
    )
    if changed is None:
        raise await _short(session, reward)


async def take(session: AsyncSession, reward: Reward, quantity: int) -> None:
    """Take from the stock and the total limit at once: whoever finds too little changes nothing.

    It is the row that all who order the reward wait for, so it comes last before the commit. Raises
    OutOfStock, LimitReached.
    """
    stock = RewardStock
    enough = stock.remaining >= quantity if reward.limited else true()
    allowed = stock.ordered + quantity <= reward.max_total if reward.max_total is not None else true()
    taken = await session.scalar(
        update(stock)
        .where(stock.reward_key == reward.key, enough, allowed)
        .values(
            remaining=stock.remaining - (quantity if reward.limited else 0), ordered=stock.ordered + quantity
        )
        .returning(stock.ordered)
    )
    if taken is None:
        raise await _short(session, reward, quantity)


async def put_back(session: AsyncSession, key: str, version: int, quantity: int) -> None:
    """What was ordered of that version and cancelled can be ordered again."""
    limited = select(Reward.limited).where(Reward.key == key, Reward.version == version).scalar_subquery()
    await session.execute(
        update(RewardStock)
        .where(RewardStock.reward_key == key)
        .values(
            remaining=RewardStock.remaining + case((limited, quantity), else_=0),
            ordered=RewardStock.ordered - quantity,
        )
    )


async def _short(session: AsyncSession, reward: Reward, quantity: int = 0) -> OutOfStock | LimitReached:
    """Why it was not there to be taken."""
    stock = (await stocks(session, [reward.key]))[reward.key]
    if reward.max_total is not None and stock.ordered + quantity > reward.max_total:
        return LimitReached(
            f"{reward.max_total} can be ordered in total, {stock.ordered} were.",
            scope="total",
            limit=reward.max_total,
        )
    return OutOfStock(f"{stock.remaining} are left.", remaining=stock.remaining)
