"""What an upheld complaint is worth: one policy in versions."""

from datetime import UTC, datetime

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from crm_loyalty.models.recovery import RecoveryPolicy
from crm_loyalty.schemas.recovery import RecoveryPolicyIn
from crm_shared import versions


async def current(session: AsyncSession) -> RecoveryPolicy:
    """The newest version; until somebody writes one nothing is proposed."""
    newest = select(RecoveryPolicy).order_by(RecoveryPolicy.version.desc()).limit(1)
    return await session.scalar(newest) or _initial()


async def put(
    session: AsyncSession, body: RecoveryPolicyIn, *, if_match: str | None, at: datetime, by: str
) -> RecoveryPolicy:
    """Write the next version; raises IfMatchMissing, StaleVersion."""
    known = await current(session)
    return await versions.write(
        session,
        RecoveryPolicy,
        body.model_dump(),
        over=known.version,
        if_match=if_match,
        at=at,
        by=by,
    )


def _initial() -> RecoveryPolicy:
    return RecoveryPolicy(
        version=1,
        active=False,
        points={"low": 0, "normal": 0, "high": 0, "critical": 0},
        monthly_budget=None,
        supervisor_limit=None,
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
        created_by="initial",
    )
