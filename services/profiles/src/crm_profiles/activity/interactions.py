"""Interactions: calls, e-mails, visits and chats, each recorded once, with an event and a timeline entry."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from functools import cached_property
from hashlib import sha256
from typing import TypeAlias
from uuid import UUID

import orjson
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from crm_profiles.activity import timeline
from crm_profiles.activity.timeline import Entry
from crm_profiles.bulk import arrays, insert_new, unnested
from crm_profiles.customers import owners as locks
from crm_profiles.customers.contact_points import Owner
from crm_profiles.errors import InteractionDiffers, InteractionNotFound
from crm_profiles.models.interactions import Interaction
from crm_profiles.models.timeline import EntryType
from crm_profiles.rules import instants
from crm_profiles.schemas.interactions import InteractionIn, InteractionPatch
from crm_shared import etags
from crm_shared.contracts.profiles import InteractionRecorded
from crm_shared.customers import CustomerNotFound
from crm_shared.database import Json
from crm_shared.ids import uuid7
from crm_shared.outbox import News, publish_many
from crm_shared.pages import Cursors, Key, Listing, paginate
from crm_shared.problems import Problem

FIRST_VERSION = 1

NaturalKey: TypeAlias = tuple[str | None, str | None, UUID | None]
"""A source and what it calls the interaction; or, of one that has no name, our own id."""


class Status(StrEnum):
    """What became of an interaction that was told of."""

    CREATED = "created"
    UNCHANGED = "unchanged"


@dataclass(frozen=True)
class Recorded:
    """An interaction on file, and whether it has only now come there."""

    interaction_id: UUID
    status: Status


@dataclass(frozen=True)
class Stored:
    """What is on file under an external id."""

    id: UUID
    customer_id: UUID
    digest: bytes


@dataclass(frozen=True)
class Candidate:
    """An interaction whose customer is known."""

    id: UUID
    owner: Owner
    item: InteractionIn

    @property
    def key(self) -> NaturalKey:
        if self.item.source is None:
            return None, None, self.id
        return self.item.source, self.item.external_id, None

    @cached_property
    def digest(self) -> bytes:
        """Of all that was told; a member that is absent does not count, so new ones can come."""
        told = self.item.model_dump(
            mode="json", exclude={"source", "external_id", "customer_id", "customer"}, exclude_none=True
        )
        told["occurred_at"] = self.item.occurred_at.astimezone(UTC).isoformat()
        return sha256(orjson.dumps(told, option=orjson.OPT_SORT_KEYS)).digest()


async def record(
    session: AsyncSession, items: Sequence[InteractionIn], *, at: datetime
) -> list[Recorded | Problem]:
    """Put each interaction on file unless it is there; the same number of statements for any number.

    An item's problem is CustomerNotFound, InteractionDiffers when its external id stands for another, or
    InvalidRequest when it has not occurred yet.
    """
    premature = instants.premature([item.occurred_at for item in items], now=at)
    timely = [item for index, item in enumerate(items) if index not in premature]
    owners = await locks.lock(session, timely)
    candidates = [
        None if owner is None else Candidate(uuid7(), owner, item)
        for item, owner in zip(timely, owners, strict=True)
    ]
    first: dict[NaturalKey, Candidate] = {}
    for candidate in filter(None, candidates):
        first.setdefault(candidate.key, candidate)
    stored = await _insert(session, sorted(first.values(), key=_order), at=at)
    await _tell(session, [c for key, c in first.items() if stored[key].id == c.id], at=at)
    outcomes = iter([_outcome(candidate, stored) for candidate in candidates])
    return [premature.get(index) or next(outcomes) for index in range(len(items))]


async def get(session: AsyncSession, interaction_id: UUID, *, lock: bool = False) -> Interaction:
    """Raises InteractionNotFound."""
    statement = select(Interaction).where(Interaction.id == interaction_id)
    found = await session.scalar(statement.with_for_update() if lock else statement)
    if found is None:
        raise InteractionNotFound(interaction_id=str(interaction_id))
    return found


async def patch(
    session: AsyncSession,
    interaction_id: UUID,
    body: InteractionPatch,
    *,
    if_match: str | None,
    at: datetime,
) -> Interaction:
    """Apply a merge patch; nothing changed, no new version. Raises InteractionNotFound, StaleVersion."""
    interaction = await get(session, interaction_id, lock=True)
    etags.check(if_match, interaction.version)
    if "summary" in body.model_fields_set and body.summary != interaction.summary:
        interaction.summary = body.summary
        interaction.version += 1
        interaction.updated_at = at
    return interaction


async def list_(
    session: AsyncSession, customer_id: UUID, *, cursors: Cursors, cursor: str | None, limit: int
) -> Listing[Interaction]:
    """The customer's interactions, the newest first."""
    return await paginate(
        session,
        select(Interaction).where(Interaction.customer_id == customer_id),
        [Key(Interaction.occurred_at, descending=True), Key(Interaction.id, descending=True)],
        cursors=cursors,
        cursor=cursor,
        limit=limit,
        filters=str(customer_id),
    )


