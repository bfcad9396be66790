"""Managers: who looks after which customer, and which important customers nobody looks after."""

from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from crm_profiles.activity import timeline
from crm_profiles.activity.timeline import Entry
from crm_profiles.customers import customers, writing
from crm_profiles.models.customers import Channel, Customer
from crm_profiles.models.managers import CustomerLevel, ManagerAssignment
from crm_profiles.models.timeline import EntryType
from crm_shared import etags
from crm_shared.clock import Clock
from crm_shared.contracts.segmentation import Level
from crm_shared.ids import uuid7
from crm_shared.pages import Key, Listing, PageRequest, paginate


async def assign(
    session: AsyncSession,
    customer_id: UUID,
    manager: str | None,
    reason: str | None,
    *,
    if_match: str | None,
    clock: Clock,
) -> UUID:
    """Have somebody look after the customer, or nobody; the customer's id now. Nobody new, nothing changed.

    Raises CustomerNotFound, StaleVersion.
    """
    draft = await customers.lock(session, customer_id)
    etags.check(if_match, draft.version)
    if draft.before["manager"] == manager:
        return draft.owner.id
    draft.after = draft.before | {"manager": manager}
    draft.channel = Channel.STAFF
    await writing.write_one(session, draft, clock=clock)
    at = clock.now()
    assignment = ManagerAssignment(
        id=uuid7(),
        customer_id=draft.owner.id,
        origin_customer_id=draft.owner.origin,
        manager=manager,
        reason=reason,
        assigned_at=at,
        assigned_by=session.info.get("actor"),
    )
    session.add(assignment)
    title = f"{manager} looks after them now" if manager else "Nobody looks after them any more"
    data = {"manager": manager, "reason": reason, "by": assignment.assigned_by}
    entry = Entry(assignment.id, draft.owner, EntryType.MANAGER_ASSIGNED, at, title, data)
    await timeline.record(session, [entry], at=at)
    return draft.owner.id


async def list_assignments(
    session: AsyncSession, customer_id: UUID, *, page: PageRequest
) -> Listing[ManagerAssignment]:
    """Who looked after the customer, the newest first."""
    mine = select(ManagerAssignment).where(ManagerAssignment.customer_id == customer_id)
    keys = [Key(ManagerAssignment.assigned_at, descending=True), Key(ManagerAssignment.id, descending=True)]
    return await paginate(session, mine, keys, page=page, filters=str(customer_id))


async def list_alerts(session: AsyncSession, level: Level, *, page: PageRequest) -> Listing[CustomerLevel]:
    """Customers of the level whom nobody looks after, those first who have had it longest."""
    neglected = (
        select(CustomerLevel)
        .join(Customer, Customer.id == CustomerLevel.customer_id)
        .where(CustomerLevel.level == level, Customer.manager.is_(None))
    )
    keys = [Key(CustomerLevel.since), Key(CustomerLevel.customer_id)]
    return await paginate(session, neglected, keys, page=page, filters=level)


async def names_of(session: AsyncSession, ids: list[UUID]) -> dict[UUID, str]:
    """The names of these customers."""
    rows = await session.execute(select(Customer.id, Customer.name).where(Customer.id.in_(ids)))
    return {row.id: row.name for row in rows}
