"""Points for purchases: each is reckoned once, under the locks of its customer's accounts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy.ext.asyncio import AsyncSession

from crm_loyalty.earning import facts, pending, purchases, rules, usage
from crm_loyalty.ledger import accounts, ledger, points_policy, refunds
from crm_loyalty.postings import Earn
from crm_loyalty.rules.conditions import CustomerFacts, Purchase
from crm_loyalty.rules.earning import Earned, Policy, Rule, evaluate
from crm_loyalty.rules.tally import Tally, asked
from crm_shared import customers
from crm_shared.contracts.profiles import PurchaseRecorded


@dataclass(frozen=True, slots=True)
class Case:
    """A purchase that is about to be reckoned, whose it is today, and what is known of them."""

    event: PurchaseRecorded
    owner: UUID
    purchase: Purchase
    customer: CustomerFacts


async def award(session: AsyncSession, events: Sequence[PurchaseRecorded], *, at: datetime) -> None:
    """Give what the rules in force say for each purchase, and keep what they looked at.

    The number of statements does not depend on the number of purchases.
    """
    buyers = {event.customer_id for event in events}
    await customers.stop_merges(session)
    await accounts.open_(session, buyers, at=at)
    owners = await accounts.lock(session, buyers)
    unknown = await purchases.unknown(session, events)
    if not unknown:
        return
    policy = await points_policy.of_earning(session)
    in_force = await rules.in_force(session)
    cases = await _cases(session, unknown, owners, in_force, policy)
    tally = await _tally(session, cases, in_force, policy)
    awarded = []
    for case in cases:
        limits = tally.usage(case.owner, case.event.occurred_at, in_force, policy.time_zone)
        earned = evaluate(case.purchase, in_force, customer=case.customer, usage=limits, policy=policy)
        tally.add(case.owner, case.event.occurred_at, earned, policy.time_zone)
        awarded.append((case.event, earned))
    await purchases.record(session, [(case.event, case.customer) for case in cases], owners, at=at)
    await usage.record(session, awarded, owners, tally.given)
    postings, waiting = [], []
    for event, earned in awarded:
        if earned.points:
            when = pending.available_at(earned, event.occurred_at, policy.time_zone)
            if when is not None and when > at:
                waiting.append((_posting(event, earned), event.purchase_id, when))
            else:
                postings.append(_posting(event, earned))
    await pending.keep(session, waiting, owners)
    if postings:
        for verdict in await ledger.post(session, postings, at=at):
            verdict.accepted()


async def _cases(
    session: AsyncSession,
    events: Sequence[PurchaseRecorded],
    owners: Mapping[UUID, UUID],
    in_force: Sequence[Rule],
    policy: Policy,
) -> list[Case]:
    calendars = await facts.calendars_of(session, in_force)
    told = [(owners[event.customer_id], event.occurred_at) for event in events]
    return [
        Case(event, owner, facts.celebrated(purchases.facts(event), calendars, policy), customer)
        for event, (owner, _), customer in zip(
            events, told, await facts.of(session, told, policy), strict=True
        )
    ]


async def _tally(
    session: AsyncSession, cases: Sequence[Case], in_force: Sequence[Rule], policy: Policy
) -> Tally:
    """What was given before, and the budgets of those rules locked that could give something now."""
    zone = ZoneInfo(policy.time_zone)
    budgets = [
        rule
        for rule in in_force
        if rule.budget is not None
        and any(
            not rule.against(case.purchase, case.customer, case.purchase.occurred_at.astimezone(zone))
            for case in cases
        )
    ]
    asks = [
        ask for case in cases for ask in asked(in_force, case.owner, case.event.occurred_at, policy.time_zone)
    ]
    return await usage.read(session, asks, budgets, lock=True)


def _posting(event: PurchaseRecorded, earned: Earned) -> Earn:
    return Earn(
        customer_id=event.customer_id,
        source=event.envelope.source,
        reference=str(event.purchase_id),
        effective_at=event.occurred_at,
        cause=event,
        points=earned.points,
        explanation=earned.lines,
        lines=refunds.earned_lines(event, earned.lines),
    )
