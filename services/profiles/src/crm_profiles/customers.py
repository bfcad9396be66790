"""Customers: who they are, written as sets so that one and a thousand take the same statements."""

from collections.abc import Iterable, Sequence, Set
from dataclasses import asdict, dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, TypeAlias
from uuid import UUID

from sqlalchemy import Row, delete, false, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import selectinload

from crm_profiles import contact_points
from crm_profiles.bulk import arrays, insert_new, one_of, unnested
from crm_profiles.contact_points import Owner, Point
from crm_profiles.errors import ContactPointTaken, InvalidContactPoint, RepeatedItem
from crm_profiles.models.customers import ContactKind, ContactPoint, Customer, ExternalId
from crm_profiles.schemas.customers import CustomerIn, CustomerItem, CustomerPatch
from crm_shared import etags
from crm_shared.contracts.profiles import ContactPointState, CustomerChanged, CustomerCreated, CustomerState
from crm_shared.customers import CustomerNotFound, resolve
from crm_shared.database import Json
from crm_shared.ids import uuid7
from crm_shared.outbox import News, publish_many
from crm_shared.pages import Cursors, Key, Listing, paginate
from crm_shared.problems import Problem

FIELDS = tuple(name for name in CustomerIn.model_fields if name != "contact_points")
"""The members of a body that are columns of a customer."""

ExternalKey: TypeAlias = tuple[str, str]
"""A source and what it calls the customer."""


@dataclass(frozen=True)
class CustomerFilters:
    """Which customers are listed: all that is given must hold."""

    name: str | None = None
    """Contained in the name, whatever the case."""
    tag: str | None = None
    phone: str | None = None
    email: str | None = None
    social: str | None = None


class Status(StrEnum):
    """What became of a customer that was written."""

    CREATED = "created"
    UPDATED = "updated"
    UNCHANGED = "unchanged"


@dataclass(frozen=True)
class Written:
    """A customer as stored now; `before` is the version that was found, 0 for a new one."""

    customer_id: UUID
    status: Status
    before: int


@dataclass
class Draft:
    """A customer as they are to be; `version` is 0 for a new one."""

    owner: Owner
    source: str | None
    version: int = 0
    before: Json = field(default_factory=dict)
    after: Json = field(default_factory=dict)
    held: frozenset[Point] = frozenset()
    wanted: frozenset[Point] = frozenset()

    def apply(self, body: CustomerPatch) -> None:
        """Take over what the body sets; raises InvalidContactPoint."""
        given = body.model_dump(include=body.model_fields_set & set(FIELDS))
        self.after = {name: None for name in FIELDS} | {"tags": []} | self.before | given
        self.wanted = self.held
        if "contact_points" in body.model_fields_set:
            self.wanted = contact_points.normalise_all(body.contact_points or [], self.after["region"])

    @property
    def status(self) -> Status:
        if self.version == 0:
            return Status.CREATED
        changed = self.after != self.before or self.wanted != self.held
        return Status.UPDATED if changed else Status.UNCHANGED


_COLUMNS = Customer.id, Customer.source, Customer.version, *(getattr(Customer, name) for name in FIELDS)


async def create(session: AsyncSession, body: CustomerIn, *, at: datetime) -> UUID:
    """Somebody new; raises ContactPointTaken, InvalidContactPoint."""
    customer_id = uuid7()
    draft = Draft(Owner(customer_id, customer_id), source=None)
    draft.apply(body)
    await _write_one(session, draft, at=at)
    return customer_id


async def patch(
    session: AsyncSession, customer_id: UUID, body: CustomerPatch, *, if_match: str | None, at: datetime
) -> UUID:
    """Apply a merge patch; nothing changed, no new version.

    Raises CustomerNotFound, StaleVersion, ContactPointTaken, InvalidContactPoint.
    """
    current = (await resolve(session, [customer_id]))[customer_id]
    locked = select(*_COLUMNS).where(Customer.id == current).with_for_update(key_share=True)
    row = (await session.execute(locked)).one_or_none()
    if row is None:
        raise CustomerNotFound(customer_id=str(customer_id))
    etags.check(if_match, row.version)
    held = await contact_points.held_by(session, [current])
    draft = _draft_of(row, Owner(current, customer_id), held[current])
    draft.apply(body)
    await _write_one(session, draft, at=at)
    return current


