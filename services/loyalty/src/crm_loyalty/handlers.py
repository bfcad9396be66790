"""What loyalty does when something happens to customers and their purchases, and when time passes."""

from collections.abc import Sequence
from datetime import datetime
from functools import partial

from sqlalchemy.ext.asyncio import AsyncSession

from crm_loyalty.care import acting, addressees, complaints, occasions, planning, plans
from crm_loyalty.care.letters import Links
from crm_loyalty.coupons import batches, ending, using
from crm_loyalty.earning import awarding, backtests, members, memberships, pending, purchases
from crm_loyalty.earning import events as earning_events
from crm_loyalty.ledger import accounts, expirations, holds, ledger, refunds
from crm_loyalty.models.base import Base
from crm_loyalty.pools import belonging
from crm_loyalty.postings import Order
from crm_loyalty.quotes import budgets, quotes, releasing
from crm_loyalty.recovery import recoveries
from crm_loyalty.referrals import qualifying
from crm_loyalty.settings import Settings
from crm_loyalty.tiers import ladders, merging, standings
from crm_shared import calendar_copies, customers, erasure, exports, permission_copies
from crm_shared.contracts.base import Event
from crm_shared.contracts.erasure import LoyaltyErasureConfirmed
from crm_shared.contracts.exports import LoyaltyExportPrepared
from crm_shared.contracts.profiles import (
    NOTHING_LEFT,
    ConsentChanged,
    ContactPolicyChanged,
    CustomerChanged,
    CustomerCreated,
    CustomerErased,
    CustomerMerged,
    CustomerUnmerged,
    ExportRequested,
    InteractionRecorded,
    MessageLogged,
    PurchaseRecorded,
    PurchaseRefunded,
    StageChanged,
)
from crm_shared.contracts.segmentation import (
    LevelChanged,
    MembershipEntered,
    MembershipLeft,
    MembershipState,
)
from crm_shared.contracts.tickets import (
    CalendarChanged,
    ComplaintUpheld,
    TicketClosed,
    TicketOpened,
    TicketResolved,
    TicketResponded,
    TicketState,
)
from crm_shared.database import Json, Sessions
from crm_shared.due import Due, DueWork
from crm_shared.jobs import Jobs, RunningJob
from crm_shared.subscriptions import Subscriptions

subscriptions = Subscriptions()
due_work = DueWork()
jobs = Jobs()


@subscriptions.first
async def lock_in_order(session: AsyncSession, events: Sequence[Event]) -> None:
    """First what care has planned, then accounts, then what the events of the poll lock besides: as workers.

    The accounts are those of all who bought, gave back or may earn by events.
    """
    await complaints.lock(session, [event for event in events if isinstance(event, TicketState)])
    bought = [event for event in events if isinstance(event, PurchaseRecorded | PurchaseRefunded)]
    happened = await earning_events.named(session, events)
    if earning := {event.customer_id for event in (*bought, *happened)}:
        await customers.stop_merges(session)
        await accounts.lock(session, earning)


@subscriptions.on(PurchaseRecorded)
async def award_points(session: AsyncSession, events: Sequence[PurchaseRecorded], *, at: datetime) -> None:
    """Give what the earning rules say for each purchase, then see to referrals and tiers."""
    await releasing.close(session, events)
    await awarding.award(session, events, at=at)
    await qualifying.qualify(session, events, at=at)
    await _look_at_tiers(session, events, at)


@subscriptions.on(LevelChanged)
async def keep_levels(session: AsyncSession, events: Sequence[LevelChanged], *, at: datetime) -> None:
    """Rules may give more to customers of some levels."""
    await members.keep_levels(session, events)


@subscriptions.on(MembershipEntered, MembershipLeft)
async def keep_memberships(session: AsyncSession, events: Sequence[MembershipState], *, at: datetime) -> None:
    """Rules and offers may be for some segments only."""
    await memberships.keep(session, events)


@subscriptions.on(InteractionRecorded, StageChanged)
async def reward_events(session: AsyncSession, events: Sequence[Event], *, at: datetime) -> None:
    """Rules may give points for what is no purchase."""
    await earning_events.award(session, events, at=at)


