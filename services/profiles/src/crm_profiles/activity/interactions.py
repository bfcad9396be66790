"""Interactions: calls, e-mails, visits and chats, each recorded once, with an event and a timeline entry."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from crm_profiles.activity import recording, timeline
from crm_profiles.activity.recording import Candidate, NaturalKey, Recorded, Register, Stored
from crm_profiles.activity.timeline import Entry
from crm_profiles.customers import owners as locks
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
from crm_shared.pages import Key, Listing, PageRequest, paginate
from crm_shared.problems import Problem

FIRST_VERSION = 1


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
    first = recording.once(filter(None, candidates))
    stored = await recording.store(session, _REGISTER, first, partial(_row, at=at))
    new = [candidate for candidate in first if stored[candidate.key].id == candidate.id]
    await _tell(session, new, at=at)
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


async def list_(session: AsyncSession, customer_id: UUID, *, page: PageRequest) -> Listing[Interaction]:
    """The customer's interactions, the newest first."""
    return await paginate(
        session,
        select(Interaction).where(Interaction.customer_id == customer_id),
        [Key(Interaction.occurred_at, descending=True), Key(Interaction.id, descending=True)],
        page=page,
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


_REGISTER = Register.of(Interaction)


def _row(candidate: Candidate[InteractionIn], at: datetime) -> Json:
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


async def _tell(
    session: AsyncSession, interactions: Sequence[Candidate[InteractionIn]], *, at: datetime
) -> None:
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


def _outcome(
    candidate: Candidate[InteractionIn] | None, stored: Mapping[NaturalKey, Stored]
) -> Recorded | Problem:
    if candidate is None:
        return CustomerNotFound("Nobody is known by this id.")
    found = stored[candidate.key]
    if not recording.same(candidate, found):
        return InteractionDiffers("Another interaction has this external id.", interaction_id=str(found.id))
    return recording.recorded(candidate, found)