async def upsert(
    session: AsyncSession, items: Sequence[CustomerItem], *, at: datetime
) -> list[Written | Problem]:
    """Create or change customers by what another system calls them; a faulty item leaves no trace.

    The same number of statements however many they are. Everybody takes locks in one order, so that nobody
    waits in a circle: external ids, customers, contact points, each sorted.
    """
    drafts = await _claim_or_lock(session, {(item.source, item.external_id) for item in items})
    outcomes: dict[int, Written | Problem] = {}
    ready: dict[int, Draft] = {}
    begun: set[UUID] = set()
    for index, item in enumerate(items):
        draft = drafts[item.source, item.external_id]
        try:
            if draft.owner.id in begun:
                raise RepeatedItem("An earlier item of this batch is about the same customer.")
            begun.add(draft.owner.id)
            draft.apply(item)
        except Problem as problem:
            outcomes[index] = problem
        else:
            ready[index] = draft
    written = await _write(session, list(ready.values()), at=at)
    outcomes |= dict(zip(ready, written, strict=True))
    created = {outcome.customer_id for outcome in written if isinstance(outcome, Written)}
    await _give_back(
        session, [d.owner.id for d in drafts.values() if d.version == 0 and d.owner.id not in created]
    )
    return [outcomes[index] for index in range(len(items))]


async def list_(
    session: AsyncSession, filters: CustomerFilters, *, cursors: Cursors, cursor: str | None, limit: int
) -> Listing[Customer]:
    """Customers, the newest first."""
    statement = select(Customer).options(
        selectinload(Customer.contact_points), selectinload(Customer.external_ids)
    )
    if filters.name is not None:
        statement = statement.where(Customer.name.icontains(filters.name, autoescape=True))
    if filters.tag is not None:
        statement = statement.where(Customer.tags.contains([filters.tag]))
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
    return await paginate(
        session,
        statement,
        [Key(Customer.id, descending=True)],
        cursors=cursors,
        cursor=cursor,
        limit=limit,
        filters=asdict(filters),
    )


async def count(session: AsyncSession) -> int:
    """How many customers are on file."""
    return await session.scalar(select(func.count()).select_from(Customer)) or 0


async def hold(session: AsyncSession, customers: Iterable[UUID]) -> set[UUID]:
    """Those who are on file; until the transaction ends they cannot be erased."""
    return set(await session.scalars(_HOLD, {"customer_id": sorted(set(customers))}))


_HOLD = (
    select(Customer.id)
    .where(one_of(Customer.id))
    .order_by(Customer.id)
    .with_for_update(key_share=True, read=True)
)
_CLAIM = insert_new(ExternalId, "source", "external_id", "customer_id", "origin_customer_id").returning(
    ExternalId.source, ExternalId.external_id, ExternalId.customer_id
)
_NAMED = select(*unnested(ExternalId.source, ExternalId.external_id)).subquery()
_LOCK = (
    select(
        ExternalId.external_id, ExternalId.source.label("named_by"), ExternalId.origin_customer_id, *_COLUMNS
    )
    .join(_NAMED, (_NAMED.c.source == ExternalId.source) & (_NAMED.c.external_id == ExternalId.external_id))
    .join(Customer, Customer.id == ExternalId.customer_id)
    .order_by(Customer.id)
    .with_for_update(key_share=True, of=Customer)
)

_GIVE_BACK = delete(ExternalId).where(one_of(ExternalId.customer_id))


async def _claim_or_lock(session: AsyncSession, keys: Set[ExternalKey]) -> dict[ExternalKey, Draft]:
    """A draft for each external id: of the customer it names, locked, or of a new one whom it now names.

    Who was erased between the two statements is looked for again, and is then a new one.
    """
    drafts: dict[ExternalKey, Draft] = {}
    while missing := sorted(keys - drafts.keys()):
        rows = [_external_row(key, uuid7()) for key in missing]
        claimed = await session.execute(_CLAIM, arrays(rows, *rows[0]))
        for row in claimed:
            owner = Owner(row.customer_id, row.customer_id)
            drafts[row.source, row.external_id] = Draft(owner, source=row.source)
        known = [row for row in rows if (row["source"], row["external_id"]) not in drafts]
        if known:
            locked = (await session.execute(_LOCK, arrays(known, "source", "external_id"))).all()
            # Only after the lock: what was read along with it may be older than what it waited for.
            held = await contact_points.held_by(session, {row.id for row in locked})
            for row in locked:
                owner = Owner(row.id, row.origin_customer_id)
                drafts[row.named_by, row.external_id] = _draft_of(row, owner, held[row.id])
    return drafts


