"""May we write: what a service that writes to customers keeps of their permissions, and how it asks them.

A service that does so declares the three tables (`class Permission(PermissionCopy, Base)` and so on) and
hands the events of profiles to the functions that keep them.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import ARRAY, Index, Uuid, bindparam, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, declared_attr, mapped_column
from sqlalchemy.schema import SchemaItem

from crm_shared.contracts.permissions import MAX_PERIOD_HOURS, ContactPolicy, PermissionState
from crm_shared.contracts.profiles import (
    ConsentChanged,
    ContactPolicyChanged,
    CustomerChanged,
    CustomerCreated,
    MessageLogged,
)
from crm_shared.customers import OwnedByCustomer, resolve
from crm_shared.database import Json
from crm_shared.erasure import POLICY, Delete
from crm_shared.permissions import (
    INITIAL_POLICY,
    Decision,
    Permission,
    Question,
    Sent,
    combined,
    decide,
)


class PermissionCopy(OwnedByCustomer):
    """What was said under one customer id; whose newest counts when several ids are one person."""

    __tablename__ = "permissions"
    __table_args__ = ({"info": {POLICY: Delete()}},)

    origin_customer_id: Mapped[UUID] = mapped_column(primary_key=True)
    version: Mapped[int] = mapped_column(default=0)
    state: Mapped[Json | None]
    time_zone: Mapped[str | None]
    profile_version: Mapped[int] = mapped_column(default=0)
    """Of the customer's profile that told the time zone."""


class SentMessageCopy(OwnedByCustomer):
    """A message that counts for frequency caps, whoever sent it; forgotten when no cap can ask for it."""

    __tablename__ = "sent_messages"

    @declared_attr.directive
    def __table_args__(cls) -> tuple[SchemaItem | Json, ...]:
        of_customer = Index("ix_sent_messages_of_customer", "customer_id", "sent_at")
        return of_customer, {"info": {POLICY: Delete()}}

    message_id: Mapped[UUID] = mapped_column(primary_key=True)
    customer_id: Mapped[UUID] = mapped_column()
    purpose: Mapped[str]
    channel: Mapped[str]
    sent_at: Mapped[datetime]
    failed: Mapped[bool]


class ContactPolicyCopy:
    """One version of the company's rules; none at all: the initial ones hold."""

    __tablename__ = "contact_policies"

    version: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    policy: Mapped[Json]


class Message(NamedTuple):
    """A message that is about to go out."""

    id: UUID
    customer_id: UUID
    purpose: str
    channel: str
    sent_at: datetime


class _Kept(NamedTuple):
    customer_id: UUID
    origin_customer_id: UUID
    state: Json | None
    time_zone: str | None


_PERIOD = timedelta(hours=MAX_PERIOD_HOURS)

