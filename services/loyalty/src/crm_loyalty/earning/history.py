"""What was reckoned in a time, purchases and events alike, in the order in which it is reckoned anew."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar
from uuid import UUID

from sqlalchemy import Select, func, select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import InstrumentedAttribute

from crm_loyalty.earning import purchases
from crm_loyalty.models.earning_events import EarningEvent
from crm_loyalty.models.purchases import Purchase
from crm_loyalty.rules.conditions import Cause, CustomerFacts
from crm_loyalty.rules.happenings import Happening

T = TypeVar("T")
_Key = tuple[InstrumentedAttribute[UUID], InstrumentedAttribute[datetime], InstrumentedAttribute[UUID]]
_KNOWN = EarningEvent.properties.is_not(None)
"""What is left of the events of who was erased can be reckoned by nobody."""


@dataclass(frozen=True, slots=True)
class Past:
    """A purchase or an event, and what was known of its customer when it came."""

    id: UUID
    customer_id: UUID
    cause: Cause
    customer: CustomerFacts


@dataclass(frozen=True, slots=True)
class History:
    """What happened from one instant on until before another: by customer, or as time went by."""

    since: datetime
    until: datetime
    in_time: bool

    async def count(self, session: AsyncSession) -> int:
        """How much it is."""
        bought = self._within(select(func.count()), Purchase.occurred_at)
        happened = self._within(select(func.count()), EarningEvent.occurred_at).where(_KNOWN)
        return (await session.scalars(bought)).one() + (await session.scalars(happened)).one()

    async def read(self, session: AsyncSession, last: Past | None, limit: int) -> Sequence[Past]:
        """The part that comes after the last one; nothing: there is no more."""
        bought = self._within(select(Purchase), Purchase.occurred_at)
        happened = self._within(select(EarningEvent), EarningEvent.occurred_at).where(_KNOWN)
        of_purchases = (Purchase.customer_id, Purchase.occurred_at, Purchase.purchase_id)
        of_events = (EarningEvent.customer_id, EarningEvent.occurred_at, EarningEvent.id)
        found = [
            *map(_purchase, await session.scalars(self._part(bought, of_purchases, last, limit))),
            *map(_event, await session.scalars(self._part(happened, of_events, last, limit))),
        ]
        # Each is the first part of its kind: so the first of both together are here.
        return sorted(found, key=self._place)[:limit]

    def _within(self, query: Select[T], occurred_at: InstrumentedAttribute[datetime]) -> Select[T]:
        return query.where(occurred_at >= self.since, occurred_at < self.until)

    def _part(self, query: Select[T], key: _Key, last: Past | None, limit: int) -> Select[T]:
        order = key[1:] if self.in_time else key
        if last is not None:
            query = query.where(tuple_(*order) > tuple_(*self._place(last)))
        return query.order_by(*order).limit(limit)

    def _place(self, past: Past) -> tuple[UUID | datetime, ...]:
        place = (past.customer_id, past.cause.occurred_at, past.id)
        return place[1:] if self.in_time else place


def _purchase(row: Purchase) -> Past:
    known = CustomerFacts(row.level, row.tier, row.number, row.birthday_offset, frozenset(row.segments))
    return Past(row.purchase_id, row.customer_id, purchases.facts_of(row), known)


def _event(row: EarningEvent) -> Past:
    known = CustomerFacts(
        row.level, row.tier, birthday_offset=row.birthday_offset, segments=frozenset(row.segments)
    )
    happening = Happening(row.occurred_at, row.type, row.properties or {})
    return Past(row.id, row.customer_id, happening, known)