@subscriptions.on(PurchaseRefunded)
async def take_points_back(
    session: AsyncSession, events: Sequence[PurchaseRefunded], *, at: datetime
) -> None:
    """Take back what the returned lines earned, and give back what was paid on them.

    Of an order of which nothing is left the coupons come back, and what promotions took off to their budgets.
    """
    await purchases.give_back(session, events)
    await pending.take_back(session, events)
    await refunds.reverse(session, events, at=at)
    returned = [
        Order(event.order_source, event.order_external_id)
        for event in events
        if event.status == NOTHING_LEFT and event.order_source and event.order_external_id
    ]
    await ending.restore(session, returned, at=at)
    await qualifying.undo(session, events, at=at)
    await _look_at_tiers(session, events, at)
    await budgets.restore(session, returned, at=at)


@subscriptions.on(CustomerCreated)
async def open_accounts(session: AsyncSession, events: Sequence[CustomerCreated], *, at: datetime) -> None:
    await accounts.open_(session, {event.customer_id for event in events}, at=at)
    await members.keep_birthdays(session, events)
    await earning_events.award(session, events, at=at)
    await permission_copies.keep_time_zones(session, events)
    await addressees.keep(session, events)


@subscriptions.on(CustomerChanged)
async def keep_profiles(session: AsyncSession, events: Sequence[CustomerChanged], *, at: datetime) -> None:
    """Quiet hours lie in the customer's own time zone, and birthdays may earn more."""
    await members.keep_birthdays(session, events)
    await earning_events.award(session, events, at=at)
    await permission_copies.keep_time_zones(session, events)
    await addressees.keep(session, events)


@subscriptions.on(ConsentChanged)
async def keep_permissions(session: AsyncSession, events: Sequence[ConsentChanged], *, at: datetime) -> None:
    # Accounts before permissions, as all who need both.
    await earning_events.award(session, events, at=at)
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


@subscriptions.on(CalendarChanged)
async def keep_calendars(session: AsyncSession, events: Sequence[CalendarChanged], *, at: datetime) -> None:
    await calendar_copies.keep(session, events)


@subscriptions.on(ComplaintUpheld)
async def propose_compensation(
    session: AsyncSession, events: Sequence[ComplaintUpheld], *, at: datetime
) -> None:
    """The complaint was right: somebody may give the customer points for it."""
    await recoveries.propose(session, events, at=at)


@subscriptions.on(TicketResponded, TicketClosed)
async def keep_complaints(session: AsyncSession, events: Sequence[TicketState], *, at: datetime) -> None:
    """Nobody is greeted while a severe complaint of theirs is open."""
    await complaints.keep(session, events, at=at)


@subscriptions.on(TicketOpened, TicketResolved)
async def keep_and_reward_tickets(
    session: AsyncSession, events: Sequence[TicketState], *, at: datetime
) -> None:
    """A suggestion may be worth points, and so may a ticket that found its end."""
    await complaints.keep(session, events, at=at)
    await earning_events.award(session, events, at=at)


@subscriptions.on(CustomerMerged)
async def join_accounts(session: AsyncSession, events: Sequence[CustomerMerged], *, at: datetime) -> None:
    """The survivor owns the accounts of both from now on."""
    await customers.link(session, Base.metadata, events)
    # So that every id that ever meant somebody leads to an account, and by it to its owner.
    both = {id for event in events for id in (event.customer_id, event.survivor_id)}
    await accounts.open_(session, both - await customers.erased(session, both), at=at)
    await merging.join(session, events, at=at)
    await belonging.follow(session, both, at=at)


@subscriptions.on(CustomerUnmerged)
async def part_accounts(session: AsyncSession, events: Sequence[CustomerUnmerged], *, at: datetime) -> None:
    """Each account goes back to whom it was opened for, with what its lots have left."""
    await customers.unlink(session, Base.metadata, events)
    await merging.part(session, events, at=at)
    both = {id for event in events for id in (event.customer_id, event.survivor_id)}
    await belonging.follow(session, both, at=at)


@subscriptions.on(CustomerErased)
async def erase_customers(session: AsyncSession, events: Sequence[CustomerErased], *, at: datetime) -> None:
    """Clear all words about the customers; the books stay, under an id that leads to nobody."""
    for event in events:
        shared = await belonging.of(session, {event.customer_id, *event.absorbed})
        await erasure.comply(session, Base.metadata, event, LoyaltyErasureConfirmed, at=at)
        await belonging.forget(session, shared, at=at)


