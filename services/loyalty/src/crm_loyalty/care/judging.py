"""May a plan's action happen to a customer now: one answer, for what is done and for what is only tried."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import func, select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

from crm_loyalty.care import addressees, complaints, templates
from crm_loyalty.models.care import Addressee, AfterComplaint, CareOccasion, OccasionState
from crm_loyalty.models.messages import Message
from crm_loyalty.models.purchases import Purchase
from crm_loyalty.rules import care
from crm_loyalty.schemas.care_plans import InactivityTrigger, PlanOut
from crm_shared import permission_copies
from crm_shared.permissions import ContactChannel, Decision

LOOK_AGAIN = timedelta(hours=1)
"""How often what a complaint holds back is looked at, should nobody tell of the complaint's end."""


class Outcome(StrEnum):
    """What is to become of an occasion."""

    ACT = "act"
    POSTPONE = "postpone"
    HOLD = "hold"
    SKIP = "skip"


@dataclass(frozen=True, slots=True)
class Case:
    """An occasion that is looked at; `id` None: one that is only imagined."""

    id: UUID | None
    customer_id: UUID
    cycle: str
    day: date
    give_up_at: datetime
    held: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of the case and why; `at`: when it is looked at again."""

    case: Case
    outcome: Outcome
    reason: str | None = None
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class _Facts:
    people: Mapping[UUID, Addressee]
    complaining: Collection[UUID]
    twins: Collection[tuple[UUID, str]]
    """Customers and cycles that another occasion has."""
    done: Mapping[tuple[UUID, int], int]
    """How often in a year."""
    bought_on: Mapping[UUID, datetime]
    """The newest purchase, where that matters."""
    decisions: Mapping[UUID, Decision]
    default_zone: str
    has_text: bool
    """Whether the template has texts for the message's channel."""


async def judge(
    session: AsyncSession, plan: PlanOut, cases: Sequence[Case], *, at: datetime
) -> list[Verdict]:
    """A verdict on each case, whose customers are different ones; in a transaction that stops merges."""
    facts = await _facts(session, plan, cases, at)
    return [_verdict(plan, case, facts, at) for case in cases]


@dataclass(frozen=True, slots=True)
class Obstacle:
    """What keeps a message back that had been decided; `until` None: for ever."""

    reason: str
    until: datetime | None


async def obstacles(
    session: AsyncSession, messages: Sequence[Message], *, at: datetime
) -> Mapping[UUID, Obstacle]:
    """Which of these messages may not go out now, though they were allowed when they were written."""
    found: dict[UUID, Obstacle] = {}
    await permission_copies.lock(session, {message.customer_id for message in messages})
    ids = [message.id for message in messages]
    kinds = sorted({(message.purpose, message.channel) for message in messages})
    for purpose, channel in kinds:
        owners = {each.customer_id for each in messages if (each.purpose, each.channel) == (purpose, channel)}
        decisions = await permission_copies.may_write(
            session, owners, purpose=purpose, channel=channel, at=at, besides=ids
        )
        for message in messages:
            if (message.purpose, message.channel) == (purpose, channel):
                decision = decisions[message.customer_id]
                if not decision.allowed:
                    found[message.id] = Obstacle(decision.refusals[0].reason, decision.next_at)
    complaining = await complaints.complaining(session, {message.customer_id for message in messages})
    for message in messages:
        if message.customer_id in complaining and message.id not in found:
            found[message.id] = Obstacle("severe_complaint", at + LOOK_AGAIN)
    return found


def address_of(person: Addressee, channel: ContactChannel) -> str | None:
    return person.email if channel is ContactChannel.EMAIL else person.phone


