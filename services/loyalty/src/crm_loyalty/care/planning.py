"""Planning: who is reached, written down once per customer and cycle, and done as due work of its own."""

from collections.abc import Collection, Sequence
from datetime import date, datetime, timedelta
from uuid import UUID

from sqlalchemy import exists, literal, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from crm_loyalty.care import candidates, plans
from crm_loyalty.care.candidates import Candidate
from crm_loyalty.care.occasions import OCCASION
from crm_loyalty.models.care import CareOccasion, CareSchedule, OccasionState
from crm_loyalty.rules import care
from crm_loyalty.schemas.care_plans import DateTrigger, HolidayTrigger, PlanOut
from crm_shared import customers, due, permission_copies
from crm_shared.database import rows_of
from crm_shared.ids import uuid7

EVERY = timedelta(minutes=10)
"""Who becomes known, or buys, on the day itself is found within this time."""

EVERY_FOR_ALL = timedelta(hours=1)
"""The same where the day is everybody's, so that all are looked through each time."""

_AT_ONCE = timedelta(milliseconds=1)
_PAGE = 10_000
_DAY = timedelta(days=1)
_TABLE = CareOccasion.metadata.tables[CareOccasion.__tablename__]


async def plan(session: AsyncSession, schedule_ids: Collection[UUID], *, at: datetime) -> None:
    """Look whom these plans reach on the days that have begun somewhere, and when to look again.

    Days that nobody looked at because no worker ran are made up for as long as the plan is patient.
    """
    await customers.stop_merges(session)
    rows = await session.scalars(
        select(CareSchedule)
        .where(CareSchedule.id.in_(schedule_ids))
        .order_by(CareSchedule.key)
        .with_for_update(),
        execution_options={"populate_existing": True},
    )
    schedules = {row.key: row for row in rows}
    again: dict[UUID, datetime] = {}
    default_zone = (await permission_copies.current_policy(session)).time_zone
    for each in await plans.named(session, schedules.keys()):
        if each.active:
            schedule = schedules[each.key]
            whole = await _walk(session, each, schedule, default_zone, at=at)
            again[schedule.id] = at + (_every(each) if whole else _AT_ONCE)
    await due.schedule(session, plans.PLANNING, again)


async def _walk(
    session: AsyncSession, plan: PlanOut, schedule: CareSchedule, default_zone: str, *, at: datetime
) -> bool:
    """Go on where the last transaction stopped; False: there is more, which is left to the next one."""
    for day in _days(plan, schedule.planned_on, at):
        goes_on = schedule.walking_on == day
        if schedule.walking_on and day < schedule.walking_on:
            continue
        after = await _plan_day(
            session, plan, day, default_zone, after=schedule.walked_to if goes_on else None, at=at
        )
        if after is not None:
            schedule.walking_on, schedule.walked_to = day, after
            return False
    schedule.walking_on = schedule.walked_to = None
    schedule.planned_on = care.days_begun(at)[0]
    return True


def _every(plan: PlanOut) -> timedelta:
    return EVERY_FOR_ALL if isinstance(plan.trigger, HolidayTrigger | DateTrigger) else EVERY


def _days(plan: PlanOut, planned_on: date | None, at: datetime) -> Sequence[date]:
    begun = care.days_begun(at)
    missed = (begun[0] - planned_on).days if planned_on else 0
    late = min(max(missed, 0), plan.patience_days)
    return [begun[0] - number * _DAY for number in range(late, 0, -1)] + begun


async def _plan_day(
    session: AsyncSession, plan: PlanOut, day: date, default_zone: str, *, after: UUID | None, at: datetime
) -> UUID | None:
    """Write down whom the plan reaches that day; where to go on, as not too many are written at once."""
    while True:
        found = await candidates.find(
            session, plan, day, default_zone=default_zone, limit=_PAGE, after=after, unplanned=True
        )
        written = await _write(session, plan, found.candidates, at=at)
        after = found.last
        if after is None or written:
            return after


async def _write(session: AsyncSession, plan: PlanOut, reached: Sequence[Candidate], *, at: datetime) -> int:
    """The occasions of those who have none in their cycle, each due when their day's window opens."""
    if not reached:
        return 0
    opening = {
        place: care.opens_at(place[0], plan.window_start, place[1])
        for place in {(one.day, one.zone) for one in reached}
    }
    ending = {place: care.gives_up_at(place[0], plan.patience_days, place[1]) for place in opening}
    places = [(one.day, one.zone) for one in reached]
    rows = rows_of(
        {
            CareOccasion.id: [uuid7() for _ in reached],
            CareOccasion.customer_id: [one.customer_id for one in reached],
            CareOccasion.origin_customer_id: [one.customer_id for one in reached],
            CareOccasion.cycle: [one.cycle for one in reached],
            CareOccasion.day: [one.day for one in reached],
            CareOccasion.act_at: [max(opening[place], at) for place in places],
            CareOccasion.give_up_at: [ending[place] for place in places],
        }
    )
    same = {"plan_key": plan.key, "state": OccasionState.PLANNED, "planned_at": at}
    # Who was merged has the occasions of both: these too count as thought of.
    known = exists().where(
        CareOccasion.customer_id == rows.c.customer_id,
        CareOccasion.plan_key == plan.key,
        CareOccasion.cycle == rows.c.cycle,
    )
    statement = insert(_TABLE).from_select(
        [*(column.name for column in rows.c), *same],
        select(rows, *(literal(value, _TABLE.c[name].type) for name, value in same.items()))
        .where(~known)
        .order_by(rows.c.customer_id),
    )
    made = await session.execute(statement.on_conflict_do_nothing().returning(_TABLE.c.id, _TABLE.c.act_at))
    instants: dict[UUID, datetime] = {row.id: row.act_at for row in made}
    await due.schedule(session, OCCASION, instants)
    return len(instants)
