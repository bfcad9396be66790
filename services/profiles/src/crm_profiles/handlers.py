"""What profiles does when something happens elsewhere, when time passes, and when work takes long."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from crm_profiles import files
from crm_profiles.activity import levels, tickets, timeline
from crm_profiles.activity.timeline import Entry
from crm_profiles.customers import customers, owners
from crm_profiles.customers.contact_points import Owner
from crm_profiles.exports import exporting, exports
from crm_profiles.forms import collecting, submissions
from crm_profiles.imports import importing, imports, recording, reverting
from crm_profiles.merging import duplicates
from crm_profiles.messages import messages
from crm_profiles.messages.messages import LogEntry
from crm_profiles.models.imports import ImportRow, ImportTrial, ImportTrialName
from crm_profiles.models.timeline import EntryType
from crm_profiles.privacy import privacy, privacy_exports
from crm_profiles.quality import quality
from crm_profiles.settings import Settings
from crm_profiles.stages import stages, staging
from crm_shared.contracts import loyalty
from crm_shared.contracts import tickets as from_tickets
from crm_shared.contracts.base import Event
from crm_shared.contracts.erasure import (
    ErasureConfirmed,
    LoyaltyErasureConfirmed,
    SegmentationErasureConfirmed,
    TicketsErasureConfirmed,
)
from crm_shared.contracts.exports import (
    ExportPrepared,
    LoyaltyExportPrepared,
    SegmentationExportPrepared,
    TicketsExportPrepared,
)
from crm_shared.contracts.loyalty import (
    PointsAdjusted,
    PointsEarned,
    PointsExpired,
    PointsExpiring,
    PointsHeld,
    PointsReleased,
    PointsReversed,
    PointsSpent,
)
from crm_shared.contracts.messages import MessageState
from crm_shared.contracts.segmentation import LevelChanged
from crm_shared.contracts.tickets import (
    ComplaintRejected,
    ComplaintUpheld,
    TicketClosed,
    TicketOpened,
    TicketResolved,
    TicketResponded,
    TicketState,
)
from crm_shared.database import Json, Sessions
from crm_shared.due import Due, DueWork, schedule
from crm_shared.jobs import Jobs, RunningJob
from crm_shared.subscriptions import Subscriptions

subscriptions = Subscriptions()
due_work = DueWork()
jobs = Jobs()

_CHUNK = 5000

_LATER = timedelta(minutes=1)
_SOON = timedelta(seconds=1)

TITLES: Mapping[type[Event], tuple[EntryType, str]] = {
    PointsEarned: (EntryType.POINTS_EARNED, "Earned {points} points"),
    PointsSpent: (EntryType.POINTS_SPENT, "Spent {points} points"),
    PointsAdjusted: (EntryType.POINTS_ADJUSTED, "Points were put right by {change:+d}"),
    PointsHeld: (EntryType.POINTS_HELD, "{points} points were reserved"),
    PointsReleased: (EntryType.POINTS_RELEASED, "{points} reserved points are free again"),
    loyalty.RewardOrdered: (EntryType.REWARD_ORDERED, "Exchanged {points} points for {reward}"),
    loyalty.RewardShipped: (EntryType.REWARD_SHIPPED, "{reward} was sent"),
    loyalty.RewardDelivered: (EntryType.REWARD_DELIVERED, "{reward} was delivered"),
    loyalty.RewardCancelled: (EntryType.REWARD_CANCELLED, "The order of {reward} was cancelled"),
    loyalty.CouponIssued: (EntryType.COUPON_ISSUED, "Was given a coupon of {series}"),
    loyalty.CouponRedeemed: (EntryType.COUPON_REDEEMED, "Used a coupon of {series}"),
    loyalty.CouponVoided: (EntryType.COUPON_VOIDED, "A coupon of {series} was withdrawn"),
    PointsExpired: (EntryType.POINTS_EXPIRED, "{points} points expired"),
    PointsReversed: (EntryType.POINTS_REVERSED, "Points changed by {change:+d}, as something was given back"),
    PointsExpiring: (EntryType.POINTS_EXPIRING, "{points} points are about to expire"),
    loyalty.PointsShared: (EntryType.POINTS_SHARED, "{points} points: {movement} by a member of the pool"),
    loyalty.PoolJoined: (EntryType.POOL_JOINED, "Shares points in a pool"),
    loyalty.PoolLeft: (EntryType.POOL_LEFT, "Shares points in the pool no more: {reason}"),
    LevelChanged: (EntryType.LEVEL_CHANGED, "Level is now {level}"),
    TicketOpened: (EntryType.TICKET_OPENED, "Ticket {number} was opened: {title}"),
    ComplaintUpheld: (EntryType.COMPLAINT_UPHELD, "Complaint {number} was upheld"),
    ComplaintRejected: (EntryType.COMPLAINT_REJECTED, "Complaint {number} was rejected"),
    TicketResponded: (EntryType.TICKET_RESPONDED, "Ticket {number} was answered"),
    TicketResolved: (EntryType.TICKET_RESOLVED, "Ticket {number} was resolved"),
    TicketClosed: (EntryType.TICKET_CLOSED, "Ticket {number} was closed"),
    **dict.fromkeys(
        (loyalty.MessageSent, from_tickets.MessageSent),
        (EntryType.MESSAGE_SENT, "A message went out for {purpose} by {channel}"),
    ),
    **dict.fromkeys(
        (loyalty.MessageFailed, from_tickets.MessageFailed),
        (EntryType.MESSAGE_FAILED, "A message for {purpose} by {channel} did not arrive"),
    ),
    **dict.fromkeys(
        (loyalty.MessageAnswered, from_tickets.MessageAnswered),
        (EntryType.MESSAGE_ANSWERED, "A message for {purpose} by {channel} was answered"),
    ),
}
"""The events of other services that stand on the timeline: as what, and under which title."""


TICKETS = (TicketOpened, ComplaintUpheld, ComplaintRejected, TicketResponded, TicketResolved, TicketClosed)
MESSAGES = (
    *(loyalty.MessageSent, loyalty.MessageDelivered, loyalty.MessageFailed, loyalty.MessageAnswered),
    *(from_tickets.MessageSent, from_tickets.MessageDelivered),
    *(from_tickets.MessageFailed, from_tickets.MessageAnswered),
)


@subscriptions.on(*TITLES.keys() - {LevelChanged, *TICKETS, *MESSAGES})
async def tell_timelines(session: AsyncSession, events: Sequence[Event], *, at: datetime) -> None:
    """Add what happened elsewhere to the timelines of the customers with whom it happened.

    Who is not on file was erased: customers begin here.
    """
    await _tell(session, events, await owners.lock_all(session, {event.customer_id for event in events}), at)


@subscriptions.on(*TICKETS)
async def put_tickets_on_file(session: AsyncSession, events: Sequence[TicketState], *, at: datetime) -> None:
    """What became of a ticket stands on the customer's file and timeline."""
    found = await owners.lock_all(session, {event.customer_id for event in events})
    await tickets.keep(session, events, found)
    await _tell(session, events, found, at)


