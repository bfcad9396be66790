"""What belongs to a customer, one by one: contact points, external ids and tags."""

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from crm_profiles.customers import contact_points, customers, external_ids, writing
from crm_profiles.customers.contact_points import Owner
from crm_profiles.customers.drafts import Belongings, Draft
from crm_profiles.customers.external_ids import ExternalKey
from crm_profiles.customers.writing import Written
from crm_profiles.errors import ExternalIdTaken, LimitReached
from crm_profiles.models.customers import Channel, ContactKind
from crm_profiles.schemas.customers import MAX_CONTACT_POINTS, ContactPointIn
from crm_shared import etags
from crm_shared.clock import Clock
from crm_shared.customers import resolve_one

MAX_EXTERNAL_IDS = 50
MAX_TAGS = 50


@dataclass(frozen=True)
class Occasion:
    """On which something is changed: which version was seen, how it came to be known, and when."""

    clock: Clock
    channel: Channel
    if_match: str | None = None


async def add_contact_point(
    session: AsyncSession, customer_id: UUID, body: ContactPointIn, occasion: Occasion
) -> Written:
    """Raises CustomerNotFound, StaleVersion, InvalidContactPoint, ContactPointTaken, LimitReached."""
    draft = await _begin(session, customer_id, occasion)
    draft.points |= {contact_points.normalise(body.kind, body.value, draft.before["region"])}
    _limit(len(draft.points), MAX_CONTACT_POINTS, "contact points")
    return await writing.write_one(session, draft, clock=occasion.clock)


async def remove_contact_point(
    session: AsyncSession, customer_id: UUID, kind: ContactKind, value: str, occasion: Occasion
) -> Written:
    """One that is not theirs is as good as gone.

    Raises CustomerNotFound, StaleVersion, InvalidContactPoint.
    """
    draft = await _begin(session, customer_id, occasion)
    draft.points -= {contact_points.normalise(kind, value, draft.before["region"])}
    return await writing.write_one(session, draft, clock=occasion.clock)


async def add_external_id(
    session: AsyncSession, customer_id: UUID, key: ExternalKey, occasion: Occasion
) -> Written:
    """Let it name this customer; raises CustomerNotFound, StaleVersion, ExternalIdTaken, LimitReached.

    It is claimed before the customer is locked, as everybody does.
    """
    current = await resolve_one(session, customer_id, lock=True)
    claimed = await external_ids.claim(session, {key: Owner(current, customer_id)})
    draft = await _begin(session, customer_id, occasion)
    if key not in draft.keys:
        holder = await external_ids.find(session, key)
        who = str(holder) if holder is not None else None
        raise ExternalIdTaken("It names another customer.", customer_id=who)
    draft.held = Belongings(draft.held.points, draft.held.keys - claimed)
    draft.source = key.source
    _limit(len(draft.keys), MAX_EXTERNAL_IDS, "external ids")
    return await writing.write_one(session, draft, clock=occasion.clock)


async def remove_external_id(
    session: AsyncSession, customer_id: UUID, key: ExternalKey, occasion: Occasion
) -> Written:
    """One that does not name them is as good as gone; raises CustomerNotFound, StaleVersion."""
    draft = await _begin(session, customer_id, occasion)
    draft.keys -= {key}
    return await writing.write_one(session, draft, clock=occasion.clock)


async def add_tag(session: AsyncSession, customer_id: UUID, tag: str, occasion: Occasion) -> Written:
    """Raises CustomerNotFound, StaleVersion, LimitReached."""
    draft = await _begin(session, customer_id, occasion)
    tags = sorted({*draft.before["tags"], tag})
    _limit(len(tags), MAX_TAGS, "tags")
    draft.after = draft.before | {"tags": tags}
    return await writing.write_one(session, draft, clock=occasion.clock)


async def remove_tag(session: AsyncSession, customer_id: UUID, tag: str, occasion: Occasion) -> Written:
    """One that they do not have is as good as gone; raises CustomerNotFound, StaleVersion."""
    draft = await _begin(session, customer_id, occasion)
    draft.after = draft.before | {"tags": [each for each in draft.before["tags"] if each != tag]}
    return await writing.write_one(session, draft, clock=occasion.clock)


async def _begin(session: AsyncSession, customer_id: UUID, occasion: Occasion) -> Draft:
    draft = await customers.lock(session, customer_id)
    etags.check(occasion.if_match, draft.version)
    draft.channel = occasion.channel
    return draft


def _limit(count: int, limit: int, what: str) -> None:
    if count > limit:
        raise LimitReached(f"A customer can have {limit} {what}.", limit=limit)
