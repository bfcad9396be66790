"""Dry runs: what a basket or an event would earn, by the rules in force or others, with nothing written."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from crm_loyalty.earning import facts, rules, usage
from crm_loyalty.ledger import accounts, points_policy
from crm_loyalty.rules.conditions import Cause, CustomerFacts, Purchase, PurchaseLine
from crm_loyalty.rules.earning import Earned, Policy, Rule, Usage, evaluate
from crm_loyalty.rules.happenings import Happening
from crm_loyalty.rules.tally import Asked, asked
from crm_loyalty.schemas.accounts import LineOut
from crm_loyalty.schemas.evaluations import CustomerFactsOut, DecisionOut, EvaluationIn, EvaluationOut, Trial


async def rules_of(session: AsyncSession, trial: Trial) -> list[Rule]:
    """The rules in force as the trial would have them; an unsaved one has version 0."""
    others = {rule.key for rule in trial.rules} | set(trial.without)
    kept = [rule for rule in await rules.in_force(session) if rule.key not in others]
    return kept + [rules.rule_of(rule.key, 0, rule) for rule in trial.rules]


async def run(session: AsyncSession, body: EvaluationIn, *, at: datetime) -> EvaluationOut:
    """What the same purchase or event would earn if it came now, and why; raises AccountNotFound.

    Caps and budgets are as they stand; somebody else may use them up before the purchase comes.
    """
    policy = await points_policy.of_earning(session)
    occurred_at = body.occurred_at or at
    tried = await rules_of(session, body)
    cause = await _cause(session, body, occurred_at, tried, policy)
    customer, owner = CustomerFacts(), None
    asks: list[Asked] = []
    if body.customer_id is not None:
        owner = await accounts.owner(session, body.customer_id)
        [customer] = await facts.of(session, [(owner, occurred_at)], policy)
        asks = asked(tried, owner, occurred_at, policy.time_zone)
    budgets = [rule for rule in tried if rule.budget is not None]
    tally = await usage.read(session, asks, budgets, lock=False)
    limits = tally.usage(owner, occurred_at, tried, policy.time_zone) if owner else Usage({}, tally.in_all)
    earned = evaluate(cause, tried, customer=customer, usage=limits, policy=policy)
    return _out(occurred_at, earned, customer, policy)


async def _cause(
    session: AsyncSession, body: EvaluationIn, occurred_at: datetime, tried: Sequence[Rule], policy: Policy
) -> Cause:
    calendars = await facts.calendars_of(session, tried)
    if body.event is not None:
        happening = Happening(occurred_at, body.event.type, body.event.properties)
        return facts.celebrated(happening, calendars, policy)
    return facts.celebrated(_purchase(body, occurred_at), calendars, policy)


def _purchase(body: EvaluationIn, occurred_at: datetime) -> Purchase:
    return Purchase(
        occurred_at=occurred_at,
        amount=sum(line.amount for line in body.lines),
        currency=body.currency or "",
        lines=tuple(
            PurchaseLine(number, line.amount, line.quantity, line.product, line.category, line.brand)
            for number, line in enumerate(body.lines, start=1)
        ),
        channel=body.channel,
        shop=body.shop,
    )


def _out(occurred_at: datetime, earned: Earned, customer: CustomerFacts, policy: Policy) -> EvaluationOut:
    return EvaluationOut(
        occurred_at=occurred_at,
        points=earned.points,
        lines=[LineOut(**asdict(line)) for line in earned.lines],
        rules=[
            DecisionOut(
                rule=decision.rule.key,
                version=decision.rule.version,
                applies=decision.applies,
                points=decision.points,
                text=decision.text or None,
                why_not=list(decision.why_not),
            )
            for decision in earned.decisions
        ],
        customer=CustomerFactsOut.model_validate(customer),
        time_zone=policy.time_zone,
        rounding=policy.rounding.value,
    )
