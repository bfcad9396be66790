"""The queue: what waits for somebody, by the customer's level, then by severity, then by time left."""

from collections.abc import Collection, Mapping
from uuid import UUID

from sqlalchemy import ARRAY, Uuid, bindparam, case, func, literal, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import joinedload

from crm_shared.contracts.segmentation import Level
from crm_shared.pages import Key, Listing, PageRequest, paginate
from crm_tickets.models import WAITING, Customer, Severity, Ticket

LEVEL_RANKS: Mapping[Level, int] = {Level.VIP: 0, Level.IMPORTANT: 1, Level.ORDINARY: 2, Level.POTENTIAL: 3}
SEVERITY_RANKS: Mapping[Severity, int] = {
    Severity.CRITICAL: 0,
    Severity.HIGH: 1,
    Severity.NORMAL: 2,
    Severity.LOW: 3,
}
UNKNOWN_LEVEL = Level.POTENTIAL
"""A customer of whom no level was heard yet waits with those of the lowest."""

_ORDER = [Key(Ticket.level_rank), Key(Ticket.severity_rank), Key(Ticket.due_at), Key(Ticket.id)]

_RANK_OF_LEVEL = case(
    *((Customer.level == level, literal(rank)) for level, rank in LEVEL_RANKS.items()),
    else_=LEVEL_RANKS[UNKNOWN_LEVEL],
)
_REORDER = (
    update(Ticket)
    .where(
        Ticket.customer_id == Customer.customer_id,
        Customer.customer_id == func.any(bindparam("ids", type_=ARRAY(Uuid))),
        WAITING,
        Ticket.level.is_distinct_from(Customer.level),
    )
    .values(level=Customer.level, level_rank=_RANK_OF_LEVEL, version=Ticket.version + 1)
    .execution_options(synchronize_session=False)
)


async def list_(session: AsyncSession, *, page: PageRequest) -> Listing[Ticket]:
    """A page of the queue, by one scan of its index."""
    waiting = select(Ticket).where(WAITING).options(joinedload(Ticket.customer))
    return await paginate(session, waiting, _ORDER, page=page)


async def reorder(session: AsyncSession, customer_ids: Collection[UUID]) -> None:
    """Put the waiting tickets of these customers where their levels now belong; due times stay."""
    if customer_ids:
        await session.execute(_REORDER, {"ids": sorted(set(customer_ids))})
