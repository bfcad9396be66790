"""Privacy: forgetting a customer everywhere, with a receipt of what each service removed and kept."""

from collections import Counter
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from sqlalchemy import Text, and_, cast, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import selectinload

from crm_profiles.errors import ErasureNotFound
from crm_profiles.exports import exports
from crm_profiles.forms import submissions
from crm_profiles.imports import imports
from crm_profiles.models.base import Base
from crm_profiles.models.customers import Customer
from crm_profiles.models.privacy import Erasure, ErasureConfirmation
from crm_profiles.privacy import suppression, traces
from crm_shared import due, erasure
from crm_shared.contracts.erasure import ErasureConfirmed
from crm_shared.contracts.profiles import CustomerErased
from crm_shared.customers import CustomerNotFound, Forgotten, absorbed_into, resolve_one, stop_writers
from crm_shared.database import Json
from crm_shared.ids import uuid7
from crm_shared.outbox import News, Outbox, publish, publish_many
from crm_shared.pages import Key, Listing, PageRequest, paginate

TELL_AGAIN = "privacy.tell_again"
"""The kind of due work that sends tombstones a second time."""

SERVICES = ("profiles", "segmentation", "tickets", "loyalty")
"""Who must confirm before an erasure is complete, and answer before an export is."""


class ErasureState(StrEnum):
    """How far an erasure is; an overdue one is open, too."""

    OPEN = "open"
    OVERDUE = "overdue"
    COMPLETE = "complete"


async def erase(
    session: AsyncSession,
    customer_id: UUID,
    *,
    by: str,
    suppress_with: bytes | None,
    segment: timedelta,
    at: datetime,
) -> UUID:
    """Forget the customer here and have all services do so; asking again gives the same erasure.

    `segment` is how long a segment of a topic is open. With the key `suppress_with`, they are not brought
    back in bulk. Raises CustomerNotFound.
    """
    await stop_writers(session)  # before any lock on rows, as everybody does
    current = await resolve_one(session, customer_id)
    locked = select(Customer.version).where(Customer.id == current).with_for_update()
    version = await session.scalar(locked)
    if version is None:
        known = await session.scalar(select(Erasure.id).where(Erasure.customer_id == current))
        if known is None:
            raise CustomerNotFound(customer_id=str(customer_id))
        return known
    erasure_id = uuid7()
    absorbed = sorted({*await absorbed_into(session, current)} - {current})
    who = Forgotten(current, absorbed, erasure_id, at)
    await _forget(session, who, version, by=by, key=suppress_with, segment=segment, at=at)
    return erasure_id


async def erase_again(
    session: AsyncSession, forgotten: Forgotten, *, key: bytes, segment: timedelta, at: datetime
) -> None:
    """Forget whom a restored database has back, and have all services do so; repeating it does no harm.

    They are suppressed: whether they were not to be is as lost as their receipt.
    """
    await stop_writers(session)
    locked = select(Customer.version).where(Customer.id == forgotten.customer_id).with_for_update()
    version = await session.scalar(locked) or 0
    await _forget(session, forgotten, version, by="re-erase", key=key, segment=segment, at=at)


async def _forget(
    session: AsyncSession,
    who: Forgotten,
    version: int,
    *,
    by: str,
    key: bytes | None,
    segment: timedelta,
    at: datetime,
) -> None:
    row = {"id": who.erasure_id, "customer_id": who.customer_id, "requested_at": who.erased_at}
    new = insert(Erasure).values(row | {"requested_by": by}).on_conflict_do_nothing().returning(Erasure.id)
    first = await session.scalar(new) is not None
    ids = [who.customer_id, *who.absorbed]
    if key is not None:
        await suppression.suppress(session, ids, erasure_id=who.erasure_id, key=key, at=at)
    left = await traces.remove(session, ids, at=at)
    files = await imports.forget(session, ids, at=at) + await exports.forget(session, ids, at=at)
    unowned = await submissions.forget(session, ids)
    receipt = await erasure.erase(
        session,
        Base.metadata,
        who.customer_id,
        absorbed=who.absorbed,
        erasure_id=who.erasure_id,
        at=who.erased_at,
        lasting=[CustomerErased],
    )
    receipt.removed |= {"states_of_others": left} if left else {}
    receipt.removed |= {"files": files} if files else {}
    receipt.removed |= {"unowned_form_submissions": unowned} if unowned else {}
    receipt.kept["files"] = "uploaded ones of which no row is known to be theirs, for some days at most"
    confirmed = _confirmation(who.erasure_id, "profiles", receipt.removed, receipt.kept, at)
    await session.execute(insert(ErasureConfirmation).values(confirmed).on_conflict_do_nothing())
    if first or receipt.removed:
        await _tell(session, who, version + 1, segment=segment, at=at)


async def _tell(
    session: AsyncSession, who: Forgotten, version: int, *, segment: timedelta, at: datetime
) -> None:
    told = CustomerErased(
        customer_id=who.customer_id,
        version=version,
        erasure_id=who.erasure_id,
        absorbed=list(who.absorbed),
    )
    publish(session, told, at=at)
    await due.schedule(session, TELL_AGAIN, {who.erasure_id: _again(at, segment)})