def _verdict(plan: PlanOut, case: Case, facts: _Facts, at: datetime) -> Verdict:
    person = facts.people.get(case.customer_id)
    if person is None:
        return Verdict(case, Outcome.SKIP, "customer_unknown")
    zone = ZoneInfo(person.time_zone or facts.default_zone)
    if reason := _never(plan, case, facts, person, zone, at):
        return Verdict(case, Outcome.SKIP, reason)
    if case.customer_id in facts.complaining:
        return Verdict(case, Outcome.HOLD, "severe_complaint")
    if case.held and plan.after_complaint is AfterComplaint.DROP:
        return Verdict(case, Outcome.SKIP, "severe_complaint")
    opens = care.next_open(at, plan.window_start, plan.window_end, zone)
    reason = "send_window"
    if decision := facts.decisions.get(case.customer_id):
        if decision.next_at is None:
            return Verdict(case, Outcome.SKIP, decision.refusals[0].reason)
        if not decision.allowed:
            reason = decision.refusals[0].reason
            opens = care.next_open(decision.next_at, plan.window_start, plan.window_end, zone)
    if opens >= case.give_up_at:
        return Verdict(case, Outcome.SKIP, reason)
    if opens > at:
        return Verdict(case, Outcome.POSTPONE, reason, opens)
    return Verdict(case, Outcome.ACT, at=at)


def _never(
    plan: PlanOut, case: Case, facts: _Facts, person: Addressee, zone: ZoneInfo, at: datetime
) -> str | None:
    """Why it does not happen, now or later."""
    if not plan.active:
        return "plan_inactive"
    if at >= case.give_up_at:
        return "too_late"
    if (case.customer_id, case.cycle) in facts.twins:
        return "already"
    if isinstance(plan.trigger, InactivityTrigger):
        bought = facts.bought_on.get(case.customer_id)
        if bought and (case.day - bought.astimezone(zone).date()).days < plan.trigger.days:
            return "bought_since"
    if plan.max_per_year and facts.done.get((case.customer_id, case.day.year), 0) >= plan.max_per_year:
        return "yearly_cap"
    if plan.action.message and address_of(person, plan.action.message.by) is None:
        return "no_address"
    return None if facts.has_text else "no_text"


async def _facts(session: AsyncSession, plan: PlanOut, cases: Sequence[Case], at: datetime) -> _Facts:
    owners = sorted({case.customer_id for case in cases})
    people = await addressees.find(session, owners)
    bought_on: dict[UUID, datetime] = {}
    if isinstance(plan.trigger, InactivityTrigger):
        newest = select(Purchase.customer_id, func.max(Purchase.occurred_at)).where(
            Purchase.customer_id.in_(owners)
        )
        bought_on = {who: when for who, when in await session.execute(newest.group_by(Purchase.customer_id))}
    decisions: Mapping[UUID, Decision] = {}
    if message := plan.action.message:
        decisions = await permission_copies.may_write(
            session, owners, purpose=message.purpose, channel=message.channel, at=at
        )
    return _Facts(
        people=people,
        complaining=await complaints.complaining(session, owners),
        twins=await _twins(session, plan, cases),
        done=await _done(session, plan, owners) if plan.max_per_year else {},
        bought_on=bought_on,
        decisions=decisions,
        default_zone=(await permission_copies.current_policy(session)).time_zone,
        has_text=message is None or await templates.speaks(session, message.template, message.by),
    )


async def _twins(session: AsyncSession, plan: PlanOut, cases: Sequence[Case]) -> set[tuple[UUID, str]]:
    """Of two that a merge has brought together the one that was done counts, else the earlier one."""
    ours = {(case.customer_id, case.cycle): case.id for case in cases}
    others = await session.execute(
        select(CareOccasion.id, CareOccasion.customer_id, CareOccasion.cycle, CareOccasion.state).where(
            CareOccasion.plan_key == plan.key,
            tuple_(CareOccasion.customer_id, CareOccasion.cycle).in_(sorted(ours)),
            CareOccasion.state != OccasionState.SKIPPED,
        )
    )
    twins = set()
    for row in others:
        mine = ours[row.customer_id, row.cycle]
        if mine is None or (row.id != mine and (row.state is OccasionState.DONE or row.id < mine)):
            twins.add((row.customer_id, row.cycle))
    return twins


async def _done(session: AsyncSession, plan: PlanOut, owners: Sequence[UUID]) -> dict[tuple[UUID, int], int]:
    year = func.extract("year", CareOccasion.day)
    rows = await session.execute(
        select(CareOccasion.customer_id, year, func.count())
        .where(
            CareOccasion.plan_key == plan.key,
            CareOccasion.customer_id.in_(owners),
            CareOccasion.state == OccasionState.DONE,
        )
        .group_by(CareOccasion.customer_id, year)
    )
    return {(who, int(when)): count for who, when, count in rows}
