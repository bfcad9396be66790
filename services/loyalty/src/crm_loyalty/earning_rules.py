"""Earning rules as data: a change is a new version, and the newest one of each key is in force."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from crm_loyalty.errors import EarningRuleNotFound
from crm_loyalty.models.earning_rules import EarningRule
from crm_loyalty.rules.earning import Rule
from crm_loyalty.schemas.earning_rules import EarningRuleIn
from crm_shared import etags
from crm_shared.etags import IfMatchMissing, StaleVersion
from crm_shared.pages import Cursors, Key, Listing, paginate

_newer = aliased(EarningRule)
_NEWEST = (
    ~select(_newer.key)
    .where(_newer.key == EarningRule.key, _newer.version > EarningRule.version)
    .correlate(EarningRule)
    .exists()
)


async def in_force(session: AsyncSession) -> Sequence[Rule]:
    """The newest version of every rule, for the evaluator."""
    rows = await session.scalars(select(EarningRule).where(_NEWEST))
    return [
        Rule(
            key=row.key,
            version=row.version,
            currency=row.currency,
            points=row.points,
            per_amount=row.per_amount,
            active=row.active,
            valid_from=row.valid_from,
            valid_until=row.valid_until,
        )
        for row in rows
    ]


async def find(session: AsyncSession, key: str) -> EarningRule | None:
    return await session.scalar(select(EarningRule).where(EarningRule.key == key, _NEWEST))


async def get(session: AsyncSession, key: str) -> EarningRule:
    """The newest version; raises EarningRuleNotFound."""
    rule = await find(session, key)
    if rule is None:
        raise EarningRuleNotFound(key=key)
    return rule


async def list_(
    session: AsyncSession, *, cursors: Cursors, cursor: str | None, limit: int
) -> Listing[EarningRule]:
    """The newest version of each rule, by key."""
    return await paginate(
        session,
        select(EarningRule).where(_NEWEST),
        [Key(EarningRule.key)],
        cursors=cursors,
        cursor=cursor,
        limit=limit,
    )


async def put(
    session: AsyncSession,
    key: str,
    body: EarningRuleIn,
    *,
    if_match: str | None,
    if_none_match: str | None,
    at: datetime,
    by: str,
) -> EarningRule:
    """Write the next version over the one that the caller has seen, or the first with `If-None-Match: *`.

    Raises IfMatchMissing, StaleVersion.
    """
    current = await find(session, key)
    if current is None:
        if if_match is not None:
            raise StaleVersion("There is no rule with this key.")
        if if_none_match != "*":
            raise IfMatchMissing("There is no rule with this key: send If-None-Match: * to make it.")
    elif if_none_match is not None:
        raise StaleVersion(f"The current version is {current.version}.", current_version=current.version)
    else:
        etags.require(if_match, current.version)
    version = current.version + 1 if current else 1
    # Of two who replace the same version at once, the second finds the next one taken.
    written: EarningRule | None = await session.scalar(
        insert(EarningRule)
        .values(key=key, version=version, created_at=at, created_by=by, **body.model_dump())
        .on_conflict_do_nothing()
        .returning(EarningRule)
    )
    if written is None:
        raise StaleVersion(f"The current version is {version}.", current_version=version)
    return written
