"""Points for purchases: each is reckoned once, under the locks of its customer's accounts."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from crm_loyalty.earning import facts, purchases, reckoning, rules
from crm_loyalty.earning.cases import Case
from crm_loyalty.ledger import accounts, points_policy
from crm_loyalty.rules.earning import Policy, Rule
from crm_shared import customers
from crm_shared.contracts.profiles import PurchaseRecorded


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
    in_force = [rule for rule in await rules.in_force(session) if rule.event is None]
    cases = await _cases(session, unknown, owners, in_force, policy)
    told = list(zip(unknown, (case.customer for case in cases), strict=True))
    await purchases.record(session, told, owners, at=at)
    await reckoning.reckon(session, cases, in_force, policy, at=at)


async def _cases(
    session: AsyncSession,
    events: Sequence[PurchaseRecorded],
    owners: Mapping[UUID, UUID],
    in_force: Sequence[Rule],
    policy: Policy,
) -> list[Case]:
    calendars = await facts.calendars_of(session, in_force)
    told = [(owners[event.customer_id], event.occurred_at) for event in events]
    known = await facts.of(session, told, policy)
    return [
        Case(
            id=event.purchase_id,
            source=event.envelope.source,
            customer_id=event.customer_id,
            owner=owners[event.customer_id],
            cause=facts.celebrated(purchases.facts(event), calendars, policy),
            customer=customer,
            bought=purchases.bought_lines(event),
            event=event,
        )
        for event, customer in zip(events, known, strict=True)
    ]
