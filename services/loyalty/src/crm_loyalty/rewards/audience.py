"""Whom an offer is for: the facts about a customer that offers are made by."""

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from crm_loyalty.earning import members, memberships
from crm_loyalty.rules.segments import Segments
from crm_loyalty.tiers import standings


@dataclass(frozen=True)
class Member:
    """What a customer is in the programme; None: nothing, as far as is known."""

    tier: str | None = None
    level: str | None = None
    segments: frozenset[str] = frozenset()

    def belongs_to(self, tiers: list[str], levels: list[str], segments: Segments) -> bool:
        """Whether they are in one of these tiers and levels, where any are named, and fit the segments."""
        return (
            (not tiers or self.tier in tiers)
            and (not levels or self.level in levels)
            and segments.hold(self.segments)
        )


async def member(session: AsyncSession, owner: UUID) -> Member:
    """As the newest events tell it."""
    tiers = await standings.current(session, [owner])
    known = await members.find(session, [owner])
    segments = await memberships.of(session, [owner])
    return Member(
        tier=tiers.get(owner),
        level=known[owner].level if owner in known else None,
        segments=segments.get(owner, frozenset()),
    )
