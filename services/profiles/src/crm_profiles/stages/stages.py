"""Stages: in which one a customer is and was, by which policy, and whom to look at again."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import ColumnElement, literal, select
from sqlalchemy.dialects.postgresql import Insert
from sqlalchemy.ext.asyncio import AsyncSession

from crm_profiles.models.stages import CustomerStage, StagePolicy, StageSpell
from crm_profiles.rules.lifecycle import Policy, Stage
from crm_profiles.schemas.stages import StagePolicyIn
from crm_shared import due, jobs, versions
from crm_shared.jobs import Job

STAGE = "stage"
"""The due work of finding out in which stage a customer is."""
RESTAGE = "restage"
"""The job of looking at everybody again."""


async def look_again(session: AsyncSession, customers: Iterable[UUID], *, at: datetime) -> None:
    """Have the worker find out in which stages these customers are: something happened with them."""
    await due.schedule(session, STAGE, dict.fromkeys(customers, at))


def looking_again(
    customer: ColumnElement[UUID], at: ColumnElement[datetime], *where: ColumnElement[bool]
) -> Insert:
    """`look_again` as a part of the statement that writes the customers, whose rows it goes by."""
    return due.scheduling(literal(STAGE), customer, at, *where)


async def find(session: AsyncSession, customer_id: UUID) -> CustomerStage | None:
    """None: the worker has not looked at them yet."""
    return await session.get(CustomerStage, customer_id)


async def list_spells(session: AsyncSession, customer_id: UUID) -> list[StageSpell]:
    """All stays of the customer, the first one first."""
    mine = select(StageSpell).where(StageSpell.customer_id == customer_id).order_by(StageSpell.number)
    return list(await session.scalars(mine))


async def get_policy(session: AsyncSession) -> StagePolicy:
    """The policy in force."""
    newest = select(StagePolicy).order_by(StagePolicy.version.desc()).limit(1)
    return (await session.scalars(newest)).one()


def rule_of(row: StagePolicy) -> Policy:
    silence = {Stage(name): timedelta(days=days) for name, days in row.silence_days.items()}
    return Policy(row.version, silence)


async def set_policy(
    session: AsyncSession, body: StagePolicyIn, if_match: str | None, *, at: datetime, by: str
) -> tuple[StagePolicy, Job]:
    """Put a new policy in force and have everybody looked at again; raises IfMatchMissing, StaleVersion."""
    current = await get_policy(session)
    written = await versions.write(
        session,
        StagePolicy,
        {"silence_days": body.silence_days.model_dump()},
        over=current.version,
        if_match=if_match,
        at=at,
        by=by,
    )
    job = jobs.start(session, RESTAGE, {}, at=at)
    await session.flush()
    return written, job
