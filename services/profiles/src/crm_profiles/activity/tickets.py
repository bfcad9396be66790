"""Tickets as their owner told of them: a small copy, so that the file shows complaints while it is away."""

from collections.abc import Mapping, Sequence
from uuid import UUID

from sqlalchemy import ARRAY, bindparam, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from crm_profiles.bulk import arrays
from crm_profiles.customers.contact_points import Owner
from crm_profiles.models.tickets import Ticket
from crm_shared.contracts.tickets import TicketClosed, TicketResolved, TicketState
from crm_shared.database import Json
from crm_shared.pages import Key, Listing, PageRequest, paginate

_TABLE = Ticket.metadata.tables[Ticket.__tablename__]
_COLUMNS = tuple(column.name for column in _TABLE.c)
_ONCE_TOLD = ("resolved_at", "closed_at", "resolution")
"""What one event of a ticket's life tells, and the later ones do not repeat."""
_WRITTEN_ONCE = ("id", "customer_id", "origin_customer_id")
_KEEP = insert(_TABLE).from_select(
    _COLUMNS, select(*(func.unnest(bindparam(c.name, type_=ARRAY(c.type))) for c in _TABLE.c))
)
_KEEP = _KEEP.on_conflict_do_update(
    index_elements=[_TABLE.c.id],
    set_={
        name: func.coalesce(_KEEP.excluded[name], _TABLE.c[name])
        if name in _ONCE_TOLD
        else _KEEP.excluded[name]
        for name in _COLUMNS
        if name not in _WRITTEN_ONCE
    },
    where=_TABLE.c.version < _KEEP.excluded.version,
)


async def keep(session: AsyncSession, events: Sequence[TicketState], owners: Mapping[UUID, Owner]) -> None:
    """Bring the copies up to date; dropped is what is older than the copy, or of nobody on file."""
    newest: dict[UUID, TicketState] = {}
    for event in events:
        if event.customer_id in owners and event.version > _version(newest.get(event.ticket_id)):
            newest[event.ticket_id] = event
    if newest:
        rows = [_row(newest[id], owners[newest[id].customer_id]) for id in sorted(newest)]
        await session.execute(_KEEP, arrays(rows, *_COLUMNS))


async def list_(
    session: AsyncSession,
    customer_id: UUID,
    kind: str | None,
    *,
    page: PageRequest,
) -> Listing[Ticket]:
    """The customer's tickets, or those of a kind, the newest first."""
    statement = select(Ticket).where(Ticket.customer_id == customer_id)
    if kind is not None:
        statement = statement.where(Ticket.kind == kind)
    return await paginate(
        session,
        statement,
        [Key(Ticket.opened_at, descending=True), Key(Ticket.id, descending=True)],
        page=page,
        filters=[str(customer_id), kind],
    )


def _version(event: TicketState | None) -> int:
    return 0 if event is None else event.version


def _row(event: TicketState, owner: Owner) -> Json:
    return {
        "id": event.ticket_id,
        "customer_id": owner.id,
        "origin_customer_id": owner.origin,
        "number": event.number,
        "kind": event.kind,
        "severity": event.severity,
        "status": event.status,
        "title": event.title,
        "opened_at": event.opened_at,
        "resolved_at": event.envelope.time if isinstance(event, TicketResolved) else None,
        "closed_at": event.envelope.time if isinstance(event, TicketClosed) else None,
        "resolution": event.resolution if isinstance(event, TicketResolved) else None,
        "version": event.version,
    }
