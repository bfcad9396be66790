"""How points pay: one policy in versions."""

from datetime import datetime

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from crm_loyalty.models.quotes import PaymentPolicy
from crm_loyalty.schemas.quotes import PaymentPolicyIn
from crm_shared import etags
from crm_shared.etags import StaleVersion


async def get(session: AsyncSession) -> PaymentPolicy:
    """The policy in force; the first one came with the database."""
    newest = select(PaymentPolicy).order_by(PaymentPolicy.version.desc()).limit(1)
    return (await session.scalars(newest)).one()


async def put(
    session: AsyncSession, body: PaymentPolicyIn, *, if_match: str | None, at: datetime, by: str
) -> PaymentPolicy:
    """Write the next version; raises IfMatchMissing, StaleVersion."""
    current = await get(session)
    etags.require(if_match, current.version)
    written: PaymentPolicy | None = await session.scalar(
        insert(PaymentPolicy)
        .values(version=current.version + 1, created_at=at, created_by=by, **body.model_dump())
        .on_conflict_do_nothing()
        .returning(PaymentPolicy)
    )
    if written is None:
        raise StaleVersion(current_version=current.version + 1)
    return written
