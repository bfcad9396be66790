"""Acting: what is due is judged, and done, put off, held or skipped, all in one transaction."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from uuid import UUID

from sqlalchemy import delete, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from crm_loyalty.care import addressees, candidates, judging, letters, plans, templates
from crm_loyalty.care.judging import Case, Outcome, Verdict
from crm_loyalty.care.letters import Gifts, Links
from crm_loyalty.care.occasions import OCCASION
from crm_loyalty.coupons import holdings, series
from crm_loyalty.ledger import accounts, ledger
from crm_loyalty.models.care import CareOccasion, CareSchedule, OccasionState
from crm_loyalty.models.coupons import Coupon
from crm_loyalty.models.messages import Message
from crm_loyalty.postings import CARE, Earn
from crm_loyalty.schemas.care_plans import PlanOut
from crm_loyalty.tiers import standings
from crm_shared import customers, due, permission_copies
from crm_shared.contracts.permissions import ConsentNeeded, ContactPolicy

_MOMENT = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Means:
    """What acting needs of the settings."""

    links: Links
    coupon_key: bytes


Rows = Mapping[UUID, CareOccasion]
"""By customer: those of a plan that are done together belong to different ones."""


async def act(session: AsyncSession, occasion_ids: Sequence[UUID], means: Means, *, at: datetime) -> None:
    """Let these occasions happen; of each customer one at a time, so that caps count the one before."""
    await customers.stop_merges(session)
    rows = await session.scalars(
        select(CareOccasion)
        .where(
            CareOccasion.id.in_(occasion_ids),
            CareOccasion.state.in_([OccasionState.PLANNED, OccasionState.HELD]),
        )
        .order_by(CareOccasion.id)
        .with_for_update(),
        execution_options={"populate_existing": True},
    )
    turn: dict[UUID, CareOccasion] = {}
    later: dict[UUID, datetime] = {}
    for row in rows:
        if turn.setdefault(row.customer_id, row) is not row:
            later[row.id] = at + _MOMENT
    of_plan: dict[str, dict[UUID, CareOccasion]] = {}
    for row in turn.values():
        of_plan.setdefault(row.plan_key, {})[row.customer_id] = row
    found = await plans.named(session, of_plan)
    await _lock(session, [(plan, of_plan[plan.key]) for plan in found], at=at)
    for plan in found:
        later |= await _act_by(session, plan, of_plan[plan.key], means, at=at)
    await due.schedule(session, OCCASION, later)


async def _lock(session: AsyncSession, parts: Sequence[tuple[PlanOut, Rows]], *, at: datetime) -> None:
    """Whoever is given or written to, for all plans at once, so that two workers do not wait in a circle.

    Accounts before permissions, as all who need both.
    """
    if giving := {who for plan, rows in parts if plan.action.points for who in rows}:
        await accounts.open_(session, giving, at=at)
        await accounts.lock(session, giving)
    await permission_copies.lock(
        session, {who for plan, rows in parts if plan.action.message for who in rows}
    )


async def _act_by(
    session: AsyncSession, plan: PlanOut, rows: Rows, means: Means, *, at: datetime
) -> dict[UUID, datetime]:
    """Judge the plan's occasions and do what is allowed; says when which are looked at again."""
    cases = [
        Case(row.id, row.customer_id, row.cycle, row.day, row.give_up_at, row.state is OccasionState.HELD)
        for row in rows.values()
    ]
    verdicts = await judging.judge(session, plan, cases, at=at)
    verdicts = await _without_unreached(session, plan, rows, verdicts)
    allowed = [verdict.case for verdict in verdicts if verdict.outcome is Outcome.ACT]
    left = await _left_of_budget(session, plan)
    affordable = allowed if left is None else allowed[:left]
    reasons = {case.customer_id: "budget" for case in allowed[len(affordable) :]}
    reasons |= await _do(session, plan, affordable, rows, means, at=at)
    again: dict[UUID, datetime] = {}
    for verdict in verdicts:
        row = rows[verdict.case.customer_id]
        if row.state is OccasionState.DONE:
            continue
        row.reason = reasons.get(row.customer_id, verdict.reason)
        if verdict.outcome is Outcome.HOLD:
            row.state, again[row.id] = OccasionState.HELD, min(at + judging.LOOK_AGAIN, row.give_up_at)
        elif verdict.outcome is Outcome.POSTPONE and verdict.at:
            row.act_at = again[row.id] = verdict.at
        else:
            row.state, row.settled_at, row.plan_version = OccasionState.SKIPPED, at, plan.version
    await session.flush()
    return again


async def _without_unreached(
    session: AsyncSession, plan: PlanOut, rows: Rows, verdicts: Sequence[Verdict]
) -> list[Verdict]:
    """Forget the occasions of whom the plan does not reach any more: theirs may come on another day.

    Since they were planned a birthday was corrected, a tag was taken away, or the plan was written anew.
    """
    days: dict[date, list[UUID]] = {}
    for each in verdicts:
        if each.outcome is not Outcome.SKIP:
            days.setdefault(each.case.day, []).append(each.case.customer_id)
    reached = {day: await candidates.still_reached(session, plan, day, who) for day, who in days.items()}
    unreached = {who for day, asked in days.items() for who in asked if who not in reached[day]}
    if unreached:
        ids = [rows[who].id for who in unreached]
        await session.execute(delete(CareOccasion).where(CareOccasion.id.in_(ids)))
    return [each for each in verdicts if each.case.customer_id not in unreached]


