"""Calendars as data: a change is a new version, which loyalty and segmentation copy by event."""

from collections.abc import AsyncIterator
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from crm_shared import versions
from crm_shared.calendars.days import Days
from crm_shared.contracts.base import Event
from crm_shared.contracts.calendars import Calendar
from crm_shared.contracts.tickets import CalendarChanged
from crm_shared.outbox import publish
from crm_shared.pages import Key, Listing, PageRequest, paginate
from crm_tickets.errors import CalendarNotFound
from crm_tickets.models import CalendarVersion

_NEWEST = versions.newest(CalendarVersion.code, CalendarVersion.version)


async def find(session: AsyncSession, code: str) -> CalendarVersion | None:
    """The newest version."""
    return await session.scalar(select(CalendarVersion).where(CalendarVersion.code == code, _NEWEST))


async def get(session: AsyncSession, code: str, *, version: int | None = None) -> CalendarVersion:
    """That version, or the newest; raises CalendarNotFound."""
    if version is None:
        found = await find(session, code)
    else:
        found = await session.get(CalendarVersion, (code, version))
    if found is None:
        raise CalendarNotFound(code=code)
    return found


def days(row: CalendarVersion) -> Days:
    """The version, ready for questions."""
    return Days(Calendar.model_validate(row.calendar))


async def list_(session: AsyncSession, *, page: PageRequest) -> Listing[CalendarVersion]:
    """The newest version of each calendar, by code."""
    return await paginate(
        session,
        select(CalendarVersion).where(_NEWEST),
        [Key(CalendarVersion.code)],
        page=page,
    )


async def list_versions(session: AsyncSession, code: str, *, page: PageRequest) -> Listing[CalendarVersion]:
    """Every version of the calendar, the newest first; raises CalendarNotFound."""
    await get(session, code)
    return await paginate(
        session,
        select(CalendarVersion).where(CalendarVersion.code == code),
        [Key(CalendarVersion.version, descending=True)],
        page=page,
        filters=code,
    )


async def put(
    session: AsyncSession,
    code: str,
    calendar: Calendar,
    *,
    if_match: str | None,
    if_none_match: str | None,
    at: datetime,
    by: str,
) -> CalendarVersion:
    """Write the next version over the one that the caller has seen, or the first with `If-None-Match: *`.

    Raises IfMatchMissing, StaleVersion.
    """
    current = await find(session, code)
    written = await versions.write(
        session,
        CalendarVersion,
        {"code": code, "calendar": calendar.model_dump(mode="json")},
        over=current.version if current else None,
        if_match=if_match,
        if_none_match=if_none_match,
        at=at,
        by=by,
    )
    publish(session, CalendarChanged(code=code, version=written.version, calendar=calendar), at=at)
    return written


async def walk(session: AsyncSession) -> AsyncIterator[Event]:
    """Every calendar as it is now."""
    for row in await session.scalars(select(CalendarVersion).where(_NEWEST).order_by(CalendarVersion.code)):
        yield CalendarChanged(
            code=row.code, version=row.version, calendar=Calendar.model_validate(row.calendar)
        )
