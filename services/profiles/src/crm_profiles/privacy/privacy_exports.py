"""Exports of all that is held about a person: asked of every service, gathered, and given as one archive."""

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from tempfile import SpooledTemporaryFile
from uuid import UUID

from sqlalchemy import delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from crm_profiles.bulk import arrays, insert_new
from crm_profiles.customers import customers
from crm_profiles.errors import ArchiveExpired, ExportNotFound
from crm_profiles.models.base import Base
from crm_profiles.models.privacy import AnswerState, PrivacyExport, PrivacyExportPart
from crm_profiles.privacy import archives, traces
from crm_profiles.privacy.privacy import SERVICES
from crm_shared import due, exports
from crm_shared.contracts.exports import ExportPrepared
from crm_shared.contracts.profiles import ExportRequested
from crm_shared.customers import CustomerNotFound, absorbed_into, resolve_one
from crm_shared.database import Json
from crm_shared.ids import uuid7
from crm_shared.outbox import publish

EXPIRE = "privacy_export.expire"

_SHORTLY = timedelta(minutes=1)
"""Longer than who asks waits for a merge under way, having looked at the clock before."""


@dataclass(frozen=True)
class Answer:
    """How far one service is with its part; `pages` is None before the first one came."""

    service: str
    state: AnswerState
    received: int = 0
    pages: int | None = None
    answered_at: datetime | None = None


async def request(
    session: AsyncSession,
    customer_id: UUID,
    *,
    by: str,
    lasts: timedelta,
    again_after: timedelta,
    at: datetime,
) -> UUID:
    """Ask all services for what they hold about the customer; the archive's own part is there at once.

    Asking again before `again_after` gives the same export. Raises CustomerNotFound.
    """
    current = await resolve_one(session, customer_id, lock=True)
    if current not in await customers.hold(session, [current]):
        raise CustomerNotFound(customer_id=str(customer_id))
    if known := await _asked_since(session, current, at - again_after):
        return known
    export = PrivacyExport(
        id=uuid7(),
        customer_id=current,
        origin_customer_id=customer_id,
        requested_at=at,
        requested_by=by,
        expires_at=at + lasts,
        expired=False,
    )
    session.add(export)
    await session.flush()
    everybody = await absorbed_into(session, current)
    held = await exports.collect(session, Base.metadata, [current])
    texts = exports.pages(await traces.leave_out(session, everybody, held))
    await _keep(
        session, [_part(export.id, "profiles", n, len(texts), text, at) for n, text in enumerate(texts, 1)]
    )
    await due.schedule(session, EXPIRE, {export.id: export.expires_at})
    absorbed = [id for id in everybody if id != current]
    told = ExportRequested(customer_id=current, version=1, export_id=export.id, absorbed_ids=absorbed)
    publish(session, told, at=at)
    return export.id


async def _asked_since(session: AsyncSession, customer_id: UUID, since: datetime) -> UUID | None:
    """The customer's last export, if it was asked for since then and can still be fetched."""
    recent = select(PrivacyExport.id).where(
        PrivacyExport.customer_id == customer_id,
        PrivacyExport.requested_at > since,
        PrivacyExport.expired.is_(False),
    )
    return await session.scalar(recent.order_by(PrivacyExport.id.desc()).limit(1))


async def keep(session: AsyncSession, answers: Sequence[ExportPrepared], *, at: datetime) -> None:
    """Keep the pages that services answered with; of an export that has expired or is gone, nothing."""
    open_ = select(PrivacyExport.id).where(
        PrivacyExport.id.in_({event.export_id for event in answers}), PrivacyExport.expired.is_(False)
    )
    known = set(await session.scalars(open_.order_by(PrivacyExport.id).with_for_update(key_share=True)))
    parts = [
        _part(event.export_id, event.service_name, event.page, event.pages, event.text, at)
        for event in answers
        if event.export_id in known
    ]
    await _keep(session, parts)


async def get(session: AsyncSession, export_id: UUID) -> PrivacyExport:
    """Raises ExportNotFound."""
    found = await session.get(PrivacyExport, export_id)
    if found is None:
        raise ExportNotFound(export_id=str(export_id))
    return found


