"""What rules have given already: caps counted from awards, budgets kept in one row each."""

from collections.abc import Iterable, Mapping, Sequence

from sqlalchemy import select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from crm_loyalty.earning.cases import Given
from crm_loyalty.models.earning_rules import Award, EarningBudget
from crm_loyalty.rules.earning import Rule
from crm_loyalty.rules.tally import Asked, Tally

_USED = text(
    """
    SELECT asked.n, coalesce(sum(awards.points), 0) AS points
    FROM unnest(
        CAST(:customers AS uuid[]), CAST(:rules AS text[]), CAST(:sinces AS timestamptz[]),
        CAST(:untils AS timestamptz[])
    ) WITH ORDINALITY AS asked (customer_id, rule, since, until, n)
    JOIN awards ON awards.customer_id = asked.customer_id AND awards.rule = asked.rule
        AND awards.occurred_at >= asked.since AND awards.occurred_at < asked.until
    GROUP BY asked.n
    """
)

_USE_UP = text(
    """
    UPDATE earning_budgets AS b SET used = b.used + n.points
    FROM unnest(CAST(:rules AS text[]), CAST(:points AS bigint[])) AS n (rule, points) WHERE b.rule = n.rule
    """
)

_BEGIN = text(
    """
    INSERT INTO earning_budgets (rule, used) SELECT rule, 0 FROM unnest(CAST(:rules AS text[])) AS n (rule)
    ORDER BY rule ON CONFLICT DO NOTHING
    """
)


async def read(
    session: AsyncSession, wanted: Iterable[Asked], budgets: Sequence[Rule], *, lock: bool
) -> Tally:
    """What was given before; with `lock`, nobody else takes from these budgets before the transaction ends.

    Caps are counted under the locks of the customers' accounts. A budget that is used up is not locked: from
    then on nobody waits for it.
    """
    tally = Tally()
    if asks := sorted(set(wanted)):
        columns: dict[str, list[object]] = {
            "customers": [ask.customer_id for ask in asks],
            "rules": [ask.rule for ask in asks],
            "sinces": [ask.since for ask in asks],
            "untils": [ask.until for ask in asks],
        }
        for n, points in await session.execute(_USED, columns):
            tally.used[asks[n - 1]] = int(points)
    if budgets:
        tally.in_all.update(await _budgets(session, budgets, lock=lock))
    return tally


async def _budgets(session: AsyncSession, rules: Sequence[Rule], *, lock: bool) -> dict[str, int]:
    keys = {rule.key: rule.budget or 0 for rule in rules}
    query = select(EarningBudget.rule, EarningBudget.used)
    used = {rule: count for rule, count in await session.execute(query.where(EarningBudget.rule.in_(keys)))}
    left = sorted(key for key, budget in keys.items() if used.get(key, 0) < budget)
    if not lock or not left:
        return used
    if missing := sorted(set(left) - set(used)):
        await session.execute(_BEGIN, {"rules": missing})
    locked = query.where(EarningBudget.rule.in_(left)).order_by(EarningBudget.rule).with_for_update()
    return used | {rule: count for rule, count in await session.execute(locked)}


async def record(session: AsyncSession, given: Iterable[Given], budgets: Mapping[str, int]) -> None:
    """Keep what each rule gave for each purchase or event, and take it from the budgets."""
    rows = [
        {
            "cause_id": each.case.id,
            "customer_id": each.case.owner,
            "origin_customer_id": each.case.customer_id,
            "rule": decision.rule.key,
            "version": decision.rule.version,
            "points": decision.points,
            "occurred_at": each.case.cause.occurred_at,
        }
        for each in given
        for decision in each.earned.decisions
        if decision.points
    ]
    if rows:
        await session.execute(insert(Award), rows)
    if budgets:
        rules = sorted(budgets)
        await session.execute(_USE_UP, {"rules": rules, "points": [budgets[rule] for rule in rules]})
