"""Drafts: customers as they are to be, made of customers whom nobody else can change meanwhile."""

from collections.abc import Collection, Mapping, Set
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import Row, Text, literal, select, union_all
from sqlalchemy.ext.asyncio import AsyncSession

from crm_profiles.bulk import arrays, one_of, unnested
from crm_profiles.customers import attributes, contact_points, describing, external_ids
from crm_profiles.customers.attributes import Declared
from crm_profiles.customers.contact_points import Owner, Point
from crm_profiles.customers.describing import FIELDS
from crm_profiles.customers.external_ids import ExternalKey
from crm_profiles.models.customers import Channel, ContactKind, ContactPoint, Customer, ExternalId
from crm_profiles.models.history import Change
from crm_profiles.schemas.customers import CustomerMembers
from crm_shared.contracts.base import Event
from crm_shared.contracts.profiles import CustomerChanged, CustomerCreated, CustomerState
from crm_shared.database import Json
from crm_shared.ids import row_id
from crm_shared.outbox import Author


class Status(StrEnum):
    """What became of a customer that was written."""

    CREATED = "created"
    UPDATED = "updated"
    UNCHANGED = "unchanged"


@dataclass(frozen=True)
class Belongings:
    """What names and reaches a customer, and no other."""

    points: frozenset[Point] = frozenset()
    keys: frozenset[ExternalKey] = frozenset()


@dataclass(frozen=True)
class Origin:
    """Since when a customer is on file, and where they came from; none of it ever changes."""

    source: str | None
    channel: Channel
    created_at: datetime


@dataclass
class Draft:
    """A customer as they are to be; `version` is 0 for a new one.

    `source`, `channel`, `cause` and `author` are of this change: they go into the history, and by themselves
    change nothing. An author is given where it is not the session's. `recorded_at` is when it was stored.
    """

    owner: Owner
    version: int = 0
    origin: Origin | None = None
    changed_at: datetime | None = None
    before: Json = field(default_factory=dict)
    after: Json = field(default_factory=dict)
    held: Belongings = Belongings()
    points: frozenset[Point] = frozenset()
    keys: frozenset[ExternalKey] = frozenset()
    change: Change = Change.CHANGED
    source: str | None = None
    channel: Channel = Channel.API
    cause: Event | None = None
    author: Author | None = None
    recorded_at: datetime | None = None

    @classmethod
    def new(cls, customer_id: UUID, *keys: ExternalKey) -> "Draft":
        """Of somebody who is not on file."""
        held = Belongings(keys=frozenset(keys))
        return cls(Owner(customer_id, customer_id), held=held, keys=held.keys, change=Change.CREATED)

    def apply(
        self, body: CustomerMembers, *, source: str | None, declared: Declared, kinds_apart: bool = False
    ) -> None:
        """Take over what the body sets; raises InvalidContactPoint, InvalidAttributes, NoLunarDate.

        `kinds_apart`: contact points replace those of their kind only.
        """
        self.source, self.channel = source, body.channel
        if body.attributes:
            body.attributes = attributes.checked(declared, body.attributes)
        self.after = describing.told(self.before, body)
        if "contact_points" in body.model_fields_set:
            told = contact_points.normalise_all(body.contact_points or [], self.after["region"])
            kinds = {point.kind for point in told} if kinds_apart else set(ContactKind)
            self.points = told | {point for point in self.held.points if point.kind not in kinds}

    @property
    def status(self) -> Status:
        if self.version == 0:
            return Status.CREATED
        same = self.after == self.before and Belongings(self.points, self.keys) == self.held
        return Status.UNCHANGED if same and self.change is Change.CHANGED else Status.UPDATED

    @property
    def event(self) -> type[CustomerState]:
        """What tells of the change."""
        return CustomerCreated if self.version == 0 else CustomerChanged

    def state(self, at: datetime) -> Json:
        """The members of the event, and of the history's state, after the change."""
        origin = self.origin or Origin(self.source, self.channel, at)
        return {
            "customer_id": str(self.owner.id),
            "version": self.version + 1,
            **self.after,
            "contact_points": [{"kind": kind, "value": value} for kind, value in sorted(self.points)],
            "external_ids": [
                {"source": source, "external_id": external_id} for source, external_id in sorted(self.keys)
            ],
            "source": origin.source,
            "channel": origin.channel,
            "created_at": origin.created_at,
        }


