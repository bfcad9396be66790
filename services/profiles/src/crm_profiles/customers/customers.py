"""Customers: who they are, written as sets so that one and a thousand take the same statements."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from uuid import UUID

from sqlalchemy import Select, false, func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import selectinload

from crm_profiles.bulk import one_of
from crm_profiles.customers import (
    attributes,
    contact_points,
    describing,
    documents,
    drafts,
    external_ids,
    writing,
)
from crm_profiles.customers.contact_points import Owner
from crm_profiles.customers.documents import Document
from crm_profiles.customers.drafts import Draft, Status
from crm_profiles.customers.external_ids import ExternalKey
from crm_profiles.customers.writing import Written
from crm_profiles.errors import ContactPointTaken, InvalidContactPoint, RepeatedItem
from crm_profiles.models.customers import Channel, ContactKind, ContactPoint, Customer, Gender
from crm_profiles.schemas.customers import CustomerIn, CustomerItem, CustomerPatch
from crm_shared import etags
from crm_shared.clock import Clock
from crm_shared.contracts.base import Event
from crm_shared.customers import CustomerNotFound, resolve, resolve_one, stop_merges
from crm_shared.ids import uuid7
from crm_shared.outbox import Author
from crm_shared.pages import Key, Listing, PageRequest, paginate
from crm_shared.problems import Problem


@dataclass(frozen=True)
class CustomerFilters:
    """Which customers are listed: all that is given must hold."""

    tag: str | None = None
    phone: str | None = None
    email: str | None = None
    social: str | None = None
    gender: Gender | None = None
    region: str | None = None
    source: str | None = None
    """That first told of them."""
    channel: Channel | None = None
    """By which they first came to be known."""
    manager: str | None = None
    """Who looks after them."""
    attribute: Sequence[str] = ()
    """<key>:<value> each."""


async def create(
    session: AsyncSession, body: CustomerIn, *, clock: Clock, cause: Event | None = None
) -> UUID:
    """Somebody new; raises ContactPointTaken, InvalidContactPoint, InvalidAttributes, NoLunarDate.

    `cause` is the event that told of them, whose actor it was; as in `patch`.
    """
    [outcome] = await create_many(session, [Newcomer(body, cause)], clock=clock)
    if isinstance(outcome, Problem):
        raise outcome
    return outcome.customer_id


@dataclass(frozen=True)
class Newcomer:
    """Somebody new; `cause` and `author` as drafts have them."""

    body: CustomerIn
    cause: Event | None = None
    author: Author | None = None


async def create_many(
    session: AsyncSession, newcomers: Sequence[Newcomer], *, clock: Clock
) -> list[Document | Problem]:
    """As `create`, for each by the same number of statements; who is refused leaves no trace.

    Who wants what an earlier one wanted is refused if that one got it, and gets it if that one was refused.
    """
    keys = (key for newcomer in newcomers for key in newcomer.body.attributes or ())
    declared = await attributes.declared(session, keys)
    now = clock.now()
    outcomes: dict[int, Document | Problem] = {}
    ready: dict[int, Draft] = {}
    for index, newcomer in enumerate(newcomers):
        draft = Draft.new(uuid7())
        draft.cause, draft.author = newcomer.cause, newcomer.author
        try:
            describing.check_birthday(newcomer.body, now=now)
            draft.apply(newcomer.body, source=newcomer.body.source, declared=declared)
        except Problem as problem:
            outcomes[index] = problem
        else:
            ready[index] = draft
    while ready:
        written = await writing.write(session, list(ready.values()), clock=clock)
        for index, outcome in zip(list(ready), written, strict=True):
            if not _worth_trying_again(outcome):
                draft = ready.pop(index)
                outcomes[index] = documents.of_new(draft) if isinstance(outcome, Written) else outcome
    return [outcomes[index] for index in range(len(newcomers))]


def _worth_trying_again(outcome: Written | Problem) -> bool:
    """Nobody has what was wanted, now that an earlier one of the same set has been refused."""
    return isinstance(outcome, ContactPointTaken) and outcome.extensions.get("customer_id") is None


async def patch(
    session: AsyncSession,
    customer_id: UUID,
    body: CustomerPatch,
    *,
    if_match: str | None,
    clock: Clock,
    cause: Event | None = None,
) -> UUID:
    """Apply a merge patch; nothing changed, no new version.

    Raises CustomerNotFound, StaleVersion, and what `create` raises.
    """
    describing.check_birthday(body, now=clock.now())
    declared = await attributes.declared(session, body.attributes or ())
    draft = await lock(session, customer_id)
    etags.check(if_match, draft.version)
    draft.cause = cause
    draft.apply(body, source=body.source, declared=declared)
    await writing.write_one(session, draft, clock=clock)
    return draft.owner.id


async def lock(session: AsyncSession, customer_id: UUID) -> Draft:
    """The customer whom the id means, to be changed by us alone; raises CustomerNotFound."""
    current = await resolve_one(session, customer_id, lock=True)
    locked = await drafts.lock(session, [Owner(current, customer_id)])
    if current not in locked:
        raise CustomerNotFound(customer_id=str(customer_id))
    return locked[current]


@dataclass(frozen=True)
class Revision:
    """What is told of a customer by our own id."""

    customer_id: UUID
    body: CustomerPatch


async def upsert(
    session: AsyncSession,
    items: Sequence[CustomerItem | Revision],
    *,
    clock: Clock,
    only_new: bool = False,
    kinds_apart: bool = False,
) -> list[Written | Problem]:
    """Create or change customers by what another system calls them, or by our id.

    A faulty item leaves no trace. With `only_new`, who is on file already stays as they are; with
    `kinds_apart`, contact points replace those of their kind only.

    The same number of statements however many they are. Everybody takes locks in one order, so that nobody
    waits in a circle: attributes, external ids, customers, contact points, each sorted.
    """
    bodies = [item.body if isinstance(item, Revision) else item for item in items]
    declared = await attributes.declared(session, (key for body in bodies for key in body.attributes or ()))
    await stop_merges(session)
    named = {ExternalKey(i.source, i.external_id) for i in items if isinstance(i, CustomerItem)}
    by_key = await drafts.claim_or_lock(session, named)
    by_id = await _lock_all(session, [item.customer_id for item in items if isinstance(item, Revision)])
    now = clock.now()
    outcomes: dict[int, Written | Problem] = {}
    ready: dict[int, Draft] = {}
    for index, draft in enumerate(_drafts_for(items, by_key, by_id)):
        if isinstance(draft, Problem):
            outcomes[index] = draft
            continue
        if only_new and draft.version > 0:
            outcomes[index] = Written(draft.owner.id, Status.UNCHANGED, draft.version)
            continue
        try:
            describing.check_birthday(bodies[index], now=now)
            draft.apply(
                bodies[index], source=bodies[index].source, declared=declared, kinds_apart=kinds_apart
            )
        except Problem as problem:
            outcomes[index] = problem
        else:
            ready[index] = draft
    written = await writing.write(session, list(ready.values()), clock=clock)
    outcomes |= dict(zip(ready, written, strict=True))
    stored = {outcome.customer_id for outcome in written if isinstance(outcome, Written)}
    await external_ids.release(
        session, [key for key, draft in by_key.items() if draft.version == 0 and draft.owner.id not in stored]
    )
    return [outcomes[index] for index in range(len(items))]


def _drafts_for(
    items: Sequence[CustomerItem | Revision],
    by_key: Mapping[ExternalKey, Draft],
    by_id: Mapping[UUID, Draft],
) -> Iterator[Draft | Problem]:
    """The draft of each item's customer: only the first item about one has it."""
    begun: set[UUID] = set()
    for item in items:
        if isinstance(item, CustomerItem):
            draft = by_key[ExternalKey(item.source, item.external_id)]
        elif item.customer_id in by_id:
            draft = by_id[item.customer_id]
        else:
            yield CustomerNotFound(customer_id=str(item.customer_id))
            continue
        if draft.owner.id in begun:
            yield RepeatedItem("An earlier item of this batch is about the same customer.")
        else:
            begun.add(draft.owner.id)
            yield draft


