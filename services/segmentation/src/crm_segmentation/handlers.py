"""What segmentation does when something happens elsewhere, when time passes, and when the rules change."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from crm_segmentation import basis, levelling
from crm_segmentation.models import Base, Customer
from crm_shared import calendar_copies, customers, due, erasure, exports
from crm_shared.contracts.base import Event
from crm_shared.contracts.erasure import SegmentationErasureConfirmed
from crm_shared.contracts.exports import SegmentationExportPrepared
from crm_shared.contracts.profiles import (
    CustomerChanged,
    CustomerCreated,
    CustomerErased,
    CustomerMerged,
    CustomerUnmerged,
    ExportRequested,
    PurchaseRecorded,
    PurchaseRefunded,
)
from crm_shared.contracts.tickets import CalendarChanged
from crm_shared.database import Json, Sessions
from crm_shared.due import Due, DueWork
from crm_shared.jobs import Jobs, RunningJob
from crm_shared.subscriptions import Subscriptions

_CHUNK = 1000

subscriptions = Subscriptions()
due_work = DueWork()
jobs = Jobs()


@subscriptions.on(PurchaseRecorded)
async def value_purchases(session: AsyncSession, events: Sequence[PurchaseRecorded], *, at: datetime) -> None:
    """Count the purchases and level their customers, who may not be known by any other event yet."""
    owners = await customers.resolve(session, {event.customer_id for event in events}, lock=True)
    held = await basis.hold(session, at=at)
    await levelling.introduce(session, owners.values())
    await levelling.record(session, events, owners)
    causes = {owners[event.customer_id]: event for event in events}
    await levelling.relevel(session, causes, held, at=at, causes=causes)


@subscriptions.on(PurchaseRefunded)
async def value_refunds(session: AsyncSession, events: Sequence[PurchaseRefunded], *, at: datetime) -> None:
    """Take off what was given back and level the customers anew."""
    owners = await customers.resolve(session, {event.customer_id for event in events}, lock=True)
    held = await basis.hold(session, at=at)
    await levelling.introduce(session, owners.values())
    await levelling.give_back(session, events, owners)
    causes = {owners[event.customer_id]: event for event in events}
    await levelling.relevel(session, causes, held, at=at, causes=causes)


@subscriptions.on(CustomerCreated)
async def level_new_customers(
    session: AsyncSession, events: Sequence[CustomerCreated], *, at: datetime
) -> None:
    await _introduce(session, events, at)


@subscriptions.on(CustomerChanged)
async def level_unheard_of_customers(
    session: AsyncSession, events: Sequence[CustomerChanged], *, at: datetime
) -> None:
    """Nothing that levels depend on can change here, but it may be the first that is heard of somebody."""
    await _introduce(session, events, at)


@subscriptions.on(CalendarChanged)
async def keep_calendars(session: AsyncSession, events: Sequence[CalendarChanged], *, at: datetime) -> None:
    await calendar_copies.keep(session, events)


@subscriptions.on(CustomerMerged)
async def level_merged_customers(
    session: AsyncSession, events: Sequence[CustomerMerged], *, at: datetime
) -> None:
    """The survivor gets the purchases of the absorbed customer, who has no level any more."""
    await customers.link(session, Base.metadata, events)
    await _relevel_both(session, events, at)


@subscriptions.on(CustomerUnmerged)
async def level_separated_customers(
    session: AsyncSession, events: Sequence[CustomerUnmerged], *, at: datetime
) -> None:
    await customers.unlink(session, Base.metadata, events)
    await _relevel_both(session, events, at)


@subscriptions.on(CustomerErased)
async def erase_customers(session: AsyncSession, events: Sequence[CustomerErased], *, at: datetime) -> None:
    """Forget the customers; who had absorbed them is levelled without their purchases."""
    ids = {id for event in events for id in (event.customer_id, *event.absorbed)}
    await customers.stop_writers(session)
    owners = await customers.resolve(session, ids)
    held = await basis.hold(session, at=at)
    for event in events:
        await erasure.comply(session, Base.metadata, event, SegmentationErasureConfirmed, at=at)
    await due.cancel(session, levelling.FLIP, ids)
    await levelling.relevel(session, set(owners.values()) - ids, held, at=at)


@subscriptions.on(ExportRequested)
async def show_what_is_held(
    session: AsyncSession, events: Sequence[ExportRequested], *, at: datetime
) -> None:
    """Somebody wants to see all that is held about them: here is this service's part."""
    for event in events:
        await exports.prepare(session, Base.metadata, event, SegmentationExportPrepared, at=at)


@due_work.on(levelling.FLIP)
async def let_levels_flip(session: AsyncSession, ready: Sequence[Due], *, at: datetime) -> None:
    """Nothing happened to these customers but the passing of time."""
    held = await basis.hold(session, at=at)
    await levelling.relevel(session, [each.ref for each in ready], held, at=at)


@jobs.on(levelling.RELEVEL)
async def relevel_everybody(sessions: Sessions, job: RunningJob) -> Json:
    """Level all customers on the basis in force, by id and in chunks; a takeover goes on behind the last one.

    Customers who come meanwhile are levelled on that basis by their own event.
    """
    done, changed = int(job.checkpoint.get("done", 0)), int(job.checkpoint.get("changed", 0))
    after = UUID(job.checkpoint.get("after", str(UUID(int=0))))
    async with sessions() as session:
        total = await session.scalar(select(func.count()).select_from(Customer))
    while True:
        async with sessions.begin() as session:
            at = job.clock.now()
            held = await basis.hold(session, at=at)
            chunk = list(
                await session.scalars(
                    select(Customer.customer_id)
                    .where(Customer.customer_id > after)
                    .order_by(Customer.customer_id)
                    .limit(_CHUNK)
                )
            )
            if not chunk:
                return {"customers": done, "changed": changed}
            changed += await levelling.relevel(session, chunk, held, at=at)
            done, after = done + len(chunk), chunk[-1]
            checkpoint: Json = {"done": done, "changed": changed, "after": str(after)}
            await job.progress(
                session, done=done, total=total, counts={"changed": changed}, checkpoint=checkpoint
            )


async def _introduce(
    session: AsyncSession, events: Sequence[CustomerCreated | CustomerChanged], at: datetime
) -> None:
    """Level those who were not known; for the others the event says nothing of interest here."""
    held = await basis.hold(session, at=at)
    causes = {event.customer_id: event for event in events}
    new = await levelling.introduce(session, causes)
    await levelling.relevel(session, new, held, at=at, causes=causes)


async def _relevel_both(
    session: AsyncSession, events: Sequence[CustomerMerged | CustomerUnmerged], at: datetime
) -> None:
    causes: dict[UUID, Event] = {}
    for event in events:
        causes[event.customer_id] = causes[event.survivor_id] = event
    owners = await customers.resolve(session, causes)
    ids = {*owners, *owners.values()}
    forgotten = await customers.erased(session, ids)
    held = await basis.hold(session, at=at)
    await levelling.introduce(session, ids - forgotten)
    await levelling.relevel(session, ids - forgotten, held, at=at, causes=causes)
