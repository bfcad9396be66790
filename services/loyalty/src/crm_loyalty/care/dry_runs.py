"""Dry runs: whom a plan would reach on a day, when, and why not, by what is known now."""

from collections.abc import Sequence
from datetime import date, datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from crm_loyalty.care import candidates, judging, plans
from crm_loyalty.care.candidates import Candidate
from crm_loyalty.care.judging import Case, Outcome, Verdict
from crm_loyalty.rules import care
from crm_loyalty.schemas.care_plans import DryRunItemOut, PlanOut
from crm_shared import customers, permission_copies
from crm_shared.pages import Listing, PageRequest


async def run(
    session: AsyncSession,
    key: str,
    day: date,
    *,
    page: PageRequest,
    at: datetime,
) -> Listing[DryRunItemOut]:
    """Nothing is written down or sent; raises CarePlanNotFound, InvalidCursor."""
    plan = PlanOut.model_validate(await plans.get(session, key))
    await customers.stop_merges(session)
    filters = f"{key} {day}"
    after = UUID(page.cursors.decode(page.cursor, filters)[0]) if page.cursor else None
    zone = (await permission_copies.current_policy(session)).time_zone
    found = await candidates.find(session, plan, day, default_zone=zone, limit=page.limit, after=after)
    items: list[DryRunItemOut] = []
    opening: dict[datetime, list[Candidate]] = {}
    for each in found.candidates:
        opens = care.opens_at(each.day, plan.window_start, each.zone)
        opening.setdefault(max(opens, at), []).append(each)
    for when, together in sorted(opening.items()):
        items += [_item(verdict) for verdict in await _judge(session, plan, together, when)]
    items.sort(key=lambda item: item.customer_id)
    return Listing(
        items, page.cursors.encode([str(found.last)], filters) if found.last else None, found.last is not None
    )


async def _judge(
    session: AsyncSession, plan: PlanOut, together: Sequence[Candidate], when: datetime
) -> list[Verdict]:
    """At the instant when the window opens for all of them; of two occasions of one customer the first."""
    cases = {
        each.customer_id: Case(
            None,
            each.customer_id,
            each.cycle,
            each.day,
            care.gives_up_at(each.day, plan.patience_days, each.zone),
        )
        for each in reversed(together)
    }
    return await judging.judge(session, plan, list(cases.values()), at=when)


def _item(verdict: Verdict) -> DryRunItemOut:
    happens = verdict.outcome in (Outcome.ACT, Outcome.POSTPONE)
    return DryRunItemOut(
        customer_id=verdict.case.customer_id,
        cycle=verdict.case.cycle,
        at=verdict.at if happens else None,
        outcome=verdict.outcome.value,
        reason=verdict.reason,
    )
