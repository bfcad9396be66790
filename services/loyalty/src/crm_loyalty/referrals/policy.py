"""What bringing a friend is worth: one policy in versions."""

from datetime import UTC, datetime

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from crm_loyalty.models.referrals import ReferralPolicy
from crm_loyalty.schemas.referrals import ReferralPolicyIn
from crm_shared import versions


async def current(session: AsyncSession) -> ReferralPolicy:
    """The newest version; until somebody writes one there are no referrals."""
    newest = select(ReferralPolicy).order_by(ReferralPolicy.version.desc()).limit(1)
    return await session.scalar(newest) or _initial()


async def put(
    session: AsyncSession, body: ReferralPolicyIn, *, if_match: str | None, at: datetime, by: str
) -> ReferralPolicy:
    """Write the next version; raises IfMatchMissing, StaleVersion."""
    known = await current(session)
    return await versions.write(
        session,
        ReferralPolicy,
        body.model_dump(),
        over=known.version,
        if_match=if_match,
        at=at,
        by=by,
    )


def _initial() -> ReferralPolicy:
    return ReferralPolicy(
        version=1,
        active=False,
        points_referrer=0,
        points_friend=0,
        currency="USD",
        minimum_order=0,
        qualify_days=30,
        return_days=30,
        max_per_referrer=None,
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
        created_by="initial",
    )
