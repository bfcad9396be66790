"""Whom an offer is for: the facts about a customer that offers are made by."""

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from crm_loyalty.earning import members
from crm_loyalty.tiers import standings


@dataclass(frozen=True)
class Member:
    """What a customer is in the programme; None: nothing, as far as is known."""

    tier: str | None = None
    level: str | None = None

    def belongs_to(self, tiers: list[str], levels: list[str]) -> bool:
        """Whether the offer is for this customer: in one of the tiers, and on one of the levels, it names."""
        return (not tiers or self.tier in tiers) and (not levels or self.level in levels)


async def member(session: AsyncSession, owner: UUID) -> Member:
    """As the newest events tell it."""
    tiers = await standings.current(session, [owner])
    known = await members.find(session, [owner])
    return Member(tier=tiers.get(owner), level=known[owner].level if owner in known else None)
