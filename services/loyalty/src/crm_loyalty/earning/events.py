"""Points for what happens beside purchases: reported by partners, or published by other services."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import ARRAY, bindparam, select, text
from sqlalchemy.dialects.postgresql import JSONB, insert
from sqlalchemy.ext.asyncio import AsyncSession

from crm_loyalty.earning import facts, published, reckoning, rules
from crm_loyalty.earning.cases import Case, Given
from crm_loyalty.errors import EventDiffers, EventNotFound, EventNotYet
from crm_loyalty.ledger import accounts, points_policy
from crm_loyalty.models.earning_events import EarningEvent
from crm_loyalty.postings import SOURCE
from crm_loyalty.rules.conditions import CustomerFacts
from crm_loyalty.rules.earning import Rule
from crm_loyalty.rules.happenings import Happening
from crm_loyalty.rules.refunds import BoughtLine
from crm_loyalty.schemas.earning_events import EarningEventIn
from crm_shared import customers
from crm_shared.contracts.base import Event
from crm_shared.ids import uuid7
from crm_shared.pages import Key, Listing, PageRequest, paginate

_CLOCKS_DIFFER = timedelta(minutes=5)
_ONE_LINE = (BoughtLine(0, 0, 1),)
"""An event is one line, numbered 0, so that what it earned is kept as what a purchase earned is."""

_SETTLE = text(
    """
    UPDATE earning_events AS e
    SET points = n.points, explanation = n.explanation, available_at = n.available_at
    FROM unnest(
        CAST(:ids AS uuid[]), CAST(:points AS bigint[]), CAST(:explanations AS jsonb[]),
        CAST(:available AS timestamptz[])
    ) AS n (id, points, explanation, available_at)
    WHERE e.id = n.id
    """
).bindparams(bindparam("explanations", type_=ARRAY(JSONB, dimensions=1)))


@dataclass(frozen=True, slots=True)
class Told:
    """Something that happened, as somebody tells of it."""

    customer_id: UUID
    source: str
    external_id: str
    happening: Happening
    event: Event | None = None

    @property
    def key(self) -> tuple[str, str]:
        return (self.source, self.external_id)


class _Known(NamedTuple):
    """What was told, whose it is today, and what is known of them."""

    told: Told
    owner: UUID
    customer: CustomerFacts


async def report(session: AsyncSession, body: EarningEventIn, *, at: datetime) -> tuple[EarningEvent, bool]:
    """Reckon what somebody reports, and say whether it is new; the same once more gets the first answer.

    Raises EventNotYet, CustomerWasErased, AccountNotFound, EventDiffers.
    """
    if body.occurred_at > at + _CLOCKS_DIFFER:
        raise EventNotYet(
            errors=[{"pointer": "/occurred_at", "code": "event_not_yet", "message": "It lies in the future"}]
        )
    await customers.stop_merges(session)
    await customers.check_not_erased(session, [body.customer_id])
    await accounts.owned(session, body.customer_id)
    happening = Happening(body.occurred_at, body.type, body.properties)
    told = Told(body.customer_id, body.source, body.external_id, happening)
    new = await _reckon(session, [told], at=at)
    found = await _find(session, told)
    if (found.origin_customer_id, found.type, found.occurred_at, found.properties) != (
        body.customer_id,
        body.type,
        body.occurred_at,
        body.properties,
    ):
        raise EventDiffers(event_id=str(found.id))
    return found, bool(new)


async def award(session: AsyncSession, events: Sequence[Event], *, at: datetime) -> None:
    """Reckon published events, each once; those of which no rule names the type leave no trace.

    Nor do those of who was erased. The number of statements does not depend on the number of events.
    """
    told = [_told(event) for event in await named(session, events)]
    if told:
        await customers.stop_merges(session)
        gone = await customers.erased(session, {each.customer_id for each in told})
        told = [each for each in told if each.customer_id not in gone]
    if told:
        await accounts.open_(session, {each.customer_id for each in told}, at=at)
        await _reckon(session, told, at=at)


async def named(session: AsyncSession, events: Sequence[Event]) -> list[Event]:
    """Those of a type that some rule in force names."""
    types = {published.type_of(type(event)) for event in events} & published.TYPES.keys()
    if types:
        types &= {name for rule in await _rules(session) if rule.event for name in rule.event.types}
    return [event for event in events if published.type_of(type(event)) in types]


async def get(session: AsyncSession, event_id: UUID) -> EarningEvent:
    """Raises EventNotFound."""
    found = await session.get(EarningEvent, event_id)
    if found is None:
        raise EventNotFound(event_id=str(event_id))
    return found


async def list_(session: AsyncSession, customer_id: UUID, *, page: PageRequest) -> Listing[EarningEvent]:
    """What happened to the customer, the newest first; raises AccountNotFound."""
    owner = await accounts.owner(session, customer_id)
    return await paginate(
        session,
        select(EarningEvent).where(EarningEvent.customer_id == owner),
        [Key(EarningEvent.occurred_at, descending=True), Key(EarningEvent.id, descending=True)],
        page=page,
        filters=str(customer_id),
    )


async def _rules(session: AsyncSession) -> list[Rule]:
    """Those in force that are about events."""
    return [rule for rule in await rules.in_force(session) if rule.event is not None]


def _told(event: Event) -> Told:
    return Told(
        event.customer_id,
        published.source(event),
        published.external_id(event),
        published.happening(event),
        None if published.is_ours(event) else event,
    )


async def _reckon(session: AsyncSession, told: Iterable[Told], *, at: datetime) -> list[Given]:
    """Give what the rules say for those that are new, under the locks of their customers' accounts."""
    first: dict[tuple[str, str], Told] = {}
    for each in told:
        first.setdefault(each.key, each)
    owners = await accounts.lock(session, {each.customer_id for each in first.values()})
    policy = await points_policy.of_earning(session)
    asked = [(owners[each.customer_id], each.happening.occurred_at) for each in first.values()]
    people = await facts.of(session, asked, policy)
    known = [
        _Known(each, owner, customer)
        for each, (owner, _), customer in zip(first.values(), asked, people, strict=True)
    ]
    ids = await _claim(session, known, at=at)
    if not ids:
        return []
    in_force = await _rules(session)
    calendars = await facts.calendars_of(session, in_force)
    cases = [
        Case(
            id=ids[each.told.key],
            source=SOURCE,
            customer_id=each.told.customer_id,
            owner=each.owner,
            cause=facts.celebrated(each.told.happening, calendars, policy),
            customer=each.customer,
            bought=_ONE_LINE,
            event=each.told.event,
        )
        for each in known
        if each.told.key in ids
    ]
    given = await reckoning.reckon(session, cases, in_force, policy, at=at)
    await _settle(session, given)
    return given


