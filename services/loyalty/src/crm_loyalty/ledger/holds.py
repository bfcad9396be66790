"""Holds: points that are reserved, and given back by themselves when nobody captures them in time."""

from collections.abc import Collection
from datetime import datetime
from uuid import UUID

from sqlalchemy import ARRAY, Uuid, bindparam, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from crm_loyalty.ledger import accounts, ledger
from crm_loyalty.models.ledger import Hold, HoldState
from crm_loyalty.postings import RunOut
from crm_shared.pages import Key, Listing, PageRequest, paginate

SOURCE = "/crm/loyalty"


_THESE = select(Hold).where(Hold.id == func.any(bindparam("ids", type_=ARRAY(Uuid))))


async def find(session: AsyncSession, ids: Collection[UUID]) -> dict[UUID, Hold]:
    """The holds with these ids."""
    if not ids:
        return {}
    return {hold.id: hold for hold in await session.scalars(_THESE, {"ids": sorted(ids)})}


async def list_(
    session: AsyncSession,
    customer_id: UUID,
    *,
    state: HoldState | None,
    page: PageRequest,
) -> Listing[Hold]:
    """The customer's holds, newest first."""
    owner = (await accounts.owned(session, customer_id))[0].customer_id
    statement = select(Hold).where(Hold.customer_id == owner)
    if state is not None:
        statement = statement.where(Hold.state == state)
    return await paginate(
        session,
        statement,
        [Key(Hold.id, descending=True)],
        page=page,
        filters=[str(customer_id), state],
    )


async def run_out(session: AsyncSession, hold_ids: Collection[UUID], *, at: datetime) -> None:
    """Give back what is still held now that its time is over; what was resolved before is left alone."""
    rows = await session.execute(
        select(Hold.id, Hold.origin_customer_id, Hold.expires_at)
        .where(Hold.id.in_(hold_ids), Hold.state == HoldState.OPEN)
        .order_by(Hold.expires_at, Hold.id)
    )
    postings = [
        RunOut(
            customer_id=row.origin_customer_id,
            source=SOURCE,
            reference=f"hold {row.id} ran out",
            effective_at=row.expires_at,
            hold_id=row.id,
        )
        for row in rows
    ]
    if postings:
        await ledger.post(session, postings, at=at)
