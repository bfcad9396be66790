"""The points policy: how long points live and what is owed, a new version with each change."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from crm_loyalty.models.points_policy import DebtRule, PointsPolicyVersion
from crm_loyalty.rules.earning import Policy, Rounding
from crm_loyalty.rules.expiry import Expiry, ExpiryRule
from crm_loyalty.schemas.points_policy import MEMBERS, PointsPolicyIn
from crm_shared import versions
from crm_shared.calendars.clocks import start_of
from crm_shared.pages import Key, Listing, PageRequest, paginate


async def current(session: AsyncSession) -> PointsPolicyVersion:
    """The newest version; until somebody writes one, the initial: points never expire, debts are owed."""
    newest = select(PointsPolicyVersion).order_by(PointsPolicyVersion.version.desc()).limit(1)
    return await session.scalar(newest) or _initial()


def expiry(policy: PointsPolicyVersion) -> Expiry:
    return Expiry(policy.expiry, policy.expires_after, zone(policy))


async def of_earning(session: AsyncSession) -> Policy:
    """What the evaluator of earning rules is told of it."""
    policy = await current(session)
    return Policy(policy.time_zone, policy.rounding)


def zone(policy: PointsPolicyVersion) -> ZoneInfo:
    return ZoneInfo(policy.time_zone)


def day_begins(policy: PointsPolicyVersion, at: datetime) -> datetime:
    """When the day of the programme began that it is now."""
    place = zone(policy)
    return start_of(at.astimezone(place).date(), place)


async def put(
    session: AsyncSession, body: PointsPolicyIn, *, if_match: str | None, at: datetime, by: str
) -> PointsPolicyVersion:
    """Write the next version over the one that the caller has seen; raises IfMatchMissing, StaleVersion."""
    known = await current(session)
    return await versions.write(
        session,
        PointsPolicyVersion,
        body.model_dump(),
        over=known.version,
        if_match=if_match,
        at=at,
        by=by,
    )


async def list_versions(session: AsyncSession, *, page: PageRequest) -> Listing[PointsPolicyVersion]:
    """Every version that was ever written, the newest first."""
    return await paginate(
        session,
        select(PointsPolicyVersion),
        [Key(PointsPolicyVersion.version, descending=True)],
        page=page,
    )


def _initial() -> PointsPolicyVersion:
    return PointsPolicyVersion(
        version=1,
        time_zone="UTC",
        expiry=ExpiryRule.NEVER,
        expires_after=None,
        notice_days=30,
        debt=DebtRule.OWE,
        approval_above=None,
        transfer_max=None,
        pool_members_max=MEMBERS,
        rounding=Rounding.DOWN,
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
        created_by="initial",
    )