_COLUMNS = (
    *(Customer.id, Customer.source, Customer.channel, Customer.version),
    *(Customer.created_at, Customer.updated_at),
    *(getattr(Customer, name) for name in FIELDS),
)
_LOCK = (
    select(*_COLUMNS)
    .where(one_of(Customer.id))
    .order_by(Customer.id)
    .with_for_update(key_share=True, of=Customer)
)
_NAMED = select(*unnested(ExternalId.source, ExternalId.external_id)).subquery()
_LOCK_NAMED = (
    select(
        ExternalId.external_id, ExternalId.source.label("named_by"), ExternalId.origin_customer_id, *_COLUMNS
    )
    .join(_NAMED, (_NAMED.c.source == ExternalId.source) & (_NAMED.c.external_id == ExternalId.external_id))
    .join(Customer, Customer.id == ExternalId.customer_id)
    .order_by(Customer.id)
    .with_for_update(key_share=True, of=Customer)
)
_BELONGINGS = union_all(
    select(
        ContactPoint.customer_id,
        literal(True).label("reaches"),
        ContactPoint.kind.cast(Text).label("of"),
        ContactPoint.value,
    ).where(one_of(ContactPoint.customer_id)),
    select(ExternalId.customer_id, literal(False), ExternalId.source, ExternalId.external_id).where(
        one_of(ExternalId.customer_id)
    ),
)


async def lock(session: AsyncSession, owners: Collection[Owner]) -> dict[UUID, Draft]:
    """A draft of each of these customers who is on file, changed by nobody else before we are done."""
    origins = {owner.id: owner.origin for owner in owners}
    rows = (await session.execute(_LOCK, {"customer_id": sorted(origins)})).all()
    belongings = await _belongings(session, {row.id for row in rows})
    return {row.id: _draft_of(row, Owner(row.id, origins[row.id]), belongings[row.id]) for row in rows}


async def returning(
    session: AsyncSession, state: CustomerState, *, version: int, changed_at: datetime
) -> Draft:
    """A draft of somebody who comes back on file, in that state and with what belongs to them now."""
    held = (await _belongings(session, {state.customer_id}))[state.customer_id]
    return Draft(
        Owner(state.customer_id, state.customer_id),
        version=version,
        origin=Origin(state.source, Channel(state.channel or Channel.API), state.created_at or changed_at),
        changed_at=changed_at,
        after=state.model_dump(include=set(FIELDS)),
        held=held,
        points=held.points,
        keys=held.keys,
    )


async def claim_or_lock(session: AsyncSession, keys: Set[ExternalKey]) -> dict[ExternalKey, Draft]:
    """A draft for each external id: of the customer it names, locked, or of a new one whom it now names.

    One that names somebody else, or nobody, once its customer is locked is looked for again.
    """
    drafts: dict[ExternalKey, Draft] = {}
    while missing := keys - drafts.keys():
        ids = {key: row_id() for key in missing}
        claimed = await external_ids.claim(session, {key: Owner(id, id) for key, id in ids.items()})
        drafts |= {key: Draft.new(ids[key], key) for key in claimed}
        if known := [key._asdict() for key in missing - claimed]:
            named = (await session.execute(_LOCK_NAMED, arrays(known, "source", "external_id"))).all()
            # Only after the lock: what was read along with it may be older than what it waited for.
            belongings = await _belongings(session, {row.id for row in named})
            for row in named:
                key = ExternalKey(row.named_by, row.external_id)
                if key in belongings[row.id].keys:
                    owner = Owner(row.id, row.origin_customer_id)
                    drafts[key] = _draft_of(row, owner, belongings[row.id])
    return drafts


async def _belongings(session: AsyncSession, customers: Collection[UUID]) -> Mapping[UUID, Belongings]:
    if not customers:
        return {}
    points: dict[UUID, set[Point]] = {customer: set() for customer in customers}
    keys: dict[UUID, set[ExternalKey]] = {customer: set() for customer in customers}
    for row in await session.execute(_BELONGINGS, {"customer_id": list(customers)}):
        if row.reaches:
            points[row.customer_id].add(Point(ContactKind(row.of), row.value))
        else:
            keys[row.customer_id].add(ExternalKey(row.of, row.value))
    return {each: Belongings(frozenset(points[each]), frozenset(keys[each])) for each in customers}


def _draft_of(row: Row[*tuple[Any, ...]], owner: Owner, held: Belongings) -> Draft:
    before = {name: getattr(row, name) for name in FIELDS}
    return Draft(
        owner,
        version=row.version,
        origin=Origin(row.source, row.channel, row.created_at),
        changed_at=row.updated_at,
        before=before,
        after=before,
        held=held,
        points=held.points,
        keys=held.keys,
    )
