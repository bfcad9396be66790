"""What profiles does with the events of other services: it tells timelines and fills receipts."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from crm_profiles import customers, privacy, timeline
from crm_profiles.contact_points import Owner
from crm_profiles.models import EntryType
from crm_profiles.timeline import Entry
from crm_shared.contracts.base import Event
from crm_shared.contracts.erasure import (
    ErasureConfirmed,
    LoyaltyErasureConfirmed,
    SegmentationErasureConfirmed,
    TicketsErasureConfirmed,
)
from crm_shared.contracts.loyalty import PointsEarned, PointsHeld, PointsReleased, PointsSpent
from crm_shared.contracts.segmentation import LevelChanged
from crm_shared.contracts.tickets import TicketClosed, TicketOpened, TicketResolved, TicketResponded
from crm_shared.customers import resolve
from crm_shared.subscriptions import Subscriptions

subscriptions = Subscriptions()

TOLD: tuple[type[Event], ...] = (
    PointsEarned,
    PointsSpent,
    PointsHeld,
    PointsReleased,
    LevelChanged,
    TicketOpened,
    TicketResponded,
    TicketResolved,
    TicketClosed,
)
"""The events of other services that stand on the timeline."""


async def tell_timelines(session: AsyncSession, events: Sequence[Event], *, at: datetime) -> None:
    """Add what happened elsewhere to the timelines of the customers with whom it happened.

    Who is not on file was erased: customers begin here.
    """
    current = await resolve(session, {event.customer_id for event in events})
    present = await customers.hold(session, current.values())
    entries = []
    for event in (event for event in events if current[event.customer_id] in present):
        type_, title = told(event)
        data = event.model_dump(mode="json", exclude={"customer_id", "version"})
        owner = Owner(current[event.customer_id], event.customer_id)
        entries.append(Entry(event.id, owner, type_, event.envelope.time, title, data))
    await timeline.record(session, entries, at=at)


async def note_confirmations(
    session: AsyncSession, events: Sequence[ErasureConfirmed], *, at: datetime
) -> None:
    """A service has forgotten customers: their receipts say so."""
    await privacy.note(session, events, at=at)


for told_class in TOLD:
    subscriptions.on(told_class)(tell_timelines)
for confirmed_class in (SegmentationErasureConfirmed, TicketsErasureConfirmed, LoyaltyErasureConfirmed):
    subscriptions.on(confirmed_class)(note_confirmations)


def told(event: Event) -> tuple[EntryType, str]:
    """What kind of entry the event makes, and its title."""
    match event:
        case PointsEarned():
            return EntryType.POINTS_EARNED, f"Earned {event.points} points"
        case PointsSpent():
            return EntryType.POINTS_SPENT, f"Spent {event.points} points"
        case PointsHeld():
            return EntryType.POINTS_HELD, f"{event.points} points were reserved"
        case PointsReleased():
            how = "ran out" if event.ran_out else "was released"
            return EntryType.POINTS_RELEASED, f"The hold on {event.points} points {how}"
        case LevelChanged():
            return EntryType.LEVEL_CHANGED, f"Level is now {event.level}"
        case TicketOpened():
            return EntryType.TICKET_OPENED, f"Ticket {event.number} was opened: {event.title}"
        case TicketResponded():
            return EntryType.TICKET_RESPONDED, f"Ticket {event.number} was answered"
        case TicketResolved():
            return EntryType.TICKET_RESOLVED, f"Ticket {event.number} was resolved"
        case TicketClosed():
            return EntryType.TICKET_CLOSED, f"Ticket {event.number} was closed"
        case _:
            raise TypeError(f"{event.type} has no place on the timeline")
