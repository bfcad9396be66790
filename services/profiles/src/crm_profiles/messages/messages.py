"""Messages: the log of what went out to customers, whoever sent it, and of what came of it."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, func, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import selectinload

from crm_profiles.bulk import arrays, one_of, unnested
from crm_profiles.consents import contact_policy
from crm_profiles.consents.contact_policy import InForce
from crm_profiles.customers import documents
from crm_profiles.customers.contact_points import Owner
from crm_profiles.errors import MessageNotFound
from crm_profiles.messages import conversions
from crm_profiles.models.customers import Customer
from crm_profiles.models.messages import Message
from crm_profiles.quality import verifying
from crm_profiles.quality.verifying import Failure
from crm_shared.contracts.permissions import Consent, ConsentState
from crm_shared.contracts.profiles import MessageLogged
from crm_shared.customers import resolve
from crm_shared.database import Json
from crm_shared.outbox import News, publish_many
from crm_shared.pages import Key, Listing, PageRequest, paginate
from crm_shared.permissions import consent_refusal


@dataclass(frozen=True)
class LogEntry:
    """A message as its sender tells of it: whatever has become known of its effects by then."""

    id: UUID
    customer_id: UUID
    source: str
    external_id: str
    purpose: str
    channel: str
    sent_at: datetime
    template: str | None = None
    template_version: int | None = None
    language: str | None = None
    campaign: str | None = None
    delivered_at: datetime | None = None
    failed_at: datetime | None = None
    failure: str | None = None
    answered_at: datetime | None = None


EFFECTS = ("delivered_at", "failed_at", "failure", "answered_at")
DETAILS = ("template", "template_version", "language", "campaign")

_COLUMNS = tuple(each.name for each in Message.__table__.c)
_TABLE = Message.metadata.tables[Message.__tablename__]
_ROWS = insert(_TABLE).from_select(
    list(_COLUMNS), select(*unnested(*(getattr(Message, name) for name in _COLUMNS)))
)
_FILLED = {name: func.coalesce(_TABLE.c[name], _ROWS.excluded[name]) for name in (*EFFECTS, *DETAILS)}
# What is known stays: the events of a message come in any order, and each fills what the others left open.
_LOG = _ROWS.on_conflict_do_update(
    index_elements=[Message.id],
    set_=_FILLED | {"version": _TABLE.c.version + 1},
    where=func.row(*_FILLED.values()).is_distinct_from(func.row(*(_TABLE.c[name] for name in _FILLED))),
).returning(
    _TABLE.c.id,
    _TABLE.c.origin_customer_id,
    _TABLE.c.version,
    _TABLE.c.purpose,
    _TABLE.c.channel,
    _TABLE.c.sent_at,
    _TABLE.c.failed_at,
)

_LOCK = select(Customer.id).where(one_of(Customer.id)).order_by(Customer.id).with_for_update()
_SAID = text(
    """
    SELECT n.id, s.purpose, s.channel, s.state, s.basis, s.since, s.until
    FROM unnest(CAST(:ids AS uuid[]), CAST(:owners AS uuid[]), CAST(:purposes AS text[]),
                CAST(:channels AS text[]), CAST(:instants AS timestamptz[]))
        AS n (id, owner, purpose, channel, sent_at)
    CROSS JOIN LATERAL (
        SELECT * FROM consent_statements AS c
        WHERE c.customer_id = n.owner AND c.purpose = n.purpose AND c.channel = n.channel
            AND c.since <= n.sent_at
        ORDER BY c.since DESC, c.state, c.recorded_at DESC LIMIT 1
    ) AS s
    """
)


async def lock_owners(session: AsyncSession, customers: Collection[UUID]) -> dict[UUID, Owner]:
    """Whose a message under each of these ids is; who is not on file is not in it.

    Alone, unlike who writes a purchase: of a purchase and a message at once the later sees the earlier.
    """
    current = await resolve(session, customers, lock=True)
    present = set(await session.scalars(_LOCK, {"customer_id": sorted(set(current.values()))}))
    return {origin: Owner(id, origin) for origin, id in current.items() if id in present}


async def log(
    session: AsyncSession, entries: Sequence[LogEntry], owners: dict[UUID, Owner], *, at: datetime
) -> None:
    """Put the messages to these customers on the log, or complete those that are there."""
    told: dict[UUID, LogEntry] = {}
    for entry in (entry for entry in entries if entry.customer_id in owners):
        known = told.get(entry.id)
        told[entry.id] = entry if known is None else _completed(known, entry)
    if not told:
        return
    rules = await contact_policy.current(session)
    against = await _against_consent(session, told.values(), owners, rules)
    rows = [_row(told[id], owners, rules, against=id in against, at=at) for id in sorted(told)]
    changed = (await session.execute(_LOG, arrays(rows, *_COLUMNS))).all()
    await conversions.credit_anew(session, [row.id for row in changed if row.version == 1 or row.failed_at])
    failures = [
        Failure(owners[row.origin_customer_id].id, row.channel, row.failed_at)
        for row in changed
        if row.failed_at is not None and row.origin_customer_id in owners
    ]
    await verifying.doubt(session, failures, at=at)
    capped = {purpose for purpose, rule in rules.policy.purposes.items() if rule.capped}
    # Each sender counts everybody's messages: it hears of those that count, and of those that no longer do.
    news = [
        News(state(row))
        for row in sorted(changed, key=lambda row: str(row.id))
        if row.purpose in capped and (row.version == 1 or row.failed_at is not None)
    ]
    await publish_many(session, news, at=at)


def state(logged: Message | Row[*tuple[Any, ...]]) -> MessageLogged:
    """The event that tells those who send of it."""
    return MessageLogged(
        customer_id=logged.origin_customer_id,
        version=logged.version,
        message_id=logged.id,
        purpose=logged.purpose,
        channel=logged.channel,
        sent_at=logged.sent_at,
        failed=logged.failed_at is not None,
    )


async def get(session: AsyncSession, message_id: UUID) -> Message:
    """The message with the purchases credited to it; raises MessageNotFound."""
    found = await session.get(
        Message, message_id, options=[selectinload(Message.conversions)], populate_existing=True
    )
    if found is None:
        raise MessageNotFound(message_id=str(message_id))
    return found


async def list_(
    session: AsyncSession,
    customer_id: UUID,
    purpose: str | None,
    *,
    page: PageRequest,
) -> Listing[Message]:
    """The customer's messages, the newest first; raises CustomerNotFound."""
    current = await documents.current_id(session, customer_id)
    statement = (
        select(Message).where(Message.customer_id == current).options(selectinload(Message.conversions))
    )
    if purpose is not None:
        statement = statement.where(Message.purpose == purpose)
    return await paginate(
        session,
        statement,
        [Key(Message.sent_at, descending=True), Key(Message.id, descending=True)],
        page=page,
        filters=[str(current), purpose],
    )


