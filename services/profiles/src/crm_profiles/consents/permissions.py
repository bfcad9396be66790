"""Permissions: all that customers have said about being written to, and what follows of it."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import ColumnElement, Select, select
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.ext.asyncio import AsyncSession

from crm_profiles.activity import timeline
from crm_profiles.activity.timeline import Entry
from crm_profiles.consents import contact_policy
from crm_profiles.customers import documents
from crm_profiles.customers.contact_points import Owner
from crm_profiles.errors import PurposeNotFound
from crm_profiles.models.consents import ConsentStatement, Permission
from crm_profiles.models.customers import Customer
from crm_profiles.models.messages import Message
from crm_profiles.models.timeline import EntryType
from crm_shared import etags
from crm_shared import permissions as rule
from crm_shared.clock import Clock
from crm_shared.contracts.permissions import (
    MAX_PERIOD_HOURS,
    Consent,
    FrequencyCap,
    PermissionState,
    QuietWindow,
)
from crm_shared.contracts.profiles import ConsentChanged
from crm_shared.customers import CustomerNotFound, resolve_one
from crm_shared.database import Json
from crm_shared.ids import uuid7
from crm_shared.outbox import publish
from crm_shared.permissions import ContactChannel, Decision, Question, Sent, combined, decide, weight

_TICK = timedelta(microseconds=1)
_PERIOD = timedelta(hours=MAX_PERIOD_HOURS)


@dataclass(frozen=True)
class Locked:
    """A customer's permissions, which nobody else changes before the transaction ends."""

    owner: Owner
    record: Permission
    """Of the id under which is written now."""
    counting: rule.Permission
    """The quiet hours and caps that count before the change."""
    at: datetime
    """The instant of the change: after everything that was recorded of this person before."""


@dataclass(frozen=True)
class Standing:
    """What counts for a person: the newest statements of all their ids, their quiet hours and caps."""

    customer_id: UUID
    version: int
    """Rises with each change; what other ids brought along counts too."""
    statements: Sequence[ConsentStatement]
    permission: rule.Permission


@dataclass(frozen=True)
class Explained:
    """A decision and what it was made of."""

    standing: Standing
    policy_version: int
    time_zone: str
    decision: Decision
    statement: ConsentStatement | None


async def lock(session: AsyncSession, customer_id: UUID, clock: Clock, *, if_match: str | None) -> Locked:
    """The customer's permissions, to be changed; raises CustomerNotFound, StaleVersion."""
    current = await resolve_one(session, customer_id, lock=True)
    held = select(Customer.id).where(Customer.id == current).with_for_update(key_share=True)
    if await session.scalar(held) is None:
        raise CustomerNotFound(customer_id=str(customer_id))
    records = list(await session.scalars(select(Permission).where(Permission.customer_id == current)))
    etags.check(if_match, sum(record.version for record in records))
    at = max([clock.now(), *(record.updated_at + _TICK for record in records)])
    found = next((record for record in records if record.origin_customer_id == customer_id), None)
    if found is None:
        found = Permission(
            origin_customer_id=customer_id, customer_id=current, version=0, caps=[], updated_at=at
        )
    counting = combined([state_of(record, ()) for record in records], None)
    return Locked(Owner(current, customer_id), found, counting, at)


async def tell(session: AsyncSession, locked: Locked, kind: EntryType, title: str, data: Json) -> None:
    """The next version: the event for the world with all that was said under the id, the timeline's entry."""
    session.add(locked.record)
    locked.record.version += 1
    locked.record.updated_at = locked.at
    await session.flush()
    said = await said_under(session, [locked.owner.origin])
    event_id = uuid7()
    entry = Entry(event_id, locked.owner, kind, locked.at, title, data)
    await timeline.record(session, [entry], at=locked.at)
    event = ConsentChanged(
        customer_id=locked.owner.origin,
        version=locked.record.version,
        permission=state_of(locked.record, said[locked.owner.origin]),
    )
    publish(session, event, at=locked.at, id=event_id)


