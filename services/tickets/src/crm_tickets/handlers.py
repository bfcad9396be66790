"""What tickets does when something happens elsewhere."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from crm_shared import customers as aliases
from crm_shared import erasure, exports, permission_copies
from crm_shared.contracts.erasure import TicketsErasureConfirmed
from crm_shared.contracts.exports import TicketsExportPrepared
from crm_shared.contracts.profiles import (
    ConsentChanged,
    ContactPolicyChanged,
    CustomerChanged,
    CustomerCreated,
    CustomerErased,
    CustomerMerged,
    CustomerUnmerged,
    ExportRequested,
    MessageLogged,
)
from crm_shared.contracts.segmentation import LevelChanged
from crm_shared.subscriptions import Subscriptions
from crm_tickets import customers, queue
from crm_tickets.models import Base

subscriptions = Subscriptions()


@subscriptions.on(CustomerCreated)
async def keep_new_names(session: AsyncSession, events: Sequence[CustomerCreated], *, at: datetime) -> None:
    await customers.keep_names(session, events)
    await permission_copies.keep_time_zones(session, events)


@subscriptions.on(CustomerChanged)
async def keep_changed_names(
    session: AsyncSession, events: Sequence[CustomerChanged], *, at: datetime
) -> None:
    await customers.keep_names(session, events)
    await permission_copies.keep_time_zones(session, events)


@subscriptions.on(ConsentChanged)
async def keep_permissions(session: AsyncSession, events: Sequence[ConsentChanged], *, at: datetime) -> None:
    await permission_copies.keep_permissions(session, events)


@subscriptions.on(ContactPolicyChanged)
async def keep_contact_policy(
    session: AsyncSession, events: Sequence[ContactPolicyChanged], *, at: datetime
) -> None:
    await permission_copies.keep_policy(session, events)


@subscriptions.on(MessageLogged)
async def count_messages_of_others(
    session: AsyncSession, events: Sequence[MessageLogged], *, at: datetime
) -> None:
    """Everybody's messages count for the customer's frequency caps."""
    await permission_copies.keep_messages(session, events, at=at)


@subscriptions.on(LevelChanged)
async def reorder_queue(session: AsyncSession, events: Sequence[LevelChanged], *, at: datetime) -> None:
    """The customers' waiting tickets move to where the new levels belong."""
    await queue.reorder(session, await customers.keep_levels(session, events))


@subscriptions.on(CustomerMerged)
async def hand_tickets_to_survivors(
    session: AsyncSession, events: Sequence[CustomerMerged], *, at: datetime
) -> None:
    await _lock(session, events)
    await aliases.link(session, Base.metadata, events)
    await _reorder_owners(session, {event.customer_id for event in events})


@subscriptions.on(CustomerUnmerged)
async def hand_tickets_back(
    session: AsyncSession, events: Sequence[CustomerUnmerged], *, at: datetime
) -> None:
    await _lock(session, events)
    await aliases.unlink(session, Base.metadata, events)
    await _reorder_owners(session, {event.customer_id for event in events})


@subscriptions.on(CustomerErased)
async def erase_customers(session: AsyncSession, events: Sequence[CustomerErased], *, at: datetime) -> None:
    """Forget the customers; their tickets go with all that was said in them."""
    for event in events:
        await erasure.comply(session, Base.metadata, event, TicketsErasureConfirmed, at=at)


@subscriptions.on(ExportRequested)
async def show_what_is_held(
    session: AsyncSession, events: Sequence[ExportRequested], *, at: datetime
) -> None:
    """Somebody wants to see all that is held about them: here is this service's part."""
    for event in events:
        await exports.prepare(session, Base.metadata, event, TicketsExportPrepared, at=at)


async def _lock(session: AsyncSession, events: Sequence[CustomerMerged | CustomerUnmerged]) -> None:
    """Tickets that change hands take the level of whose they become, which must stand still meanwhile."""
    await aliases.stop_writers(session)
    ids = {customer_id for event in events for customer_id in (event.customer_id, event.survivor_id)}
    owners = await aliases.resolve(session, ids)
    everybody = {*owners, *owners.values()}
    await customers.lock(session, everybody - await aliases.erased(session, everybody))


async def _reorder_owners(session: AsyncSession, ids: set[UUID]) -> None:
    owners = await aliases.resolve(session, ids)
    await queue.reorder(session, owners.values())
