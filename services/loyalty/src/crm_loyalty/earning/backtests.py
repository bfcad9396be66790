"""Backtests: what other rules would have given for all that happened in a time, as a job in small reads."""

from collections.abc import Collection, Sequence
from datetime import datetime
from itertools import pairwise
from uuid import UUID

from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from crm_loyalty.earning import facts, rules
from crm_loyalty.earning.history import History, Past
from crm_loyalty.ledger import points_policy
from crm_loyalty.models.earning_rules import Award
from crm_loyalty.rules.comparing import BANDS, Comparison, Replay
from crm_loyalty.rules.earning import Rule
from crm_loyalty.schemas.backtests import BacktestIn, BacktestReport, BandOut, ComparedOut, ExampleOut
from crm_loyalty.schemas.earning_rules import EarningRuleTerms
from crm_loyalty.schemas.programme import FigureOut
from crm_shared import customers, jobs
from crm_shared.database import Json, Sessions
from crm_shared.jobs import Job, RunningJob

BACKTEST = "earning-backtest"
CHUNK = 200
"""Purchases and events read and reckoned at once: tens of milliseconds in which the worker does no more."""


async def start(session: AsyncSession, body: BacktestIn, *, at: datetime) -> Job:
    """Queue it; the rules in force are those of now, whatever becomes of them meanwhile."""
    in_force = await rules.newest(session)
    others = {rule.key for rule in body.rules} | set(body.without)
    before = [{"key": row.key, "version": row.version, "terms": row.terms} for row in in_force]
    tried = [
        {"key": rule.key, "version": 0, "terms": rule.model_dump(mode="json", exclude={"key"})}
        for rule in body.rules
    ]
    params: Json = {
        "since": body.since.isoformat(),
        "until": body.until.isoformat(),
        "before": before,
        "after": [row for row in before if row["key"] not in others] + tried,
    }
    return jobs.start(session, BACKTEST, params, at=at)


async def run(sessions: Sessions, job: RunningJob) -> Json:
    """Reckon every purchase and event of the time by both sets of rules, and say what would be different.

    By customer, so that few are remembered at a time; where a budget is to be shared out, as time went by,
    with all of them remembered. Whoever takes it over begins anew.
    """
    since, until = (datetime.fromisoformat(job.params[name]) for name in ("since", "until"))
    before, after = _rules(job.params["before"]), _rules(job.params["after"])
    history = History(since, until, in_time=any(rule.budget is not None for rule in (*before, *after)))
    async with sessions() as session:
        replay = Replay(before, after, await points_policy.of_earning(session))
        total = await history.count(session)
        calendars = await facts.calendars_of(session, (*before, *after))
    last: Past | None = None
    while True:
        async with sessions.begin() as session:
            part = await history.read(session, last, CHUNK)
            await job.progress(session, done=replay.found.reckoned + len(part), total=total)
        if not part:
            break
        # No transaction is open meanwhile: what is read here keeps nothing from being vacuumed.
        for past in part:
            cause = facts.celebrated(past.cause, calendars, replay.policy)
            replay.reckon(past.customer_id, cause, past.customer)
        last = part[-1]
        if history.in_time:
            replay.pass_to(last.cause.occurred_at)
        else:
            replay.settle(but=last.customer_id)
    replay.settle()
    async with sessions.begin() as session:
        report = await _report(session, replay.found, since, until)
        # Whoever is erased takes the report with them that names them.
        named = [example.customer_id for example in (*report.most_gained, *report.most_lost)]
        await session.execute(update(Job).where(Job.id == job.id).values(customer_ids=sorted(set(named))))
    return report.model_dump(mode="json")


def _rules(stored: Sequence[Json]) -> list[Rule]:
    return [
        rules.rule_of(row["key"], row["version"], EarningRuleTerms.model_validate(row["terms"]))
        for row in stored
    ]


async def _report(
    session: AsyncSession, found: Comparison, since: datetime, until: datetime
) -> BacktestReport:
    given = select(func.coalesce(func.sum(Award.points), 0)).where(
        Award.occurred_at >= since, Award.occurred_at < until
    )
    recorded = int((await session.scalars(given)).one())
    gone = await customers.erased(session, {id for id, *_ in (*found.most_gained, *found.most_lost)})
    return BacktestReport(
        **{name: _figure(getattr(found, name), words) for name, words in _DEFINITIONS.items()},
        liability_change=_figure(
            found.after - found.before,
            "after less before: points more that customers would own, had none been spent and none expired",
        ),
        recorded=_figure(
            recorded,
            "points that rules really gave for what happened in the time, by their versions of then",
        ),
        rules={
            key: ComparedOut(before=one, after=other) for key, (one, other) in sorted(found.rules.items())
        },
        distribution=[
            BandOut(at_least=low, at_most=None if high is None else high - 1, customers=count)
            for (low, high), count in zip(pairwise((None, *BANDS, None)), found.bands, strict=True)
        ],
        most_gained=_examples(found.most_gained, gone),
        most_lost=_examples(found.most_lost, gone),
    )


_DEFINITIONS = {
    "purchases": "purchases of the time that we heard of, refunded ones included",
    "events": "events of the time: all that were reported, and published ones from when on a rule named their"
    " type; those of customers who were erased are gone",
    "customers": "customers of whom these are; who was merged counts once",
    "before": "points that the rules in force at the start of the backtest give for all these, with caps and"
    " budgets that begin empty, and levels, segments and numbers of purchases as they were when each came",
    "after": "points that the other rules give for the same, in the same way",
    "gaining": "customers whose points after are more than before",
    "losing": "customers whose points after are fewer than before",
    "unchanged": "customers whose points are the same",
}


def _figure(value: int, definition: str) -> FigureOut:
    return FigureOut(value=value, definition=definition)


def _examples(found: Sequence[tuple[UUID, int, int]], gone: Collection[UUID]) -> list[ExampleOut]:
    return [
        ExampleOut(customer_id=id, before=before, after=after)
        for id, before, after in found
        if id not in gone
    ]