async def _lock_all(session: AsyncSession, ids: Sequence[UUID]) -> dict[UUID, Draft]:
    """A draft of each customer that an id means, by that id; nobody for ids that mean nobody."""
    if not ids:
        return {}
    current = await resolve(session, ids, lock=True)
    locked = await drafts.lock(session, [Owner(now, id) for id, now in current.items()])
    return {id: replace(locked[now], owner=Owner(now, id)) for id, now in current.items() if now in locked}


async def list_(session: AsyncSession, filters: CustomerFilters, *, page: PageRequest) -> Listing[Customer]:
    """Customers, the newest first."""
    return await paginate(
        session,
        matching(filters),
        [Key(Customer.id, descending=True)],
        page=page,
        filters=asdict(filters),
    )


def matching(filters: CustomerFilters) -> Select[Customer]:
    """Those for whom all filters hold, with what reaches and names them."""
    statement = select(Customer).options(
        selectinload(Customer.contact_points), selectinload(Customer.external_ids)
    )
    if filters.tag is not None:
        statement = statement.where(Customer.tags.contains([filters.tag]))
    for column in (Customer.gender, Customer.region, Customer.source, Customer.channel, Customer.manager):
        if (wanted := getattr(filters, column.key)) is not None:
            statement = statement.where(column == wanted)
    for asked in filters.attribute:
        statement = statement.where(attributes.condition(asked))
    for kind in ContactKind:
        value = getattr(filters, kind)
        if value is None:
            continue
        try:
            point = contact_points.normalise(kind, value, None)
        except InvalidContactPoint:
            statement = statement.where(false())  # what cannot be read is nobody's
        else:
            holder = select(ContactPoint.customer_id).where(
                ContactPoint.kind == point.kind, ContactPoint.value == point.value
            )
            statement = statement.where(Customer.id.in_(holder))
    return statement


async def count(session: AsyncSession) -> int:
    """How many customers are on file."""
    return await session.scalar(select(func.count()).select_from(Customer)) or 0


async def list_ids(session: AsyncSession, *, after: UUID, limit: int) -> list[UUID]:
    """The ids that follow the given one: everybody, piece by piece."""
    return list(
        await session.scalars(
            select(Customer.id).where(Customer.id > after).order_by(Customer.id).limit(limit)
        )
    )


async def list_known(session: AsyncSession, customers: Iterable[UUID]) -> set[UUID]:
    """Those of them who are on file, as far as is committed."""
    asked = sorted(set(customers))
    return set(await session.scalars(_KNOWN, {"customer_id": asked})) if asked else set()


async def hold(session: AsyncSession, customers: Iterable[UUID], *, skip_locked: bool = False) -> set[UUID]:
    """Those who are on file; until the transaction ends they cannot be erased.

    With `skip_locked`, those who are just being erased or merged are left out instead of waited for.
    """
    statement = _HOLD_FREE if skip_locked else _HOLD
    return set(await session.scalars(statement, {"customer_id": sorted(set(customers))}))


_KNOWN = select(Customer.id).where(one_of(Customer.id)).order_by(Customer.id)
_HOLD = _KNOWN.with_for_update(key_share=True, read=True)
_HOLD_FREE = _KNOWN.with_for_update(key_share=True, read=True, skip_locked=True)