async def answers(
    session: AsyncSession, export: PrivacyExport, *, within: timedelta, at: datetime
) -> list[Answer]:
    """What each service has answered so far; one that has not within the time is overdue."""
    part = PrivacyExportPart
    rows = await session.execute(
        select(part.service, func.count(), func.max(part.pages), func.max(part.received_at))
        .where(part.export_id == export.id)
        .group_by(part.service)
    )
    late = at > export.requested_at + within
    missing = AnswerState.OVERDUE if late else AnswerState.WAITING
    found = {service: Answer(service, missing) for service in SERVICES}
    for service, received, pages, latest in rows:
        whole = received == pages
        state = AnswerState.ANSWERED if whole else missing
        found[service] = Answer(service, state, received, pages, latest if whole else None)
    return list(found.values())


async def archive(
    session: AsyncSession, export: PrivacyExport, *, within: timedelta, at: datetime
) -> SpooledTemporaryFile[bytes]:
    """One ZIP of all that has come so far, which says what is missing; who sends it closes it.

    Raises ArchiveExpired.
    """
    if export.expired or at >= export.expires_at:
        raise ArchiveExpired(export_id=str(export.id))
    state = await answers(session, export, within=within, at=at)
    texts: dict[str, list[str]] = {}
    pages = select(PrivacyExportPart.service, PrivacyExportPart.text)
    order = (PrivacyExportPart.service, PrivacyExportPart.page)
    for service, text in await session.execute(
        pages.where(PrivacyExportPart.export_id == export.id).order_by(*order)
    ):
        texts.setdefault(service, []).append(text)
    about: Json = {
        "export_id": str(export.id),
        "customer_id": str(export.customer_id),
        "requested_at": export.requested_at,
        "assembled_at": at,
    }
    parts = [
        archives.Part(
            answer.service,
            answer.state.value,
            answer.answered_at,
            "".join(texts[answer.service]) if answer.state is AnswerState.ANSWERED else None,
        )
        for answer in state
    ]
    return await asyncio.to_thread(archives.pack, about, parts)


async def expire_since(session: AsyncSession, customers: Collection[UUID], since: datetime) -> None:
    """Delete what was gathered about these since then, or shortly before: it is about others, too."""
    asked_for = (PrivacyExport.customer_id.in_(customers), PrivacyExport.requested_at > since - _SHORTLY)
    await expire(session, list(await session.scalars(select(PrivacyExport.id).where(*asked_for))))


async def expire(session: AsyncSession, export_ids: Collection[UUID]) -> None:
    """Delete what was gathered; that it was asked for stays on record."""
    expired = update(PrivacyExport).where(PrivacyExport.id.in_(export_ids)).values(expired=True)
    await session.execute(expired)
    await session.execute(delete(PrivacyExportPart).where(PrivacyExportPart.export_id.in_(export_ids)))


async def count_overdue(session: AsyncSession, *, within: timedelta, at: datetime) -> int:
    """How many exports that can still be fetched lack a service's answer that should have come."""
    part = PrivacyExportPart
    whole = (
        select(part.service)
        .where(part.export_id == PrivacyExport.id)
        .group_by(part.service)
        .having(func.count() == func.max(part.pages))
        .subquery()
        .lateral()
    )
    answered = select(func.count()).select_from(whole).scalar_subquery()
    late = select(func.count()).where(
        PrivacyExport.expired.is_(False), PrivacyExport.requested_at < at - within, answered < len(SERVICES)
    )
    return await session.scalar(late) or 0


_COLUMNS = tuple(column.name for column in PrivacyExportPart.__table__.c)
_INSERT = insert_new(PrivacyExportPart, *_COLUMNS)


def _part(export_id: UUID, service: str, page: int, pages: int, text: str, at: datetime) -> Json:
    return {
        "export_id": export_id,
        "service": service,
        "page": page,
        "pages": pages,
        "received_at": at,
        "text": text,
    }


async def _keep(session: AsyncSession, parts: Sequence[Json]) -> None:
    if parts:
        await session.execute(_INSERT, arrays(parts, *_COLUMNS))