# Always in the order of ids: transactions that lock the same customers then do not wait in a circle.
_KEEP_STATES = text(
    """
    INSERT INTO permissions AS p (origin_customer_id, customer_id, version, state, profile_version)
    SELECT origin, owner, version, state, 0
    FROM unnest(CAST(:origins AS uuid[]), CAST(:owners AS uuid[]), CAST(:versions AS bigint[]), :states)
        AS n (origin, owner, version, state)
    ORDER BY origin
    ON CONFLICT (origin_customer_id) DO UPDATE SET version = excluded.version, state = excluded.state
    WHERE p.version <= excluded.version
    """
).bindparams(bindparam("states", type_=ARRAY(JSONB)))
_KEEP_ZONES = text(
    """
    INSERT INTO permissions AS p (origin_customer_id, customer_id, version, time_zone, profile_version)
    SELECT n.origin, n.owner, 0, n.zone, n.version
    FROM unnest(CAST(:origins AS uuid[]), CAST(:owners AS uuid[]), CAST(:versions AS bigint[]),
                CAST(:zones AS text[])) AS n (origin, owner, version, zone)
    LEFT JOIN permissions AS known ON known.origin_customer_id = n.origin
    WHERE n.zone IS NOT NULL OR known.time_zone IS NOT NULL
    ORDER BY n.origin
    ON CONFLICT (origin_customer_id) DO UPDATE
    SET time_zone = excluded.time_zone, profile_version = excluded.profile_version
    WHERE p.profile_version <= excluded.profile_version
    """
)
_KEEP_MESSAGES = text(
    """
    INSERT INTO sent_messages AS m
        (message_id, customer_id, origin_customer_id, purpose, channel, sent_at, failed)
    SELECT id, owner, origin, purpose, channel, sent_at, failed
    FROM unnest(CAST(:ids AS uuid[]), CAST(:owners AS uuid[]), CAST(:origins AS uuid[]),
                CAST(:purposes AS text[]), CAST(:channels AS text[]), CAST(:instants AS timestamptz[]),
                CAST(:failed AS boolean[])) AS n (id, owner, origin, purpose, channel, sent_at, failed)
    ORDER BY id
    ON CONFLICT (message_id) DO UPDATE SET failed = true WHERE excluded.failed AND NOT m.failed
    """
)
_FORGET_MESSAGES = text(
    "DELETE FROM sent_messages WHERE customer_id = ANY(:owners) AND sent_at < :before"
).bindparams(bindparam("owners", type_=ARRAY(Uuid)))
_KEEP_POLICY = text(
    "INSERT INTO contact_policies (version, policy) VALUES (:version, :policy) ON CONFLICT DO NOTHING"
).bindparams(bindparam("policy", type_=JSONB))

_HAVE_ROWS = text(
    """
    INSERT INTO permissions (origin_customer_id, customer_id, version, profile_version)
    SELECT id, id, 0, 0 FROM unnest(CAST(:owners AS uuid[])) AS n (id) ORDER BY id
    ON CONFLICT DO NOTHING
    """
)
_LOCK = text(
    """
    SELECT customer_id, origin_customer_id, state, time_zone FROM permissions
    WHERE customer_id = ANY(:owners) ORDER BY origin_customer_id FOR UPDATE
    """
).bindparams(bindparam("owners", type_=ARRAY(Uuid)))
_SENT = text(
    """
    SELECT customer_id, purpose, channel, sent_at FROM sent_messages
    WHERE customer_id = ANY(:owners) AND sent_at > :since AND NOT failed AND message_id <> ALL(:besides)
    """
).bindparams(bindparam("owners", type_=ARRAY(Uuid)), bindparam("besides", type_=ARRAY(Uuid)))
_POLICY = text("SELECT policy FROM contact_policies ORDER BY version DESC LIMIT 1")


async def keep_permissions(session: AsyncSession, events: Sequence[ConsentChanged]) -> None:
    """What customers have said last, each id for itself."""
    newest = {event.customer_id: event for event in sorted(events, key=lambda event: event.version)}
    owners = await resolve(session, newest.keys(), lock=True)
    await session.execute(
        _KEEP_STATES,
        {
            "origins": list(newest),
            "owners": [owners[origin] for origin in newest],
            "versions": [event.version for event in newest.values()],
            "states": [event.permission.model_dump(mode="json") for event in newest.values()],
        },
    )


async def keep_time_zones(session: AsyncSession, events: Sequence[CustomerCreated | CustomerChanged]) -> None:
    """In which their quiet hours lie; who has none and never had one leaves no trace."""
    newest = {event.customer_id: event for event in sorted(events, key=lambda event: event.version)}
    owners = await resolve(session, newest.keys(), lock=True)
    await session.execute(
        _KEEP_ZONES,
        {
            "origins": list(newest),
            "owners": [owners[origin] for origin in newest],
            "versions": [event.version for event in newest.values()],
            "zones": [event.time_zone for event in newest.values()],
        },
    )


async def keep_messages(session: AsyncSession, events: Sequence[MessageLogged], *, at: datetime) -> None:
    """What others have sent, so that everybody's messages count; what failed counts no more."""
    messages = {
        event.message_id: Message(
            event.message_id, event.customer_id, event.purpose, event.channel, event.sent_at
        )
        for event in events
    }
    failed = {event.message_id for event in events if event.failed}
    await _store(session, messages.values(), failed, at=at)


