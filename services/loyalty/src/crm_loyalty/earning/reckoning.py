"""Points for whatever earns some: reckoned under the locks of the customers' accounts, counted, and given."""

from collections.abc import Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

from sqlalchemy.ext.asyncio import AsyncSession

from crm_loyalty.earning import pending, usage
from crm_loyalty.earning.cases import Case, Given
from crm_loyalty.ledger import ledger
from crm_loyalty.postings import Earn
from crm_loyalty.rules.earning import Policy, Rule, evaluate
from crm_loyalty.rules.refunds import earned_by_line
from crm_loyalty.rules.tally import Tally, asked


async def reckon(
    session: AsyncSession, cases: Sequence[Case], rules: Sequence[Rule], policy: Policy, *, at: datetime
) -> list[Given]:
    """Give what the rules say for each case, one after the other: caps and budgets count those before.

    The caller holds the accounts locked. The number of statements does not depend on the number of cases.
    """
    tally = await _tally(session, cases, rules, policy)
    given = []
    for case in cases:
        occurred_at = case.cause.occurred_at
        limits = tally.usage(case.owner, occurred_at, rules, policy.time_zone)
        earned = evaluate(case.cause, rules, customer=case.customer, usage=limits, policy=policy)
        tally.add(case.owner, occurred_at, earned, policy.time_zone)
        when = pending.available_at(earned, occurred_at, policy.time_zone)
        given.append(Given(case, earned, when if when is not None and when > at else None))
    await usage.record(session, given, tally.given)
    earning = [each for each in given if each.earned.points]
    await pending.keep(session, [(each, _posting(each)) for each in earning if each.available_at])
    postings = [_posting(each) for each in earning if not each.available_at]
    if postings:
        for verdict in await ledger.post(session, postings, at=at):
            verdict.accepted()
    return given


async def _tally(
    session: AsyncSession, cases: Sequence[Case], rules: Sequence[Rule], policy: Policy
) -> Tally:
    """What was given before, and the budgets of those rules locked that could give something now."""
    zone = ZoneInfo(policy.time_zone)
    budgets = [
        rule
        for rule in rules
        if rule.budget is not None
        and any(
            not rule.against(case.cause, case.customer, case.cause.occurred_at.astimezone(zone))
            for case in cases
        )
    ]
    asks = [
        ask for case in cases for ask in asked(rules, case.owner, case.cause.occurred_at, policy.time_zone)
    ]
    return await usage.read(session, asks, budgets, lock=True)


def _posting(given: Given) -> Earn:
    case, earned = given.case, given.earned
    return Earn(
        customer_id=case.customer_id,
        source=case.source,
        reference=str(case.id),
        effective_at=case.cause.occurred_at,
        cause=case.event,
        points=earned.points,
        explanation=earned.lines,
        lines=earned_by_line(case.bought, earned.lines),
    )
