"""Care plans as data: a change is a new version, and the newest one of each key is in force."""

from collections.abc import Collection
from datetime import datetime
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from crm_loyalty.care import templates
from crm_loyalty.coupons import series
from crm_loyalty.errors import CarePlanNotFound, CareReferenceUnknown, HolidayUnknown
from crm_loyalty.models.care import CarePlan, CareSchedule
from crm_loyalty.schemas.care_plans import HolidayTrigger, PlanIn, PlanOut
from crm_shared import calendar_copies, due, permission_copies, versions
from crm_shared.pages import Key, Listing, PageRequest, paginate

PLANNING = "care_planning"
"""The kind of due work by which plans find whom they reach."""

_NEWEST = versions.newest(CarePlan.key, CarePlan.version)


async def find(session: AsyncSession, key: str) -> CarePlan | None:
    return await session.scalar(select(CarePlan).where(CarePlan.key == key, _NEWEST))


async def get(session: AsyncSession, key: str) -> CarePlan:
    """The newest version; raises CarePlanNotFound."""
    plan = await find(session, key)
    if plan is None:
        raise CarePlanNotFound(key=key)
    return plan


async def named(session: AsyncSession, keys: Collection[str]) -> list[PlanOut]:
    """The newest versions of these, by key."""
    rows = select(CarePlan).where(CarePlan.key.in_(keys), _NEWEST).order_by(CarePlan.key)
    return [PlanOut.model_validate(row) for row in await session.scalars(rows)]


async def list_(session: AsyncSession, *, page: PageRequest) -> Listing[CarePlan]:
    """The newest version of each plan, by key."""
    statement = select(CarePlan).where(_NEWEST)
    return await paginate(session, statement, [Key(CarePlan.key)], page=page)


async def put(
    session: AsyncSession,
    key: str,
    body: PlanIn,
    *,
    if_match: str | None,
    if_none_match: str | None,
    at: datetime,
    by: str,
) -> CarePlan:
    """Write the next version, and look at once whom it reaches.

    Raises IfMatchMissing, StaleVersion, HolidayUnknown, CareReferenceUnknown.
    """
    current = await find(session, key)
    await _know_references(session, body)
    values = body.model_dump(mode="json") | {"names": body.names.model_dump(exclude_none=True)}
    written = await versions.write(
        session,
        CarePlan,
        {"key": key, **values},
        over=current.version if current else None,
        if_match=if_match,
        if_none_match=if_none_match,
        at=at,
        by=by,
    )
    await due.schedule(session, PLANNING, {await _schedule_id(session, key): at})
    return written


async def _schedule_id(session: AsyncSession, key: str) -> UUID:
    """By which due work knows the plan, whose days are looked through from the beginning."""
    begun = insert(CareSchedule).values(key=key)
    anew = begun.on_conflict_do_update(
        index_elements=[CareSchedule.key], set_={"walking_on": None, "walked_to": None}
    )
    return (await session.scalars(anew.returning(CareSchedule.id))).one()


async def _know_references(session: AsyncSession, body: PlanIn) -> None:
    if isinstance(body.trigger, HolidayTrigger):
        days = await calendar_copies.find(session, body.trigger.calendar)
        if days is None or body.trigger.holiday not in {each.key for each in days.calendar.holidays}:
            raise _wrong(HolidayUnknown, "Its calendar has no such holiday.", "/trigger/holiday")
    if message := body.action.message:
        if not await templates.speaks(session, message.template, message.by):
            detail = "There is no such template with texts for this channel."
            raise _wrong(CareReferenceUnknown, detail, "/action/message/template")
        policy = await permission_copies.current_policy(session)
        if message.purpose not in policy.purposes:
            detail = "The contact policy has no such purpose."
            raise _wrong(CareReferenceUnknown, detail, "/action/message/purpose")
    if body.action.coupon and await series.find(session, body.action.coupon) is None:
        raise _wrong(CareReferenceUnknown, "There is no such coupon series.", "/action/coupon")


def _wrong(
    problem: type[HolidayUnknown] | type[CareReferenceUnknown], detail: str, pointer: str
) -> HolidayUnknown | CareReferenceUnknown:
    code = "holiday_unknown" if problem is HolidayUnknown else "reference_unknown"
    return problem(detail, errors=[{"pointer": pointer, "code": code, "message": detail}])
