"""Whom a plan reaches on a day: its trigger and its audience as one question to the database."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    Select,
    Text,
    Uuid,
    and_,
    exists,
    func,
    literal,
    null,
    or_,
    select,
    type_coerce,
)
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import InstrumentedAttribute, aliased

from crm_loyalty.earning import memberships
from crm_loyalty.models.care import Addressee, CareOccasion
from crm_loyalty.models.purchases import Member, Purchase
from crm_loyalty.models.tiers import TierChange, TierStanding
from crm_loyalty.rules import care
from crm_loyalty.rules.tiers import Ladder
from crm_loyalty.schemas.care_plans import (
    AnniversaryTrigger,
    AudienceIn,
    BirthdayTrigger,
    DateTrigger,
    HolidayTrigger,
    InactivityTrigger,
    PlanOut,
    TierTrigger,
)
from crm_loyalty.tiers import ladders
from crm_shared import calendar_copies
from crm_shared.contracts.calendars import BirthdayPolicy
from crm_shared.customers import CustomerAlias

_DAY = timedelta(days=1)

_id = Addressee.origin_customer_id
_SOMEBODY = ~exists().where(CustomerAlias.absorbed == _id)
"""Nobody else today; put like this the planner knows that nearly all are, and walks by id as far as asked."""

Question = Select[UUID, str | None, str | None, datetime | None, UUID | None]


class _Match(NamedTuple):
    """A row of a question: `at` and `cause` of triggers that are about something that happened."""

    customer_id: UUID
    time_zone: str | None
    birthday: str | None
    at: datetime | None
    cause: UUID | None


@dataclass(frozen=True, slots=True)
class Candidate:
    """Somebody whom a plan reaches, on which day of theirs, and what it happens once for."""

    customer_id: UUID
    zone: ZoneInfo
    cycle: str
    day: date


@dataclass(frozen=True, slots=True)
class Found:
    """A part of whom a plan reaches; `last` is where the next one begins, None: there is none."""

    candidates: Sequence[Candidate]
    last: UUID | None


async def find(
    session: AsyncSession,
    plan: PlanOut,
    day: date,
    *,
    default_zone: str,
    limit: int,
    after: UUID | None = None,
    unplanned: bool = False,
) -> Found:
    """Whom the plan reaches on this day of theirs, by customer id; `unplanned`: who has no occasion then."""
    question = await _question(session, plan, day)
    if question is None:
        return Found([], None)
    question = _for(question, plan.audience).order_by(_id).limit(limit)
    if after is not None:
        question = question.where(_id > after)
    if unplanned:
        question = question.where(
            ~exists().where(
                CareOccasion.customer_id == _id,
                CareOccasion.plan_key == plan.key,
                CareOccasion.day == day,
            )
        )
    rows = (await session.execute(question)).all()
    made = [_candidate(plan, day, _Match(*row), ZoneInfo(row[1] or default_zone)) for row in rows]
    return Found([each for each in made if each], rows[-1][0] if len(rows) == limit else None)


async def still_reached(
    session: AsyncSession, plan: PlanOut, day: date, owners: Collection[UUID]
) -> set[UUID]:
    """Whom of these the plan reaches on this day by what is known now."""
    question = await _question(session, plan, day)
    if question is None:
        return set()
    mine = _id == func.any(literal(sorted(owners), ARRAY(Uuid)))
    return {row[0] for row in await session.execute(_for(question, plan.audience).where(mine))}


def celebrated(plan: PlanOut, day: date) -> date:
    """The day that it is about, which may lie before or after the one on which something happens."""
    trigger = plan.trigger
    if isinstance(trigger, BirthdayTrigger | HolidayTrigger | AnniversaryTrigger):
        return day - trigger.days * _DAY
    return day


async def _question(session: AsyncSession, plan: PlanOut, day: date) -> Question | None:
    """The trigger's part; None: nobody that day."""
    trigger, about = plan.trigger, celebrated(plan, day)
    never = type_coerce(null(), Purchase.occurred_at.type).label("at")
    nothing = type_coerce(null(), Uuid()).label("cause")
    people = select(_id, Addressee.time_zone, Addressee.birthday, never, nothing).where(_SOMEBODY)
    match trigger:
        case BirthdayTrigger():
            return people.where(_any(Addressee.birthday, care.keys_on(about, trigger.birthdays)))
        case AnniversaryTrigger():
            return people.where(
                _any(Addressee.joined_day, care.keys_on(about, BirthdayPolicy())),
                func.extract("year", Addressee.joined_on) < about.year,
            )
        case HolidayTrigger():
            return people if await _begins(session, trigger, about) else None
        case DateTrigger():
            return people if trigger.on == day else None
        case InactivityTrigger():
            return _inactive(day - trigger.days * _DAY)
        case TierTrigger():
            return _risen(trigger, await ladders.in_force(session), day)