async def _do(
    session: AsyncSession, plan: PlanOut, cases: Sequence[Case], rows: Rows, means: Means, *, at: datetime
) -> dict[UUID, str]:
    """Give and write; says whose occasions could not be done, and why."""
    coupons, refused = await _issue(session, plan, [case.customer_id for case in cases], means, at=at)
    possible = [case for case in cases if case.customer_id not in refused]
    if not possible:
        return refused
    messages = await _write(session, plan, possible, coupons, means, at=at)
    for case in possible:
        row = rows[case.customer_id]
        row.state, row.reason, row.settled_at = OccasionState.DONE, None, at
        row.act_at, row.plan_version, row.points = at, plan.version, plan.action.points
        if message := messages.get(case.customer_id):
            row.message_id = message.id
        if coupon := coupons.get(case.customer_id):
            row.coupon_id = coupon.id
    await _queue(session, list(messages.values()), at=at)
    await _give(session, plan, possible, at=at)
    await session.execute(
        update(CareSchedule)
        .where(CareSchedule.key == plan.key)
        .values(done=CareSchedule.done + len(possible))
        .execution_options(synchronize_session=False)
    )
    return refused


async def _write(
    session: AsyncSession,
    plan: PlanOut,
    cases: Sequence[Case],
    coupons: Mapping[UUID, Coupon],
    means: Means,
    *,
    at: datetime,
) -> dict[UUID, Message]:
    """The message to each, by customer; none where the plan only gives."""
    if plan.action.message is None:
        return {}
    who = [case.customer_id for case in cases]
    people = await addressees.find(session, who)
    tiers = await standings.current(session, who)
    links = await _links(session, plan, who, means)
    template = await templates.get(session, plan.action.message.template)
    written: dict[UUID, Message] = {}
    for case in cases:
        id, coupon = case.customer_id, coupons.get(case.customer_id)
        code = holdings.code(coupon, means.coupon_key) if coupon else None
        gifts = Gifts(plan.action.points, code, tiers.get(id))
        message = letters.write(plan, case, people[id], template, gifts, links.get(id), at=at)
        if message is not None:
            written[id] = message
    return written


async def _queue(session: AsyncSession, messages: Sequence[Message], *, at: datetime) -> None:
    """They go out once this transaction ends, and count for caps from now on."""
    session.add_all(messages)
    await session.flush()
    await permission_copies.count_messages(
        session,
        [
            permission_copies.Message(each.id, each.customer_id, each.purpose, each.channel, at)
            for each in messages
        ],
        at=at,
    )


async def _give(session: AsyncSession, plan: PlanOut, cases: Sequence[Case], *, at: datetime) -> None:
    if not plan.action.points:
        return
    postings = [
        Earn(
            customer_id=case.customer_id,
            source=CARE,
            reference=str(case.id),
            effective_at=at,
            points=plan.action.points,
        )
        for case in cases
    ]
    for verdict in await ledger.post(session, postings, at=at):
        verdict.accepted()


async def _issue(
    session: AsyncSession, plan: PlanOut, who: Sequence[UUID], means: Means, *, at: datetime
) -> tuple[dict[UUID, Coupon], dict[UUID, str]]:
    """A coupon for each as far as there are any, and why others get none."""
    if plan.action.coupon is None or not who:
        return {}, {}
    terms = await series.get(session, plan.action.coupon)
    if not terms.active:
        return {}, dict.fromkeys(who, "coupon_suspended")
    left = await series.left(session, terms)
    lucky = who if left is None else who[:left]
    coupons = await series.issue_to(session, terms, lucky, key=means.coupon_key, at=at) if lucky else []
    return dict(zip(lucky, coupons, strict=True)), dict.fromkeys(who[len(lucky) :], "coupon_limit")


async def _links(
    session: AsyncSession, plan: PlanOut, who: Sequence[UUID], means: Means
) -> Mapping[UUID, str]:
    """The links by which they withdraw, where the purpose needs a consent that can be withdrawn."""
    action = plan.action.message
    policy: ContactPolicy = await permission_copies.current_policy(session)
    rule = policy.purposes.get(action.purpose) if action else None
    if action is None or rule is None or rule.consent is ConsentNeeded.NOTHING:
        return {}
    return {each: means.links.unsubscribe(each, action) for each in who}


async def _left_of_budget(session: AsyncSession, plan: PlanOut) -> int | None:
    if plan.budget is None:
        return None
    statement = select(CareSchedule.done).where(CareSchedule.key == plan.key).with_for_update()
    return max(plan.budget - (await session.scalars(statement)).one(), 0)