async def standing(session: AsyncSession, customer_id: UUID, *, at: datetime | None = None) -> Standing:
    """What counts now, or did by what had been said until `at`; raises CustomerNotFound."""
    current = await documents.current_id(session, customer_id)
    time_zone = await session.scalar(select(Customer.time_zone).where(Customer.id == current))
    records = {
        record.origin_customer_id: record
        for record in await session.scalars(select(Permission).where(Permission.customer_id == current))
    }
    said = _newest(ConsentStatement.customer_id == current)
    if at is not None:
        said = said.where(ConsentStatement.since <= at)
    statements: dict[UUID, list[ConsentStatement]] = defaultdict(list)
    newest: dict[tuple[str, str], ConsentStatement] = {}
    for row in await session.scalars(said):
        statements[row.origin_customer_id].append(row)
        known = newest.get((row.purpose, row.channel))
        if known is None or weight(consent_of(row)) > weight(consent_of(known)):
            newest[row.purpose, row.channel] = row
    states = [state_of(record, statements[origin]) for origin, record in records.items()]
    return Standing(
        customer_id=current,
        version=sum(record.version for record in records.values()),
        statements=[newest[key] for key in sorted(newest)],
        permission=combined(states, time_zone),
    )


async def explain(
    session: AsyncSession, customer_id: UUID, *, purpose: str, channel: ContactChannel, at: datetime
) -> Explained:
    """May we write to them: the decision with what it rests on; raises CustomerNotFound, PurposeNotFound."""
    now = await standing(session, customer_id, at=at)
    rules = await contact_policy.current(session)
    if purpose not in rules.policy.purposes:
        raise PurposeNotFound(purpose=purpose)
    lately = select(Message.purpose, Message.channel, Message.sent_at).where(
        Message.customer_id == now.customer_id,
        Message.sent_at > at - _PERIOD,
        Message.sent_at <= at,
        Message.failed_at.is_(None),
    )
    sent = [Sent(row.purpose, row.channel, row.sent_at) for row in await session.execute(lately)]
    question = Question(rules.policy, now.permission, sent, purpose, channel)
    return Explained(
        standing=now,
        policy_version=rules.version,
        time_zone=now.permission.time_zone or rules.policy.time_zone,
        decision=decide(question, at),
        statement=next((s for s in now.statements if (s.purpose, s.channel) == (purpose, channel)), None),
    )


async def said_under(session: AsyncSession, origins: Collection[UUID]) -> dict[UUID, list[ConsentStatement]]:
    """The newest statements under each of these ids, whoever owns them today."""
    said: dict[UUID, list[ConsentStatement]] = {origin: [] for origin in origins}
    for row in await session.scalars(_newest(ConsentStatement.origin_customer_id.in_(said))):
        said[row.origin_customer_id].append(row)
    return said


def state_of(record: Permission, statements: Iterable[ConsentStatement]) -> PermissionState:
    """What was said under one id, as it is published."""
    hours = record.quiet_hours
    return PermissionState(
        consents=[consent_of(statement) for statement in statements],
        quiet_hours=None if hours is None else [QuietWindow.model_validate(window) for window in hours],
        quiet_hours_at=record.quiet_hours_at,
        caps=[FrequencyCap.model_validate(cap) for cap in record.caps],
        caps_at=record.caps_at,
    )


def consent_of(statement: ConsentStatement) -> Consent:
    """The statement as the rule takes it."""
    return Consent(
        purpose=statement.purpose,
        channel=statement.channel,
        state=statement.state,
        basis=statement.basis,
        since=statement.since,
        until=statement.until,
    )


def _newest(whose: ColumnElement[bool]) -> Select[ConsentStatement]:
    """The newest statement of each id for each purpose and channel; of equally old ones the later written."""
    each = ConsentStatement.origin_customer_id, ConsentStatement.purpose, ConsentStatement.channel
    order = ConsentStatement.since.desc(), ConsentStatement.version.desc()
    return select(ConsentStatement).ext(distinct_on(*each)).where(whose).order_by(*each, *order)