async def tell_again(
    session: AsyncSession, erasure_ids: Collection[UUID], *, segment: timedelta, at: datetime
) -> None:
    """Have the erasures' events sent once more, under the ids they have: who had them drops them.

    A broker compacts closed segments only, and closes one when something is written after its time: on a
    quiet partition that is the second tombstone. It waits for that time to pass since the first was sent.
    """
    told = (Outbox.type == CustomerErased.type, Outbox.key == cast(Erasure.customer_id, Text))
    sent = await session.execute(
        select(Erasure.id, func.max(func.coalesce(Outbox.sent_at, at)))
        .join(Outbox, and_(*told))
        .where(Erasure.id.in_(erasure_ids))
        .group_by(Erasure.id)
    )
    again = {erasure_id: _again(sent_at, segment) for erasure_id, sent_at in sent}
    early = {erasure_id: instant for erasure_id, instant in again.items() if instant > at}
    await due.schedule(session, TELL_AGAIN, early)
    await session.execute(
        update(Outbox)
        .where(*told, Erasure.id.in_(again.keys() - early.keys()))
        .values(sent_at=None)
        .execution_options(synchronize_session=False)
    )


def _again(sent_at: datetime, segment: timedelta) -> datetime:
    """When a record surely closes the segment that one of then is in: a little later than it must."""
    return sent_at + segment * 25 / 24


async def remove(session: AsyncSession, customers: Sequence[UUID], *, erasure_id: UUID, at: datetime) -> None:
    """Forget customers who should never have been on file, and have all services do so.

    No receipt is written, and they may come back at any time: only their ids are not used again.
    """
    if not customers:
        return
    await stop_writers(session)
    locked = select(Customer.id, Customer.version).where(Customer.id.in_(customers)).with_for_update()
    versions = {row.id: row.version for row in await session.execute(locked)}
    first, *others = sorted(versions)
    await erasure.erase(
        session,
        Base.metadata,
        first,
        absorbed=others,
        erasure_id=erasure_id,
        at=at,
        lasting=[CustomerErased],
    )
    told = [
        CustomerErased(customer_id=id, version=version + 1, erasure_id=erasure_id)
        for id, version in sorted(versions.items())
    ]
    await publish_many(session, [News(event) for event in told], at=at)


async def get(session: AsyncSession, erasure_id: UUID) -> Erasure:
    """The erasure with all confirmations so far; raises ErasureNotFound."""
    found = await session.get(Erasure, erasure_id, options=[selectinload(Erasure.confirmations)])
    if found is None:
        raise ErasureNotFound(erasure_id=str(erasure_id))
    return found


async def list_(
    session: AsyncSession,
    state: ErasureState | None,
    *,
    overdue_since: datetime,
    page: PageRequest,
) -> Listing[Erasure]:
    """Erasures with their confirmations, the newest first; overdue: asked for before `overdue_since`."""
    statement = select(Erasure).options(selectinload(Erasure.confirmations))
    match state:
        case ErasureState.COMPLETE:
            statement = statement.where(Erasure.completed_at.is_not(None))
        case ErasureState.OPEN:
            statement = statement.where(Erasure.completed_at.is_(None))
        case ErasureState.OVERDUE:
            statement = statement.where(Erasure.completed_at.is_(None), Erasure.requested_at < overdue_since)
    return await paginate(
        session,
        statement,
        [Key(Erasure.id, descending=True)],
        page=page,
        filters=state,
    )


async def count_overdue(session: AsyncSession, *, within: timedelta, at: datetime) -> int:
    """How many erasures some service has not confirmed in time."""
    late = (Erasure.completed_at.is_(None), Erasure.requested_at < at - within)
    return await session.scalar(select(func.count()).select_from(Erasure).where(*late)) or 0


async def note(session: AsyncSession, confirmations: Sequence[ErasureConfirmed], *, at: datetime) -> None:
    """Put what services have confirmed on the receipts; what is removed later is added to what was before."""
    asked = {event.erasure_id for event in confirmations}
    locked = select(Erasure.id).where(Erasure.id.in_(asked)).order_by(Erasure.id).with_for_update()
    known = set(await session.scalars(locked))
    before = await session.scalars(
        select(ErasureConfirmation).where(ErasureConfirmation.erasure_id.in_(known))
    )
    rows: dict[tuple[UUID, str], Json] = {
        (row.erasure_id, row.service): _confirmation(
            row.erasure_id, row.service, row.removed, row.kept, row.confirmed_at
        )
        for row in before
    }
    changed: set[tuple[UUID, str]] = set()
    for event in (event for event in confirmations if event.erasure_id in known):
        key = (event.erasure_id, event.service_name)
        removed, since = Counter(event.removed), at
        if earlier := rows.get(key):
            removed, since = removed + Counter(earlier["removed"]), earlier["confirmed_at"]
        rows[key] = _confirmation(*key, removed, event.kept, since)
        changed.add(key)
    if changed:
        statement = insert(ErasureConfirmation)
        new = {name: statement.excluded[name] for name in ("removed", "kept")}
        await session.execute(
            statement.on_conflict_do_update(index_elements=["erasure_id", "service"], set_=new),
            [rows[key] for key in sorted(changed)],
        )
        await _complete(session, known, at)


async def _complete(session: AsyncSession, ids: set[UUID], at: datetime) -> None:
    """Those of the locked erasures that every service has confirmed by now."""
    answered = (
        select(func.count())
        .where(ErasureConfirmation.erasure_id == Erasure.id, ErasureConfirmation.service.in_(SERVICES))
        .scalar_subquery()
    )
    done = (Erasure.id.in_(ids), Erasure.completed_at.is_(None), answered == len(SERVICES))
    await session.execute(update(Erasure).where(*done).values(completed_at=at))


def _confirmation(
    erasure_id: UUID, service: str, removed: dict[str, int], kept: dict[str, str], at: datetime
) -> Json:
    return {
        "erasure_id": erasure_id,
        "service": service,
        "confirmed_at": at,
        "removed": dict(removed),
        "kept": kept,
    }
