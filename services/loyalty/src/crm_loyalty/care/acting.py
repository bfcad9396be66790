"""Acting: what is due is judged, and done, put off, held or skipped, all in one transaction."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from crm_loyalty.care import addressees, judging, letters, plans, templates
from crm_loyalty.care.complaints import OCCASION
from crm_loyalty.care.judging import Case, Outcome
from crm_loyalty.care.letters import Gifts, Links
from crm_loyalty.coupons import holdings, series
from crm_loyalty.errors import CouponSuspended, IssueLimitReached
from crm_loyalty.ledger import accounts, ledger
from crm_loyalty.models.care import CareOccasion, CareSchedule, OccasionState
from crm_loyalty.models.coupons import Coupon
from crm_loyalty.models.messages import Message
from crm_loyalty.postings import Earn
from crm_loyalty.schemas.care_plans import PlanOut
from crm_loyalty.tiers import standings
from crm_shared import customers, due, permission_copies
from crm_shared.contracts.permissions import ConsentNeeded, ContactPolicy
from crm_shared.problems import Problem

SOURCE = "care"
"""Of postings that care makes; the occasion is their reference."""
LOOK_AGAIN = timedelta(hours=1)
"""How often what a complaint holds back is looked at, should nobody tell of the complaint's end."""

_MOMENT = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Means:
    """What acting needs of the settings."""

    links: Links
    coupon_key: bytes


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
        of_plan.setdefault(row.plan_key, {})[row.id] = row
    for plan in await plans.named(session, of_plan):
        later |= await _act_by(session, plan, of_plan[plan.key], means, at=at)
    await due.schedule(session, OCCASION, later)


async def _act_by(
    session: AsyncSession, plan: PlanOut, rows: Mapping[UUID, CareOccasion], means: Means, *, at: datetime
) -> dict[UUID, datetime]:
    """Judge the plan's occasions and do what is allowed; says when which are looked at again."""
    owners = [row.customer_id for row in rows.values()]
    if plan.action.points:
        # Accounts before permissions, as all who need both.
        await accounts.open_(session, owners, at=at)
        await accounts.lock(session, owners)
    cases = [
        Case(row.id, row.customer_id, row.cycle, row.day, row.give_up_at, row.state is OccasionState.HELD)
        for row in rows.values()
    ]
    verdicts = await judging.judge(session, plan, cases, at=at)
    allowed = [verdict.case for verdict in verdicts if verdict.outcome is Outcome.ACT]
    left = await _left_of_budget(session, plan)
    affordable = allowed if left is None else allowed[:left]
    reasons = {case.id: "budget" for case in allowed[len(affordable) :] if case.id}
    done, refused = await _do(session, plan, affordable, rows, means, at=at)
    reasons |= refused
    again: dict[UUID, datetime] = {}
    for verdict in verdicts:
        row = rows[verdict.case.id] if verdict.case.id else None
        if row is None or row.id in done:
            continue
        row.reason = reasons.get(row.id, verdict.reason)
        if verdict.outcome is Outcome.HOLD:
            row.state, again[row.id] = OccasionState.HELD, min(at + LOOK_AGAIN, row.give_up_at)
        elif verdict.outcome is Outcome.POSTPONE and verdict.at:
            row.act_at = again[row.id] = verdict.at
        else:
            row.state, row.settled_at, row.plan_version = OccasionState.SKIPPED, at, plan.version
    if done:
        await session.execute(
            update(CareSchedule)
            .where(CareSchedule.key == plan.key)
            .values(done=CareSchedule.done + len(done))
            .execution_options(synchronize_session=False)
        )
    await session.flush()
    return again


async def _do(
    session: AsyncSession,
    plan: PlanOut,
    cases: Sequence[Case],
    rows: Mapping[UUID, CareOccasion],
    means: Means,
    *,
    at: datetime,
) -> tuple[set[UUID], dict[UUID, str]]:
    """Give and write; says which occasions were done, and why others could not be."""
    if not cases:
        return set(), {}
    who = [case.customer_id for case in cases]
    coupons, refusal = await _issue(session, plan, who, means, at=at)
    if refusal:
        return set(), {case.id: refusal for case in cases if case.id}
    people = await addressees.find(session, who)
    tiers = await standings.current(session, who)
    links = await _links(session, plan, who, means)
    action = plan.action.message
    template = await templates.get(session, action.template) if action else None
    messages: dict[UUID, Message] = {}
    for case in cases:
        coupon = coupons.get(case.customer_id)
        code = holdings.code(coupon, means.coupon_key) if coupon else None
        gifts = Gifts(plan.action.points, code, tiers.get(case.customer_id))
        row = rows[case.id] if case.id else None
        message = template and letters.write(
            plan, case, people[case.customer_id], template, gifts, links.get(case.customer_id), at=at
        )
        if row is None:
            continue
        if message:
            messages[row.id] = message
            row.message_id = message.id
        row.state, row.reason, row.settled_at = OccasionState.DONE, None, at
        row.act_at, row.plan_version, row.points = at, plan.version, plan.action.points
        row.coupon_id = coupon.id if coupon else None
    session.add_all(messages.values())
    await session.flush()
    await permission_copies.count_messages(
        session,
        [
            permission_copies.Message(each.id, each.customer_id, each.purpose, each.channel, at)
            for each in messages.values()
        ],
        at=at,
    )
    await _give(session, plan, cases, at=at)
    return {case.id for case in cases if case.id}, {}


async def _give(session: AsyncSession, plan: PlanOut, cases: Sequence[Case], *, at: datetime) -> None:
    if not plan.action.points:
        return
    postings = [
        Earn(
            customer_id=case.customer_id,
            source=SOURCE,
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
) -> tuple[Mapping[UUID, Coupon], str | None]:
    """A coupon for each, or why there is none; or of several raises CouponSuspended, IssueLimitReached."""
    if plan.action.coupon is None:
        return {}, None
    terms = await series.get(session, plan.action.coupon)
    try:
        async with session.begin_nested():
            coupons = await series.issue_to(session, terms, who, key=means.coupon_key, at=at)
    except (CouponSuspended, IssueLimitReached) as problem:
        if len(who) > 1:
            raise  # due work then tries them one by one, so that the last coupons find their owners
        return {}, _reason(problem)
    return dict(zip(who, coupons, strict=True)), None


def _reason(problem: Problem) -> str:
    return "coupon_limit" if isinstance(problem, IssueLimitReached) else "coupon_suspended"


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
