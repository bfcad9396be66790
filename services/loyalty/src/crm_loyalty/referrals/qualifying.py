"""What becomes of referrals: qualified by an order, undone by its return, and the points of both sides.

Who records a purchase only notes what it means; points are given in a transaction of their own, which locks
the accounts of both sides in the ledger's order.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import exists, or_, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from crm_loyalty.errors import NothingToReverse
from crm_loyalty.ledger import accounts, ledger
from crm_loyalty.models.ledger import Account
from crm_loyalty.models.purchases import Purchase
from crm_loyalty.models.referrals import Referral, ReferralPolicy, ReferralState
from crm_loyalty.postings import REFERRAL, SOURCE, Earn, Posting, ReverseWish
from crm_shared import customers, due
from crm_shared.contracts.loyalty import ReferralQualified
from crm_shared.contracts.profiles import NOTHING_LEFT, PurchaseRecorded, PurchaseRefunded
from crm_shared.customers import CustomerWasErased
from crm_shared.outbox import News, publish_many

SETTLE = "referral"
"""The kind of due work by which points of referrals are given and taken back."""

_other = aliased(Referral)
_WAS_KNOWN = or_(
    exists().where(Purchase.customer_id == Referral.customer_id, Purchase.occurred_at < Referral.claimed_at),
    exists().where(
        _other.customer_id == Referral.customer_id,
        _other.state.in_([ReferralState.QUALIFIED, ReferralState.REVERSED]),
    ),
)
"""Had ordered before, or came by another code, under whatever id; orders of this poll are on file by now."""


async def qualify(session: AsyncSession, events: Sequence[PurchaseRecorded], *, at: datetime) -> None:
    """Let the first order that comes to the minimum in time count; called under its buyer's account locks.

    Who turns out to have ordered before the claim, maybe under an id that was merged since, was no new
    customer; and of two who turn out to be one, the first claim by which an order qualifies is the only one.
    """
    found = await session.execute(
        select(Account.origin_customer_id, Referral, ReferralPolicy, _WAS_KNOWN)
        .join(Referral, Referral.customer_id == Account.customer_id)
        .join(ReferralPolicy, ReferralPolicy.version == Referral.policy_version)
        .where(
            Account.origin_customer_id.in_({event.customer_id for event in events}),
            Referral.state == ReferralState.CLAIMED,
        )
        .order_by(Referral.id)
        .with_for_update(of=Referral)
    )
    claimed: dict[UUID, list[tuple[Referral, ReferralPolicy]]] = {}
    for customer_id, referral, terms, was_known in found:
        if not was_known:
            claimed.setdefault(customer_id, []).append((referral, terms))
        elif referral.state is ReferralState.CLAIMED:
            _void(referral)
    settled: dict[UUID, datetime] = {}
    for event in sorted(events, key=lambda event: event.occurred_at):
        claims = [each for each in claimed.get(event.customer_id, ()) if _qualifies(*each, event)]
        if claims:
            [(referral, _), *_] = claims
            referral.state, referral.version = ReferralState.QUALIFIED, referral.version + 1
            referral.purchase_id, referral.qualified_at = event.purchase_id, event.occurred_at
            settled[referral.id] = at
            for other, _ in claimed[event.customer_id]:
                if other.state is ReferralState.CLAIMED:
                    _void(other)
    await due.reschedule(session, SETTLE, settled)


async def undo(session: AsyncSession, events: Sequence[PurchaseRefunded], *, at: datetime) -> None:
    """Undo referrals whose order was given back as a whole before its return window closed."""
    returned = {event.purchase_id: event for event in events if event.status == NOTHING_LEFT}
    if not returned:
        return
    found = await session.execute(
        select(Referral, ReferralPolicy)
        .join(ReferralPolicy, ReferralPolicy.version == Referral.policy_version)
        .where(Referral.purchase_id.in_(returned), Referral.state == ReferralState.QUALIFIED)
        .order_by(Referral.id)
        .with_for_update(of=Referral)
    )
    undone: dict[UUID, datetime] = {}
    for referral, terms in found:
        if referral.purchase_id is None:
            continue
        event = returned[referral.purchase_id]
        if event.occurred_at <= event.purchased_at + timedelta(days=terms.return_days):
            referral.state, referral.version = ReferralState.REVERSED, referral.version + 1
            undone[referral.id] = at
    await due.reschedule(session, SETTLE, undone)


async def settle(session: AsyncSession, referral_ids: Collection[UUID], *, at: datetime) -> None:
    """Give both sides what they were promised, or take it back; what was settled before is left alone."""
    await customers.stop_merges(session)
    sides = select(Referral.origin_customer_id, Referral.referrer_id).where(Referral.id.in_(referral_ids))
    people = {id for row in await session.execute(sides) for id in row}
    owners = await accounts.lock(session, people)
    found = await session.execute(
        select(Referral, ReferralPolicy)
        .join(ReferralPolicy, ReferralPolicy.version == Referral.policy_version)
        .where(Referral.id.in_(referral_ids))
        .order_by(Referral.id)
        .with_for_update(of=Referral)
    )
    giving: list[tuple[Referral, ReferralPolicy]] = []
    taking: list[Referral] = []
    for referral, terms in found:
        if referral.state is ReferralState.QUALIFIED and referral.settled_at is None:
            giving.append((referral, terms))
        elif referral.state is ReferralState.REVERSED:
            taking.append(referral)
    await _give(session, giving, owners, at)
    await _take_back(session, taking, at)


async def _give(
    session: AsyncSession,
    qualified: Sequence[tuple[Referral, ReferralPolicy]],
    owners: Mapping[UUID, UUID],
    at: datetime,
) -> None:
    gone = await customers.erased(session, owners)
    postings: list[Posting] = []
    news: list[News] = []
    for referral, terms in qualified:
        friend, referrer = referral.origin_customer_id, referral.referrer_id
        referral.version += 1
        if owners[friend] == owners[referrer]:  # they turned out to be one person
            referral.state = ReferralState.VOID
            continue
        referral.settled_at = at
        given = {"referrer": (referrer, terms.points_referrer), "friend": (friend, terms.points_friend)}
        postings += [
            Earn(
                customer_id=customer_id,
                source=SOURCE,
                reference=f"{REFERRAL} {referral.id} {side}",
                effective_at=at,
                points=points,
            )
            for side, (customer_id, points) in given.items()
            if points and customer_id not in gone
        ]
        news.append(News(_told(referral, terms)))
    verdicts = await ledger.post(session, postings, at=at) if postings else []
    made = {verdict.posting.reference: verdict.accepted().id for verdict in verdicts}
    for referral, _ in qualified:
        referral.referrer_transaction_id = made.get(f"{REFERRAL} {referral.id} referrer")
        referral.friend_transaction_id = made.get(f"{REFERRAL} {referral.id} friend")
    await publish_many(session, news, at=at)


async def _take_back(session: AsyncSession, undone: Sequence[Referral], at: datetime) -> None:
    """All that was given: a repeated reversal finds nothing more to undo."""
    postings: list[Posting] = []
    for referral in undone:
        referral.settled_at = at
        postings += [
            ReverseWish(
                customer_id=customer_id,
                source=SOURCE,
                reference=f"{REFERRAL} {referral.id} undone for {transaction_id}",
                effective_at=at,
                transaction_id=transaction_id,
                reason="The friend's order was given back.",
            )
            for customer_id, transaction_id in (
                (referral.referrer_id, referral.referrer_transaction_id),
                (referral.origin_customer_id, referral.friend_transaction_id),
            )
            if transaction_id is not None
        ]
    for verdict in await ledger.post(session, postings, at=at) if postings else ():
        # The books of who was erased stay as they are; some may have been reversed by hand.
        if not isinstance(verdict.refusal, CustomerWasErased | NothingToReverse):
            verdict.accepted()


def _qualifies(referral: Referral, terms: ReferralPolicy, event: PurchaseRecorded) -> bool:
    """Whether the claim still waits, and the order comes in time and is large enough."""
    return (
        referral.state is ReferralState.CLAIMED
        and event.occurred_at <= referral.qualify_by
        and event.total.currency == terms.currency
        and event.total.amount >= max(terms.minimum_order, 1)
    )


def _void(referral: Referral) -> None:
    referral.state, referral.version = ReferralState.VOID, referral.version + 1


def _told(referral: Referral, terms: ReferralPolicy) -> ReferralQualified:
    return ReferralQualified(
        customer_id=referral.origin_customer_id,
        version=referral.version,
        referral_id=referral.id,
        referrer_id=referral.referrer_id,
        purchase_id=referral.purchase_id,
        points_referrer=terms.points_referrer,
        points_friend=terms.points_friend,
    )
