"""Purchases: orders that shops tell of, each recorded once, with an event and an entry of the timeline."""

from collections.abc import Mapping, Sequence
from copy import copy
from datetime import datetime
from functools import partial
from typing import TypeAlias
from uuid import UUID

from sqlalchemy import func, select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import selectinload

from crm_profiles.activity import recording, timeline
from crm_profiles.activity.recording import Candidate, NaturalKey, Recorded, Register, Stored
from crm_profiles.activity.timeline import Entry
from crm_profiles.bulk import arrays, insert_new
from crm_profiles.customers import customers
from crm_profiles.customers import owners as locks
from crm_profiles.customers.contact_points import Owner
from crm_profiles.errors import PurchaseDiffers, PurchaseNotFound
from crm_profiles.messages import conversions
from crm_profiles.models.customers import Channel
from crm_profiles.models.purchases import Purchase, PurchaseLine, PurchaseStatus, Refund
from crm_profiles.models.timeline import EntryType
from crm_profiles.privacy import suppression
from crm_profiles.rules import instants
from crm_profiles.schemas.customers import CustomerItem
from crm_profiles.schemas.purchases import PurchaseIn, PurchaseTotalsOut
from crm_shared.clock import Clock
from crm_shared.contracts.base import Money
from crm_shared.contracts.profiles import PurchaseLineState, PurchaseRecorded
from crm_shared.customers import CustomerNotFound
from crm_shared.database import Json
from crm_shared.ids import uuid7
from crm_shared.outbox import News, publish_many
from crm_shared.pages import Key, Listing, PageRequest, paginate
from crm_shared.problems import Problem

FIRST_VERSION = 1
"""Of a purchase; each refund makes one more."""

CustomerKey: TypeAlias = tuple[str, str]
"""A source and what it calls the customer."""


async def record(
    session: AsyncSession, items: Sequence[PurchaseIn], *, clock: Clock, suppress_with: bytes | None = None
) -> list[Recorded | Problem]:
    """Put each purchase on file unless it is there; the same number of statements however many they are.

    A customer whom it brings along, with a name, is created when unknown. An item's problem is
    CustomerNotFound, PurchaseDiffers when its external id stands for another content, InvalidRequest when it
    has not occurred yet, or why its customer cannot be created. With the key `suppress_with`, nobody is
    created who was erased.
    """
    premature = instants.premature([item.occurred_at for item in items], now=clock.now())
    timely = [item for index, item in enumerate(items) if index not in premature]
    found = await _welcome(session, timely, await locks.lock(session, timely), clock, suppress_with)
    at = clock.now()
    candidates = [
        owner if isinstance(owner, Problem) else Candidate(uuid7(), owner, item)
        for item, owner in zip(timely, found, strict=True)
    ]
    first = recording.once(c for c in candidates if isinstance(c, Candidate))
    stored = await recording.store(session, _REGISTER, first, partial(_row, at=at))
    new = [candidate for candidate in first if stored[candidate.key].id == candidate.id]
    if lines := [line for candidate in new for line in _lines(candidate)]:
        await session.execute(_INSERT_LINES, arrays(lines, *_LINE_COLUMNS))
    await _tell(session, new, at=at)
    await conversions.credit(session, [purchase.id for purchase in new])
    outcomes = iter([c if isinstance(c, Problem) else _outcome(c, stored) for c in candidates])
    return [premature.get(index) or next(outcomes) for index in range(len(items))]


async def get(session: AsyncSession, purchase_id: UUID) -> Purchase:
    """The purchase with its lines and refunds; raises PurchaseNotFound."""
    whole = [selectinload(Purchase.lines), selectinload(Purchase.refunds).selectinload(Refund.lines)]
    purchase = await session.get(Purchase, purchase_id, options=whole, populate_existing=True)
    if purchase is None:
        raise PurchaseNotFound(purchase_id=str(purchase_id))
    return purchase


async def list_(session: AsyncSession, customer_id: UUID, *, page: PageRequest) -> Listing[Purchase]:
    """The customer's purchases, the newest first."""
    return await paginate(
        session,
        select(Purchase).where(Purchase.customer_id == customer_id).options(selectinload(Purchase.lines)),
        [Key(Purchase.occurred_at, descending=True), Key(Purchase.id, descending=True)],
        page=page,
        filters=str(customer_id),
    )


async def totals(session: AsyncSession) -> PurchaseTotalsOut:
    """Count, customers and sums over everything that is on file."""
    everything = func.grouping(Purchase.currency) == 1
    rows = await session.execute(
        select(
            Purchase.currency,
            everything.label("everything"),
            func.count().label("purchases"),
            func.count(Purchase.customer_id.distinct()).label("customers"),
            func.sum(Purchase.amount).label("amount"),
            func.sum(Purchase.refunded).label("refunded"),
        ).group_by(func.grouping_sets(tuple_(Purchase.currency), tuple_()))
    )
    result = PurchaseTotalsOut(count=0, customers=0, totals=[], refunded=[], net=[])
    for row in sorted(rows, key=lambda row: row.currency or ""):
        if row.everything:
            result.count, result.customers = row.purchases, row.customers
        else:
            gross, refunded = int(row.amount), int(row.refunded)
            result.totals.append(Money(amount=gross, currency=row.currency))
            result.refunded.append(Money(amount=refunded, currency=row.currency))
            result.net.append(Money(amount=gross - refunded, currency=row.currency))
    return result