def _inactive(day: date) -> Question:
    newer = aliased(Purchase)
    later = exists().where(
        newer.customer_id == Purchase.customer_id, newer.occurred_at > Purchase.occurred_at
    )
    return (
        select(
            _id,
            Addressee.time_zone,
            Addressee.birthday,
            Purchase.occurred_at,
            Purchase.purchase_id,
        )
        .join(Purchase, Purchase.customer_id == _id)
        .where(
            _SOMEBODY,
            Purchase.occurred_at >= care.earliest_start(day),
            Purchase.occurred_at < care.latest_end(day),
            ~later,
        )
    )


def _risen(trigger: TierTrigger, ladder: Ladder | None, day: date) -> Question:
    """Who came to the tier from below, by the ladder in force: to lose a higher one is no occasion."""
    risen = []
    for tier in trigger.tiers:
        place = ladder.rank(tier) if ladder else 0
        above = [each.key for each in ladder.tiers[place - 1 :]] if ladder and place else []
        below = or_(TierChange.previous.is_(None), TierChange.previous.not_in(above))
        risen.append(and_(TierChange.tier == tier, TierChange.previous.is_distinct_from(tier), below))
    return (
        select(_id, Addressee.time_zone, Addressee.birthday, TierChange.at, TierChange.id)
        .join(TierChange, TierChange.customer_id == _id)
        .where(
            _SOMEBODY,
            TierChange.at >= care.earliest_start(day),
            TierChange.at < care.latest_end(day),
            or_(*risen),
        )
    )


def _for(question: Question, audience: AudienceIn) -> Question:
    """The audience's part."""
    if audience.regions:
        question = question.where(_any(Addressee.region, audience.regions))
    if audience.languages:
        # Who speaks es-MX belongs to who speaks es.
        speaks = [Addressee.language == tag for tag in audience.languages]
        speaks += [Addressee.language.startswith(f"{tag}-", autoescape=True) for tag in audience.languages]
        question = question.where(or_(*speaks))
    if audience.tags:
        question = question.where(Addressee.tags.has_any(literal(audience.tags, ARRAY(Text))))
    if audience.levels:
        of_level = exists().where(Member.customer_id == _id, Member.level.in_(audience.levels))
        question = question.where(of_level)
    if audience.tiers:
        of_tier = exists().where(
            TierStanding.origin_customer_id == _id,
            TierStanding.counts.in_(audience.tiers),
        )
        question = question.where(of_tier)
    return question.where(*memberships.hold(Addressee.customer_id, audience.segments.condition()))


def _candidate(plan: PlanOut, day: date, found: _Match, zone: ZoneInfo) -> Candidate | None:
    """None: what happened was another day, by the customer's clock."""
    about = celebrated(plan, day)
    cycle = about.isoformat()
    match plan.trigger:
        case BirthdayTrigger():
            cycle = care.birthday_cycle(found.birthday or "", about)
        case AnniversaryTrigger():
            cycle = str(about.year)
        case InactivityTrigger(days=days):
            if found.at is None or found.at.astimezone(zone).date() != day - days * _DAY:
                return None
            cycle = str(found.cause)
        case TierTrigger():
            if found.at is None or found.at.astimezone(zone).date() != day:
                return None
            cycle = str(found.cause)
    return Candidate(found.customer_id, zone, cycle, day)


async def _begins(session: AsyncSession, trigger: HolidayTrigger, day: date) -> bool:
    """Whether the holiday begins that day: one of several days is celebrated on its first."""
    days = await calendar_copies.find(session, trigger.calendar)
    if days is None:
        return False
    today, before = ({each.holiday.key for each in days.day(on).holidays} for on in (day, day - _DAY))
    return trigger.holiday in today and trigger.holiday not in before


def _any(column: InstrumentedAttribute[str | None], values: Sequence[str]) -> ColumnElement[bool]:
    return column == func.any(literal(list(values), ARRAY(Text)))
