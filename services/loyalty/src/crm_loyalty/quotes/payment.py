"""How points pay: one policy in versions."""

from datetime import datetime

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from crm_loyalty.models.quotes import PaymentPolicy
from crm_loyalty.schemas.quotes import PaymentPolicyIn
from crm_shared import versions


async def get(session: AsyncSession) -> PaymentPolicy:
    """The policy in force; the first one came with the database."""
    newest = select(PaymentPolicy).order_by(PaymentPolicy.version.desc()).limit(1)
    return (await session.scalars(newest)).one()


async def put(
    session: AsyncSession, body: PaymentPolicyIn, *, if_match: str | None, at: datetime, by: str
) -> PaymentPolicy:
    """Write the next version; raises IfMatchMissing, StaleVersion."""
    current = await get(session)
    return await versions.write(
        session,
        PaymentPolicy,
        body.model_dump(),
        over=current.version,
        if_match=if_match,
        at=at,
        by=by,
    )
