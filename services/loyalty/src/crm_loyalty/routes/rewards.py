"""Rewards over HTTP: the catalogue, and its stock."""

from typing import Annotated

from fastapi import Path, Query, Response

from crm_loyalty.errors import OutOfStock, RewardNotFound
from crm_loyalty.models.rewards import Reward
from crm_loyalty.rewards import catalogue
from crm_loyalty.routes.earning_rules import IfNoneMatch
from crm_loyalty.schemas.base import Key
from crm_loyalty.schemas.rewards import RestockIn, RewardIn, RewardOut
from crm_shared.callers import MANAGERS, READERS, Role
from crm_shared.etags import IfMatchMissing, StaleVersion, etag
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

router = Router(tags=["rewards"])

RewardKey = Annotated[Key, Path(description="lower-case words with hyphens", examples=["record-bag"])]


@router.get(
    "/v1/rewards",
    response_model=Page[RewardOut],
    dependencies=[allow(*READERS, Role.CUSTOMER)],
    responses=documented(InvalidCursor),
)
async def list_rewards(
    session: Session,
    clock: CurrentClock,
    caller: CurrentCaller,
    page: Paging,
    offered: Annotated[bool, Query(description="only what can be ordered now")] = False,
) -> Listing[RewardOut]:
    """List what points can be exchanged for, by key."""
    offered_at = clock.now() if offered else None
    found = await catalogue.list_(session, offered_at=offered_at, page=page)
    stocks = await catalogue.stocks(session, [reward.key for reward in found.items])
    to_staff = caller.has(READERS)
    return found.map(lambda reward: RewardOut.of(reward, stocks.get(reward.key), to_staff=to_staff))


@router.get(
    "/v1/rewards/{reward_key}",
    response_model=RewardOut,
    dependencies=[allow(*READERS, Role.CUSTOMER)],
    responses=documented(RewardNotFound),
)
async def get_reward(
    session: Session, caller: CurrentCaller, response: Response, reward_key: RewardKey
) -> RewardOut:
    """Read the newest version of a reward, and how many are left."""
    reward = await catalogue.get(session, reward_key)
    return await _shown(session, response, reward, to_staff=caller.has(READERS))


@router.put(
    "/v1/rewards/{reward_key}",
    response_model=RewardOut,
    dependencies=[allow(*MANAGERS)],
    responses=documented(IfMatchMissing, StaleVersion),
)
async def put_reward(
    session: Session,
    clock: CurrentClock,
    caller: CurrentCaller,
    response: Response,
    reward_key: RewardKey,
    body: RewardIn,
    if_match: IfMatch = None,
    if_none_match: IfNoneMatch = None,
) -> RewardOut:
    """Write a reward's next version; orders keep the version that they were made under.

    Send If-Match with the version you replace, or `If-None-Match: *` for a new reward. Its stock is changed
    apart from it.
    """
    reward = await catalogue.put(
        session,
        reward_key,
        body,
        if_match=if_match,
        if_none_match=if_none_match,
        at=clock.now(),
        by=caller.subject,
    )
    return await _shown(session, response, reward)


@router.post(
    "/v1/rewards/{reward_key}/restock",
    response_model=RewardOut,
    dependencies=[allow(*MANAGERS), requires_key],
    responses=documented(RewardNotFound, OutOfStock),
)
async def restock_reward(
    session: Session, response: Response, reward_key: RewardKey, body: RestockIn
) -> RewardOut:
    """Add to a reward's stock, or take from it with a negative number."""
    reward = await catalogue.get(session, reward_key)
    await catalogue.restock(session, reward, body.change)
    return await _shown(session, response, reward)


async def _shown(session: Session, response: Response, reward: Reward, *, to_staff: bool = True) -> RewardOut:
    response.headers["ETag"] = etag(reward.version)
    stocks = await catalogue.stocks(session, [reward.key])
    return RewardOut.of(reward, stocks.get(reward.key), to_staff=to_staff)
