"""What rules may ask of a customer at a purchase: from the copies of what other services tell."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from crm_loyalty.earning import members, purchases
from crm_loyalty.rules.conditions import CustomerFacts
from crm_loyalty.rules.earning import Policy


async def of(
    session: AsyncSession, told: Sequence[tuple[UUID, datetime]], policy: Policy
) -> list[CustomerFacts]:
    """The facts for each purchase, (who owns it today, when it was made), in the order in which they came."""
    owners = {owner for owner, _ in told}
    known = await members.find(session, owners)
    numbers = defaultdict(int, await purchases.counts(session, owners))
    found = []
    for owner, _occurred_at in told:
        numbers[owner] += 1
        member = known.get(owner)
        found.append(CustomerFacts(level=member.level if member else None, number=numbers[owner]))
    return found