_REGISTER = Register.of(Purchase)
_LINE_COLUMNS = tuple(column.name for column in PurchaseLine.__table__.c)
_INSERT_LINES = insert_new(PurchaseLine, *_LINE_COLUMNS)


async def _welcome(
    session: AsyncSession,
    items: Sequence[PurchaseIn],
    found: Sequence[Owner | None],
    clock: Clock,
    suppress_with: bytes | None,
) -> list[Owner | Problem]:
    """The owners; who is unknown and was brought along by a purchase, with a name, is created."""
    newcomers: dict[CustomerKey, CustomerItem] = {}
    for item, owner in zip(items, found, strict=True):
        if owner is None and item.customer is not None and item.customer.name is not None:
            told = item.customer.model_dump(exclude_unset=True)
            newcomers.setdefault(item.customer.key, CustomerItem(channel=Channel.PURCHASE, **told))
    refused: dict[CustomerKey, Problem] = {}
    if suppress_with is not None:
        keys, told_of = list(newcomers), dict(enumerate(newcomers.values()))
        question = suppression.Question.of(told_of, key=suppress_with)
        erased = await suppression.refuse(session, question)
        refused |= {keys[index]: problem for index, problem in erased.items()}
        newcomers = {key: each for key, each in newcomers.items() if key not in refused}
    owners: dict[int, Owner | None] = dict(enumerate(found))
    if newcomers:
        written = await customers.upsert(session, list(newcomers.values()), clock=clock, only_new=True)
        outcomes = dict(zip(newcomers, written, strict=True))
        refused |= {key: outcome for key, outcome in outcomes.items() if isinstance(outcome, Problem)}
        lacking = [index for index, owner in owners.items() if owner is None]
        owners |= zip(lacking, await locks.lock(session, [items[index] for index in lacking]), strict=True)
    return [owners[index] or _unknown(item, refused) for index, item in enumerate(items)]


def _unknown(item: PurchaseIn, refused: Mapping[CustomerKey, Problem]) -> Problem:
    problem = refused.get(item.customer.key) if item.customer is not None else None
    if problem is None:
        return CustomerNotFound("Nobody is known by this id.")
    own = copy(problem)  # each item says where in itself it went wrong
    own.errors = [
        {"pointer": f"/customer{fault['pointer']}", "code": fault["code"], "message": fault["message"]}
        for fault in problem.errors
    ]
    return own


def _row(candidate: Candidate[PurchaseIn], at: datetime) -> Json:
    item = candidate.item
    return {
        "id": candidate.id,
        "customer_id": candidate.owner.id,
        "origin_customer_id": candidate.owner.origin,
        "source": item.source,
        "external_id": item.external_id,
        "occurred_at": item.occurred_at,
        "recorded_at": at,
        "channel": item.channel,
        "shop": item.shop,
        "currency": item.currency,
        "amount": item.amount,
        "refunded": 0,
        "status": PurchaseStatus.KEPT,
        "version": FIRST_VERSION,
        "digest": candidate.digest,
    }


def _lines(candidate: Candidate[PurchaseIn]) -> list[Json]:
    return [
        {
            **line.model_dump(exclude={"price", "discount", "total"}),
            "purchase_id": candidate.id,
            "line": number,
            "amount": line.total.amount,
            "price": line.price and line.price.amount,
            "discount": line.discount and line.discount.amount,
            "refunded_quantity": 0,
            "refunded": 0,
        }
        for number, line in enumerate(candidate.item.lines, start=1)
    ]


async def _tell(session: AsyncSession, purchases: Sequence[Candidate[PurchaseIn]], *, at: datetime) -> None:
    """The event for the world, the entry for the customer's timeline."""
    entries, news = [], []
    for purchase in purchases:
        item = purchase.item
        event = PurchaseRecorded(
            customer_id=purchase.owner.origin,  # so that it stays with them when a merge is undone
            version=FIRST_VERSION,
            purchase_id=purchase.id,
            total=Money(amount=item.amount, currency=item.currency),
            lines=[
                PurchaseLineState(line=number, **dict(line))
                for number, line in enumerate(item.lines, start=1)
            ],
            **item.model_dump(include={"source", "external_id", "occurred_at", "channel", "shop"}),
        )
        news.append(News(event, id=purchase.id))  # the entry has the event's id, and is written first
        pieces = sum(line.quantity for line in item.lines)
        title = f"Bought {pieces} {'piece' if pieces == 1 else 'pieces'}"
        data = event.model_dump(mode="json", exclude={"customer_id", "version"})
        entry_type = EntryType.PURCHASE_RECORDED
        entries.append(Entry(purchase.id, purchase.owner, entry_type, item.occurred_at, title, data))
    await timeline.record(session, entries, at=at)
    await publish_many(session, news, at=at)


def _outcome(
    candidate: Candidate[PurchaseIn], stored: Mapping[NaturalKey, Stored]
) -> Recorded | PurchaseDiffers:
    found = stored[candidate.key]
    if not recording.same(candidate, found):
        return PurchaseDiffers("Another purchase has this external id already.", purchase_id=str(found.id))
    return recording.recorded(candidate, found)