def _completed(known: LogEntry, told: LogEntry) -> LogEntry:
    """What the first has left open is as the second says."""
    open_ = [name for name in (*EFFECTS, *DETAILS) if getattr(known, name) is None]
    return replace(known, **{name: getattr(told, name) for name in open_})


def _row(entry: LogEntry, owners: dict[UUID, Owner], rules: InForce, *, against: bool, at: datetime) -> Json:
    owner = owners[entry.customer_id]
    rule = rules.policy.purposes.get(entry.purpose)
    return vars(entry) | {
        "customer_id": owner.id,
        "origin_customer_id": owner.origin,
        "attribution_days": rules.policy.attribution_days if rule and rule.attributed else None,
        "against_consent": against,
        "version": 1,
        "recorded_at": at,
    }


async def _against_consent(
    session: AsyncSession, entries: Collection[LogEntry], owners: dict[UUID, Owner], rules: InForce
) -> set[UUID]:
    """Those that went out though the customer, by what they had said until then, did not agree."""
    rows = await session.execute(
        _SAID,
        {
            "ids": [entry.id for entry in entries],
            "owners": [owners[entry.customer_id].id for entry in entries],
            "purposes": [entry.purpose for entry in entries],
            "channels": [entry.channel for entry in entries],
            "instants": [entry.sent_at for entry in entries],
        },
    )
    said = {
        row.id: Consent(
            purpose=row.purpose,
            channel=row.channel,
            state=ConsentState(row.state),
            basis=row.basis,
            since=row.since,
            until=row.until,
        )
        for row in rows
    }
    against = set()
    for entry in entries:
        rule = rules.policy.purposes.get(entry.purpose)
        if consent_refusal(rule, said.get(entry.id), entry.sent_at):
            against.add(entry.id)
    return against
