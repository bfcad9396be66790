"""What levels are decided by: the business day, its time zone, and the thresholds in force."""

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from crm_segmentation.levels import Thresholds
from crm_segmentation.models import LevelBasis, LevelThresholds
from crm_segmentation.schemas import BusinessDayIn, ThresholdsIn
from crm_shared import etags
from crm_shared.calendars import day_of


@dataclass(frozen=True)
class Basis:
    """By which day, zone and thresholds somebody is levelled."""

    on: date
    time_zone: str
    follows_clock: bool
    thresholds: Thresholds

    @property
    def until(self) -> datetime:
        """The instant at which the business day is over: what happens from then on does not count yet."""
        return start_of(self.on + timedelta(days=1), self.time_zone)


def start_of(day: date, time_zone: str) -> datetime:
    """The instant at which the day begins there."""
    return datetime.combine(day, time.min, ZoneInfo(time_zone))


async def get(session: AsyncSession) -> LevelBasis:
    return (await session.scalars(select(LevelBasis))).one()


async def get_thresholds(session: AsyncSession, version: int) -> LevelThresholds:
    return (await session.scalars(select(LevelThresholds).where(LevelThresholds.version == version))).one()


async def read(session: AsyncSession, *, at: datetime) -> Basis:
    """The basis at this instant, for showing it."""
    return await _basis(session, await get(session), at)


async def hold(session: AsyncSession, *, at: datetime) -> Basis:
    """The basis at this instant, which nobody changes before the transaction ends.

    Who decides levels holds it from before the first lock on a customer: then nobody is left with a level
    from an old basis after the job that follows a change has passed them.
    """
    row = (await session.scalars(select(LevelBasis).with_for_update(read=True))).one()
    return await _basis(session, row, at)


def business_day(row: LevelBasis, at: datetime) -> date:
    """The fixed day, or else the one that the clock shows in the time zone."""
    return row.business_day or day_of(at, row.time_zone)


async def set_business_day(session: AsyncSession, body: BusinessDayIn, if_match: str | None) -> LevelBasis:
    """Fix the day, or let it follow the clock again; raises StaleVersion."""
    row = await _lock(session)
    etags.check(if_match, row.version)
    if (row.business_day, row.time_zone) != (body.business_day, body.time_zone):
        row.business_day, row.time_zone = body.business_day, body.time_zone
        row.version += 1
    return row


async def set_thresholds(
    session: AsyncSession, body: ThresholdsIn, if_match: str | None, *, at: datetime, by: str
) -> LevelThresholds:
    """Put a new version of the thresholds in force; raises IfMatchMissing, StaleVersion."""
    row = await _lock(session)
    etags.require(if_match, row.thresholds_version)
    thresholds = LevelThresholds(
        version=row.thresholds_version + 1,
        currency=body.vip.monetary.currency,
        vip_monetary=body.vip.monetary.amount,
        vip_recency_days=body.vip.recency_days,
        important_monetary=body.important.monetary.amount,
        ordinary_frequency=body.ordinary.frequency,
        ordinary_recency_days=body.ordinary.recency_days,
        created_at=at,
        created_by=by,
    )
    session.add(thresholds)
    await session.flush()
    row.thresholds_version = thresholds.version
    return thresholds


async def _lock(session: AsyncSession) -> LevelBasis:
    return (await session.scalars(select(LevelBasis).with_for_update())).one()


async def _basis(session: AsyncSession, row: LevelBasis, at: datetime) -> Basis:
    # A statement of its own: one that had waited for the lock would still see the versions of before.
    found = await get_thresholds(session, row.thresholds_version)
    thresholds = Thresholds(
        version=found.version,
        currency=found.currency,
        vip_monetary=found.vip_monetary,
        vip_recency_days=found.vip_recency_days,
        important_monetary=found.important_monetary,
        ordinary_frequency=found.ordinary_frequency,
        ordinary_recency_days=found.ordinary_recency_days,
    )
    return Basis(business_day(row, at), row.time_zone, row.business_day is None, thresholds)