def state(interaction: Interaction) -> InteractionRecorded:
    """The event that told of it: what can be written better afterwards is not in it."""
    return InteractionRecorded(
        customer_id=interaction.origin_customer_id,
        version=FIRST_VERSION,
        interaction_id=interaction.id,
        source=interaction.source,
        external_id=interaction.external_id,
        channel=interaction.channel,
        direction=interaction.direction,
        purpose=interaction.purpose,
        occurred_at=interaction.occurred_at,
        duration_seconds=interaction.duration_seconds,
        agent=interaction.agent,
        feedback_score=interaction.feedback_score,
    )


_COLUMNS = tuple(column.name for column in Interaction.__table__.c)
_INSERT = insert_new(Interaction, *_COLUMNS).returning(Interaction.id)
_NAMES = select(*unnested(Interaction.source, Interaction.external_id)).subquery()
_ON_FILE = select(
    Interaction.source, Interaction.external_id, Interaction.id, Interaction.customer_id, Interaction.digest
).join(_NAMES, (_NAMES.c.source == Interaction.source) & (_NAMES.c.external_id == Interaction.external_id))


def _order(candidate: Candidate) -> tuple[str, str, UUID]:
    return candidate.item.source or "", candidate.item.external_id or "", candidate.id


async def _insert(
    session: AsyncSession, candidates: Sequence[Candidate], *, at: datetime
) -> dict[NaturalKey, Stored]:
    """Store those that are new, in the order given, and say what is now on file under each key."""
    if not candidates:
        return {}
    rows = [_row(candidate, at) for candidate in candidates]
    new = set(await session.scalars(_INSERT, arrays(rows, *_COLUMNS)))
    stored = {c.key: Stored(c.id, c.owner.id, c.digest) for c in candidates if c.id in new}
    if len(stored) < len(candidates):
        known = [row for row in rows if row["id"] not in new]
        for row in await session.execute(_ON_FILE, arrays(known, "source", "external_id")):
            stored[row.source, row.external_id, None] = Stored(row.id, row.customer_id, row.digest)
    return stored


def _row(candidate: Candidate, at: datetime) -> Json:
    item = candidate.item
    told = item.model_dump(exclude={"customer_id", "customer", "feedback"})
    return told | {
        "id": candidate.id,
        "customer_id": candidate.owner.id,
        "origin_customer_id": candidate.owner.origin,
        "recorded_at": at,
        "updated_at": at,
        "feedback_score": item.feedback and item.feedback.score,
        "feedback_text": item.feedback and item.feedback.text,
        "version": FIRST_VERSION,
        "digest": candidate.digest,
    }


async def _tell(session: AsyncSession, interactions: Sequence[Candidate], *, at: datetime) -> None:
    """The event for the world, the entry for the customer's timeline."""
    entries, news = [], []
    for each in interactions:
        item = each.item
        event = InteractionRecorded(
            customer_id=each.owner.origin,  # so that it stays with them when a merge is undone
            version=FIRST_VERSION,
            interaction_id=each.id,
            feedback_score=item.feedback and item.feedback.score,
            **item.model_dump(exclude={"customer_id", "customer", "summary", "feedback"}),
        )
        news.append(News(event, id=each.id))
        title = f"{item.channel.capitalize()}, {item.direction}"
        title = f"{title}: {item.purpose}" if item.purpose else title
        data = event.model_dump(mode="json", exclude={"customer_id", "version"})
        entry_type = EntryType.INTERACTION_RECORDED
        entries.append(Entry(each.id, each.owner, entry_type, item.occurred_at, title, data))
    await timeline.record(session, entries, at=at)
    await publish_many(session, news, at=at)


def _outcome(candidate: Candidate | None, stored: Mapping[NaturalKey, Stored]) -> Recorded | Problem:
    if candidate is None:
        return CustomerNotFound("Nobody is known by this id.")
    found = stored[candidate.key]
    if found.id == candidate.id:
        return Recorded(found.id, Status.CREATED)
    if (found.customer_id, found.digest) == (candidate.owner.id, candidate.digest):
        return Recorded(found.id, Status.UNCHANGED)
    return InteractionDiffers("Another interaction has this external id.", interaction_id=str(found.id))