@subscriptions.on(*MESSAGES)
async def log_messages(session: AsyncSession, events: Sequence[MessageState], *, at: datetime) -> None:
    """What went out to customers, and what came of it, is logged; in whatever order it is heard of."""
    found = await messages.lock_owners(session, {event.customer_id for event in events})
    entries = [
        LogEntry(
            source=event.envelope.source,
            external_id=str(event.message_id),
            id=event.message_id,
            **event.model_dump(exclude={"message_id", "version"}),
        )
        for event in events
    ]
    await messages.log(session, entries, found, at=at)
    await _tell(session, [event for event in events if type(event) in TITLES], found, at)


@subscriptions.on(SegmentationErasureConfirmed, TicketsErasureConfirmed, LoyaltyErasureConfirmed)
async def note_confirmations(
    session: AsyncSession, events: Sequence[ErasureConfirmed], *, at: datetime
) -> None:
    """A service has forgotten customers: their receipts say so."""
    await privacy.note(session, events, at=at)


@subscriptions.on(SegmentationExportPrepared, TicketsExportPrepared, LoyaltyExportPrepared)
async def keep_export_pages(session: AsyncSession, events: Sequence[ExportPrepared], *, at: datetime) -> None:
    """A service says what it holds about somebody: it goes into their archive."""
    await privacy_exports.keep(session, events, at=at)


@subscriptions.on(LevelChanged)
async def keep_levels(session: AsyncSession, events: Sequence[LevelChanged], *, at: datetime) -> None:
    """Levels stand on timelines, and say who should be looked after."""
    await levels.keep(session, events)
    await tell_timelines(session, events, at=at)


@due_work.on(privacy_exports.EXPIRE)
async def let_archives_expire(session: AsyncSession, due: Sequence[Due], *, at: datetime) -> None:
    await privacy_exports.expire(session, [each.ref for each in due])


@due_work.on(submissions.LOOK)
async def collect_submissions(session: AsyncSession, due: Sequence[Due], *, at: datetime) -> None:
    """Put on file what forms were filled in with."""
    await collecting.collect(session, [each.ref for each in due], at=at)


@due_work.on(files.EXPIRY)
async def delete_expired_files(session: AsyncSession, due: Sequence[Due], *, at: datetime) -> None:
    """Delete files whose time is up; those that an import is reading or writing a little later."""
    ids = {each.ref for each in due}
    busy = await imports.in_use(session, ids) & ids
    await imports.delete_files(session, ids - busy)
    await schedule(session, files.EXPIRY, dict.fromkeys(busy, at + _LATER))


@due_work.on(imports.FORGET)
async def forget_verdicts(session: AsyncSession, due: Sequence[Due], *, at: datetime) -> None:
    """Delete what runs of imports said of rows; those that are not over a little later."""
    runs = {each.ref for each in due}
    busy = await imports.open_runs(session, runs)
    left = await recording.forget(session, ImportRow, runs - busy)
    await schedule(session, imports.FORGET, dict.fromkeys(busy, at + _LATER) | dict.fromkeys(left, at))
    await schedule(session, imports.FORGET_TRIALS, dict.fromkeys(runs - busy, at))