async def count_messages(session: AsyncSession, messages: Sequence[Message], *, at: datetime) -> None:
    """What this service sends, in the transaction that decides it: it counts at once."""
    await _store(session, messages, set(), at=at)


async def keep_policy(session: AsyncSession, events: Sequence[ContactPolicyChanged]) -> None:
    for event in events:
        policy = {"version": event.version, "policy": event.policy.model_dump(mode="json")}
        await session.execute(_KEEP_POLICY, policy)


async def may_write(
    session: AsyncSession,
    customers: Collection[UUID],
    *,
    purpose: str,
    channel: str,
    at: datetime,
    besides: Collection[UUID] = (),
) -> dict[UUID, Decision]:
    """The decision on each of these customers, by four statements however many they are.

    Ask in the transaction that sends, and `count_messages` there: until it ends no other transaction of this
    service gets an answer about them, so two of ours cannot both have the last message that a cap allows.
    Services do not wait for each other: two that decide within the time that events need to arrive, both by
    what they know, can exceed a cap by one message for each service beside the first. A consent that is
    withdrawn stops a service as soon as it has heard of it; the message log shows what went out in between.
    Who asks about messages again that are counted already names them as `besides`: they do not count twice.
    """
    owners = await resolve(session, customers, lock=True)
    ids = sorted(set(owners.values()))
    policy = await current_policy(session)
    states: dict[UUID, list[PermissionState]] = defaultdict(list)
    zones: dict[UUID, str] = {}
    for kept in await _lock(session, ids):
        if kept.state is not None:
            states[kept.customer_id].append(PermissionState.model_validate(kept.state))
        if kept.time_zone and kept.origin_customer_id == kept.customer_id:
            zones[kept.customer_id] = kept.time_zone
    sent: dict[UUID, list[Sent]] = defaultdict(list)
    for row in await session.execute(_SENT, {"owners": ids, "since": at - _PERIOD, "besides": list(besides)}):
        sent[row.customer_id].append(Sent(row.purpose, row.channel, row.sent_at))
    decisions = {}
    for owner in ids:
        permission: Permission = combined(states[owner], zones.get(owner))
        decisions[owner] = decide(Question(policy, permission, sent[owner], purpose, channel), at)
    return {asked: decisions[owner] for asked, owner in owners.items()}


async def lock(session: AsyncSession, customers: Collection[UUID]) -> None:
    """Let nobody else get an answer about these customers before the transaction ends.

    Who is going to ask several times locks all at once before, so that two who do so do not wait in a circle.
    """
    if customers:
        owners = await resolve(session, customers, lock=True)
        await _lock(session, sorted(set(owners.values())))


async def current_policy(session: AsyncSession) -> ContactPolicy:
    found = await session.scalar(_POLICY)
    return INITIAL_POLICY if found is None else ContactPolicy.model_validate(found)


async def _lock(session: AsyncSession, owners: Sequence[UUID]) -> list[_Kept]:
    await session.execute(_HAVE_ROWS, {"owners": owners})
    return [_Kept(*row) for row in await session.execute(_LOCK, {"owners": owners})]


async def _store(
    session: AsyncSession, messages: Iterable[Message], failed: Collection[UUID], *, at: datetime
) -> None:
    rows = list(messages)
    owners = await resolve(session, {row.customer_id for row in rows}, lock=True)
    await session.execute(
        _KEEP_MESSAGES,
        {
            "ids": [row.id for row in rows],
            "owners": [owners[row.customer_id] for row in rows],
            "origins": [row.customer_id for row in rows],
            "purposes": [row.purpose for row in rows],
            "channels": [row.channel for row in rows],
            "instants": [row.sent_at for row in rows],
            "failed": [row.id in failed for row in rows],
        },
    )
    await session.execute(_FORGET_MESSAGES, {"owners": list(set(owners.values())), "before": at - _PERIOD})