@subscriptions.on(ExportRequested)
async def show_what_is_held(
    session: AsyncSession, events: Sequence[ExportRequested], *, at: datetime
) -> None:
    """Somebody wants to see all that is held about them: here is this service's part."""
    for event in events:
        await exports.prepare(session, Base.metadata, event, LoyaltyExportPrepared, at=at)


@due_work.on(ledger.HOLD)
async def run_out_holds(session: AsyncSession, due: Sequence[Due], *, at: datetime) -> None:
    await holds.run_out(session, [each.ref for each in due], at=at)


@due_work.on(pending.PENDING)
async def release_points(session: AsyncSession, due: Sequence[Due], *, at: datetime) -> None:
    """The return window is over: the points can be spent."""
    await pending.release(session, [each.ref for each in due], at=at)


@jobs.on(backtests.BACKTEST)
async def compare_rules(sessions: Sessions, job: RunningJob) -> Json:
    """Somebody wants to know what other rules would have given."""
    return await backtests.run(sessions, job)


@due_work.on(using.RESERVATION)
async def release_coupons(session: AsyncSession, due: Sequence[Due], *, at: datetime) -> None:
    """Coupons that nobody redeemed in time can be used again."""
    await ending.run_out(session, [each.ref for each in due], at=at)


@due_work.on(qualifying.SETTLE)
async def reward_referrals(session: AsyncSession, due: Sequence[Due], *, at: datetime) -> None:
    """Who brought a friend and the friend get their points, or lose those of an order that came back."""
    await qualifying.settle(session, [each.ref for each in due], at=at)


@due_work.on(ledger.EXPIRY)
async def expire_lots(session: AsyncSession, due: Sequence[Due], *, at: datetime) -> None:
    await expirations.expire(session, [each.ref for each in due], at=at)


@due_work.on(ledger.EXPIRY_NOTICE)
async def announce_expiry(session: AsyncSession, due: Sequence[Due], *, at: datetime) -> None:
    await expirations.announce(session, [each.ref for each in due], at=at)


@due_work.on(quotes.FORGET)
async def forget_quotes(session: AsyncSession, due: Sequence[Due], *, at: datetime) -> None:
    """Prices that nobody took need not be kept."""
    await quotes.forget(session, [each.ref for each in due])


@due_work.on(ladders.LOOK)
async def let_tiers_change(session: AsyncSession, due: Sequence[Due], *, at: datetime) -> None:
    """Nothing happened to these customers but the passing of time, or another ladder."""
    await standings.reassess(session, [each.ref for each in due], at=at, planned=True)


@due_work.on(plans.PLANNING)
async def plan_care(session: AsyncSession, due: Sequence[Due], *, at: datetime) -> None:
    """Another day begins somewhere, or somebody became known whom a plan reaches today."""
    await planning.plan(session, [each.ref for each in due], at=at)


def due_work_of(settings: Settings) -> DueWork:
    """All that happens at an instant; what care writes and gives needs secrets of the settings."""
    means = acting.Means(Links(settings.public_url, settings.unsubscribe_key), settings.coupon_key)

    async def let_care_happen(session: AsyncSession, due: Sequence[Due], *, at: datetime) -> None:
        await acting.act(session, [each.ref for each in due], means, at=at)

    all_due = DueWork()
    for kind in due_work.kinds:
        all_due.on(kind)(due_work[kind])
    all_due.on(occasions.OCCASION)(let_care_happen)
    return all_due


def jobs_of(settings: Settings) -> Jobs:
    """All that takes long; codes of coupons are made by a secret of the settings."""
    all_jobs = Jobs()
    for kind in jobs.kinds:
        all_jobs.on(kind)(jobs[kind])
    all_jobs.on(batches.ISSUE)(partial(batches.run, key=settings.coupon_key))
    return all_jobs


async def _look_at_tiers(
    session: AsyncSession, events: Sequence[PurchaseRecorded | PurchaseRefunded], at: datetime
) -> None:
    causes = {event.customer_id: event for event in events}
    await standings.reassess(session, causes, at=at, causes=causes)