def _external_row(key: ExternalKey, customer_id: UUID) -> Json:
    source, external_id = key
    return {
        "source": source,
        "external_id": external_id,
        "customer_id": customer_id,
        "origin_customer_id": customer_id,
    }


def _draft_of(row: Row[*tuple[Any, ...]], owner: Owner, held: frozenset[Point]) -> Draft:
    before = {name: getattr(row, name) for name in FIELDS}
    return Draft(owner, source=row.source, version=row.version, before=before, held=held)


async def _give_back(session: AsyncSession, customers: Sequence[UUID]) -> None:
    """External ids that were claimed for customers who are not created after all."""
    if customers:
        await session.execute(_GIVE_BACK, {"customer_id": list(customers)})


async def _write_one(session: AsyncSession, draft: Draft, *, at: datetime) -> Written:
    [outcome] = await _write(session, [draft], at=at)
    if isinstance(outcome, Problem):
        raise outcome
    return outcome


async def _write(session: AsyncSession, drafts: Sequence[Draft], *, at: datetime) -> list[Written | Problem]:
    """Store drafts, whose customers are locked or new, and tell the world; a refused one leaves no trace."""
    claims: dict[Point, Owner] = {}
    for draft in drafts:
        for point in draft.wanted - draft.held:
            claims.setdefault(point, draft.owner)
    holders = await contact_points.claim(session, claims)
    outcomes: list[Written | Problem] = []
    refused: set[UUID] = set()
    released: set[Point] = set()
    for draft in drafts:
        lacking = draft.wanted - draft.held
        foreign = sorted(point for point in lacking if holders[point] != draft.owner.id)
        if foreign:
            holder = holders[foreign[0]]
            outcomes.append(_taken(foreign[0], None if holder in refused else holder))
            refused.add(draft.owner.id)
            released |= lacking - set(foreign)
        else:
            outcomes.append(Written(draft.owner.id, draft.status, draft.version))
            released |= draft.held - draft.wanted
    await contact_points.release(session, released)
    good = [d for d, outcome in zip(drafts, outcomes, strict=True) if isinstance(outcome, Written)]
    await _store(session, [draft for draft in good if draft.status is not Status.UNCHANGED], at=at)
    return outcomes


async def _store(session: AsyncSession, drafts: Sequence[Draft], *, at: datetime) -> None:
    """New rows and changed ones, each kind in one statement, and their events."""
    new, changed = [], []
    for draft in drafts:
        row = {"id": draft.owner.id, "version": draft.version + 1, "updated_at": at} | draft.after
        if draft.status is Status.CREATED:
            new.append(row | {"source": draft.source, "created_at": at})
        else:
            changed.append(row)
    if new:
        await session.execute(insert(Customer), new)
    if changed:
        await session.execute(update(Customer), changed)
    await publish_many(session, [News(_event(draft)) for draft in drafts], at=at)


def _event(draft: Draft) -> CustomerState:
    kind = CustomerCreated if draft.status is Status.CREATED else CustomerChanged
    return kind(
        customer_id=draft.owner.id,
        version=draft.version + 1,
        source=draft.source,
        contact_points=[ContactPointState(kind=p.kind, value=p.value) for p in sorted(draft.wanted)],
        **draft.after,
    )


def _taken(point: Point, holder: UUID | None) -> ContactPointTaken:
    """Holder None: an item of the same batch wanted it first and is refused itself."""
    detail = f"Another customer has this {point.kind}."
    if holder is None:
        detail = f"An earlier item of this batch wanted this {point.kind} and failed: send this one again."
    who = str(holder) if holder is not None else None
    return ContactPointTaken(detail, customer_id=who, kind=point.kind, value=point.value)