@due_work.on(imports.FORGET_TRIALS)
async def forget_trials(session: AsyncSession, due: Sequence[Due], *, at: datetime) -> None:
    """Delete what dry runs that are over remembered of customers."""
    runs = {each.ref for each in due}
    left = await recording.forget(session, ImportTrialName, runs)
    left |= await recording.forget(session, ImportTrial, runs)
    await schedule(session, imports.FORGET_TRIALS, dict.fromkeys(left, at))


@due_work.on(duplicates.MATCH)
async def compare_changed_customers(session: AsyncSession, due: Sequence[Due], *, at: datetime) -> None:
    """From the last look on to now; the instant of the next look says from when on it is."""
    for each in due:
        seen_all = await duplicates.match_changed(session, since=each.at, at=at)
        again = at + duplicates.EVERY if seen_all else each.at + timedelta(microseconds=1)
        await schedule(session, duplicates.MATCH, {each.ref: again})


@due_work.on(quality.LOOK)
async def assess_changed_customers(session: AsyncSession, due: Sequence[Due], *, at: datetime) -> None:
    """From the last look on to now; the instant of the next look says from when on it is."""
    for each in due:
        seen_all = await quality.assess_changed(session, since=each.at, at=at)
        again = at + quality.EVERY if seen_all else each.at + timedelta(microseconds=1)
        await schedule(session, quality.LOOK, {each.ref: again})


@due_work.on(stages.STAGE)
async def find_out_stages(session: AsyncSession, ready: Sequence[Due], *, at: datetime) -> None:
    """Something happened with these customers, or nothing for too long."""
    await staging.find_out(session, [each.ref for each in ready], at=at)


@jobs.on(stages.RESTAGE)
async def look_at_everybody(sessions: Sessions, job: RunningJob) -> Json:
    """Have everybody's stage found out by the policy in force, by id and in chunks."""
    done = int(job.checkpoint.get("done", 0))
    after = UUID(job.checkpoint.get("after", str(UUID(int=0))))
    while True:
        async with sessions.begin() as session:
            chunk = await customers.list_ids(session, after=after, limit=_CHUNK)
            if not chunk:
                return {"customers": done}
            await stages.look_again(session, chunk, at=job.clock.now())
            done, after = done + len(chunk), chunk[-1]
            await job.progress(session, done=done, checkpoint={"done": done, "after": str(after)})


jobs.on(imports.INSPECT)(importing.inspect)
jobs.on(duplicates.SCAN)(duplicates.scan)
jobs.on(imports.REVERT)(reverting.revert)
jobs.on(exports.MAKE)(exporting.make)
jobs.on(quality.ASSESS)(quality.assess_everybody)


async def tell_of_erasures_again(
    session: AsyncSession, due: Sequence[Due], *, segment: timedelta, at: datetime
) -> None:
    """Let brokers clear quiet partitions of the state topic, too."""
    await privacy.tell_again(session, [each.ref for each in due], segment=segment, at=at)


async def forget_unmatched_submissions(
    session: AsyncSession, due: Sequence[Due], *, kept: timedelta, at: datetime
) -> None:
    """What reached nobody on file is nobody's to ask for, so it does not stay for ever."""
    for each in due:
        none_left = await submissions.delete_unmatched(session, before=at - kept)
        again = at + (submissions.FORGET_EVERY if none_left else _SOON)
        await schedule(session, submissions.FORGET, {each.ref: again})


def due_of(settings: Settings) -> DueWork:
    """All that is done when it is due; how long something lasts is a setting."""
    all_work = DueWork()
    for kind in due_work.kinds:
        all_work.on(kind)(due_work[kind])
    all_work.on(privacy.TELL_AGAIN)(partial(tell_of_erasures_again, segment=settings.topic_segment))
    all_work.on(submissions.FORGET)(partial(forget_unmatched_submissions, kept=settings.submissions_kept))
    return all_work


def jobs_of(settings: Settings) -> Jobs:
    """All that takes long; importing goes by a secret of the settings."""
    all_jobs = Jobs()
    for kind in jobs.kinds:
        all_jobs.on(kind)(jobs[kind])
    all_jobs.on(imports.RUN)(partial(importing.run, suppression_key=settings.suppression_key))
    return all_jobs


async def _tell(
    session: AsyncSession, events: Sequence[Event], found: Mapping[UUID, Owner], at: datetime
) -> None:
    entries = []
    for event in (event for event in events if event.customer_id in found):
        type_, title = TITLES[type(event)]
        data = event.model_dump(mode="json", exclude={"customer_id", "version"})
        owner = found[event.customer_id]
        entries.append(Entry(event.id, owner, type_, event.envelope.time, title.format_map(data), data))
    await timeline.record(session, entries, at=at)
