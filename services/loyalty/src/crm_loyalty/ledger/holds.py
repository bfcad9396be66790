"""Holds: points that are reserved, and given back by themselves when nobody captures them in time."""

from collections.abc import Collection, Mapping
from datetime import datetime
from uuid import UUID

from sqlalchemy import ARRAY, Uuid, bindparam, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from crm_loyalty.errors import HoldNotFound
from crm_loyalty.ledger import accounts, ledger
from crm_loyalty.models.ledger import Account, Hold, HoldPart, HoldState
from crm_loyalty.postings import RunOut
from crm_loyalty.schemas.holds import AccountHoldOut
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
) -> Listing[AccountHoldOut]:
    """The customer's holds, and those of others that reserve the customer's points, newest first."""
    owned = await accounts.owned(session, customer_id)
    owner = owned[0].customer_id
    wanted = [] if state is None else [Hold.state == state]
    # A union, for an OR would walk everybody's holds.
    concerned = (
        select(Hold.id)
        .where(Hold.customer_id == owner, *wanted)
        .union(select(HoldPart.hold_id).where(HoldPart.account_id.in_([account.id for account in owned])))
    )
    listing = await paginate(
        session,
        select(Hold).where(Hold.id.in_(concerned), *wanted),
        [Key(Hold.id, descending=True)],
        page=page,
        filters=[str(customer_id), state],
    )
    own_points = await _own_points(session, owned, [hold.id for hold in listing.items])
    return listing.map(lambda hold: AccountHoldOut.of(hold, owner, own_points.get(hold.id, 0)))


async def get(session: AsyncSession, customer_id: UUID, hold_id: UUID) -> AccountHoldOut:
    """The hold as it is listed for the customer; raises AccountNotFound, HoldNotFound."""
    owned = await accounts.owned(session, customer_id)
    owner = owned[0].customer_id
    hold = await session.get(Hold, hold_id)
    own_points = (await _own_points(session, owned, [hold_id])).get(hold_id, 0)
    if hold is None or (hold.customer_id != owner and not own_points):
        raise HoldNotFound(hold_id=str(hold_id))
    return AccountHoldOut.of(hold, owner, own_points)


async def _own_points(
    session: AsyncSession, owned: Collection[Account], hold_ids: Collection[UUID]
) -> Mapping[UUID, int]:
    """How many points of these accounts each of the holds reserves."""
    rows = await session.execute(
        select(HoldPart.hold_id, func.sum(HoldPart.points).label("points"))
        .where(HoldPart.hold_id.in_(hold_ids), HoldPart.account_id.in_([account.id for account in owned]))
        .group_by(HoldPart.hold_id)
    )
    return {row.hold_id: int(row.points) for row in rows}


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