async def _claim(
    session: AsyncSession, known: Iterable[_Known], *, at: datetime
) -> dict[tuple[str, str], UUID]:
    """Put those on file that are not yet, and say which these are; who tells of one at once is waited for."""
    # In the order of the key, so that two who tell of the same ones do not wait for each other in a circle.
    rows = [
        {
            "id": uuid7(),
            "source": told.source,
            "external_id": told.external_id,
            "customer_id": owner,
            "origin_customer_id": told.customer_id,
            "type": told.happening.type,
            "occurred_at": told.happening.occurred_at,
            "recorded_at": at,
            "properties": dict(told.happening.properties),
            "level": customer.level,
            "tier": customer.tier,
            "birthday_offset": customer.birthday_offset,
            "segments": sorted(customer.segments),
        }
        for told, owner, customer in sorted(known, key=lambda each: each.told.key)
    ]
    claimed = await session.execute(
        insert(EarningEvent)
        .on_conflict_do_nothing()
        .returning(EarningEvent.source, EarningEvent.external_id, EarningEvent.id),
        rows,
    )
    return {(row.source, row.external_id): row.id for row in claimed}


async def _settle(session: AsyncSession, given: Sequence[Given]) -> None:
    """Keep with each event what it earned: that is the answer for ever."""
    earning = [each for each in given if each.earned.points]
    if earning:
        columns = {
            "ids": [each.case.id for each in earning],
            "points": [each.earned.points for each in earning],
            "explanations": [[asdict(line) for line in each.earned.lines] for each in earning],
            "available": [each.available_at for each in earning],
        }
        await session.execute(_SETTLE, columns)


async def _find(session: AsyncSession, told: Told) -> EarningEvent:
    rows = await session.scalars(
        select(EarningEvent).where(
            EarningEvent.source == told.source, EarningEvent.external_id == told.external_id
        )
    )
    return rows.one()
