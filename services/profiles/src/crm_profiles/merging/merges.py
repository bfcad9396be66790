"""Merges: two customers become one, are shown before they do, and become two again when it was a mistake."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Uuid, delete, func, literal, or_, select, union_all
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import selectinload

from crm_profiles.customers import attributes, contact_points, drafts, writing
from crm_profiles.customers.contact_points import Owner, Point
from crm_profiles.customers.describing import FIELDS
from crm_profiles.customers.drafts import Belongings, Draft
from crm_profiles.errors import LaterMergeFirst, MergeAlreadyUndone, MergeNotFound, SameCustomer
from crm_profiles.merging import duplicates
from crm_profiles.merging.blending import Blended, blend, revert
from crm_profiles.messages import conversions
from crm_profiles.models.base import Base
from crm_profiles.models.customers import Channel, ContactKind, Customer
from crm_profiles.models.history import Change, CustomerVersion
from crm_profiles.models.merges import Merge, MergeImage
from crm_profiles.privacy import privacy_exports
from crm_profiles.schemas.merges import MergeIn, MergePreviewIn, UndoIn
from crm_profiles.stages import stages
from crm_shared.clock import Clock
from crm_shared.contracts.profiles import (
    CustomerChanged,
    CustomerMerged,
    CustomerState,
    CustomerUnmerged,
)
from crm_shared.customers import (
    CustomerAlias,
    CustomerNotFound,
    CustomerWasErased,
    absorbed_into,
    erased,
    link,
    owned_tables,
    resolve,
    resolve_one,
    stop_merges,
    stop_writers,
    unlink,
)
from crm_shared.database import Json
from crm_shared.etags import StaleVersion
from crm_shared.outbox import publish
from crm_shared.pages import Key, Listing, PageRequest, paginate
from crm_shared.problems import Fault


@dataclass(frozen=True)
class Plan:
    """What a merge would do; `moves` counts the rows that would go to the survivor, by table."""

    survivor: Draft
    absorbed: Draft
    members: list[Blended]
    moves: dict[str, int]


async def preview(session: AsyncSession, body: MergePreviewIn) -> Plan:
    """The customer whom the two would become; nothing is written. Raises as `merge` does."""
    await stop_merges(session)
    return await _plan(session, body)


async def merge(session: AsyncSession, body: MergeIn, *, by: str, clock: Clock) -> UUID:
    """Make the two one, whoever they mean today; the absorbed id means the survivor from now on.

    Raises CustomerNotFound, CustomerWasErased, SameCustomer, StaleVersion.
    """
    await stop_writers(session)
    plan = await _plan(session, body)
    survivor, absorbed = plan.survivor, plan.absorbed
    _check_versions(body, plan)
    at = clock.now()
    after = _image(survivor) | {each.member: each.result for each in plan.members}
    made = await _journal(session, plan, body, after, by=by, at=at)
    event = CustomerMerged(
        customer_id=absorbed.owner.id,
        version=absorbed.version + 1,
        survivor_id=survivor.owner.id,
        merge_id=made.id,
        sequence=made.sequence,
    )
    await link(session, Base.metadata, [event])
    await _put_away(session, absorbed, event, at=at)
    held = Belongings(survivor.points | absorbed.points, survivor.keys | absorbed.keys)
    survivor.held, survivor.points, survivor.keys = held, held.points, held.keys
    survivor.after = _members(after)
    survivor.change, survivor.channel = Change.MERGED, Channel.MERGE
    await writing.write_one(session, survivor, clock=clock)
    await duplicates.note_merge(session, made)
    await stages.look_again(session, [survivor.owner.id], at=at)
    await conversions.credit_customers_anew(session, survivor.owner.id)
    return made.id


async def undo(session: AsyncSession, merge_id: UUID, body: UndoIn, *, by: str, clock: Clock) -> None:
    """Make the one two again: everything goes back to the id it was written under.

    Members of the survivor that the merge changed are as they were, but for those that somebody changed
    since. A contact point that was given up or taken by somebody else meanwhile does not come back, nor does
    a custom attribute that is not declared any more. Raises MergeNotFound, MergeAlreadyUndone,
    LaterMergeFirst, CustomerWasErased.
    """
    await stop_writers(session)
    made = await get(session, merge_id)
    await _check_undoable(session, made)
    images = {image.customer_id: image for image in made.images}
    image, returning = images[made.survivor_id], images[made.absorbed_id]
    before, back = await _as_declared(session, image.before, returning.before)
    last = await _last_version(session, made.absorbed_id)
    at = max(clock.now(), last.recorded_at + writing.RESOLUTION)
    await _part(session, made, last.version + 1, at=at)
    who = Owner(made.survivor_id, made.survivor_id)
    survivor = (await drafts.lock(session, [who]))[who.id]
    # Whatever the clock says, what was recorded of the one was recorded before it was two again.
    at = max(at, survivor.changed_at or at)
    reverted = revert(_image(survivor), before, image.after or {})
    survivor.after = _members(reverted.members)
    absorbed = await drafts.returning(
        session, _state(made.absorbed_id, back), version=last.version, changed_at=last.recorded_at
    )
    for draft in (survivor, absorbed):
        draft.change, draft.channel = Change.UNMERGED, Channel.MERGE
    await writing.write(session, [survivor, absorbed], clock=clock)
    returning.missing = await _missing(session, returning.before, absorbed)
    await _rebase(session, made, image)
    made.undone_at, made.undone_by, made.undo_reason, made.kept = at, by, body.reason, reverted.kept
    await duplicates.note_undoing(session, made, by=by, at=at)
    await stages.look_again(session, [made.survivor_id, made.absorbed_id], at=at)
    await conversions.credit_customers_anew(session, made.survivor_id, made.absorbed_id)


async def get(session: AsyncSession, merge_id: UUID) -> Merge:
    """The merge with what it found of both; raises MergeNotFound."""
    found = await session.get(Merge, merge_id, options=[selectinload(Merge.images)])
    if found is None:
        raise MergeNotFound(merge_id=str(merge_id))
    return found


async def list_(session: AsyncSession, customer_id: UUID | None, *, page: PageRequest) -> Listing[Merge]:
    """Merges, the newest first: all, or those of a customer and of whoever was merged into them."""
    statement = select(Merge).options(selectinload(Merge.images))
    if customer_id is not None:
        current = await resolve_one(session, customer_id)
        ids = await absorbed_into(session, current)
        statement = statement.where(or_(Merge.survivor_id.in_(ids), Merge.absorbed_id.in_(ids)))
    return await paginate(
        session,
        statement,
        [Key(Merge.sequence, descending=True)],
        page=page,
        filters=str(customer_id),
    )


async def _plan(session: AsyncSession, body: MergePreviewIn) -> Plan:
    asked = {"survivor_id": body.survivor_id, "absorbed_id": body.absorbed_id}
    current = await resolve(session, list(asked.values()))
    gone = await erased(session, [*current, *current.values()])
    for name, id in asked.items():
        if {id, current[id]} & gone:
            raise CustomerWasErased(customer_id=str(id), errors=[_fault(name, "erased", "They were erased.")])
    if current[body.survivor_id] == current[body.absorbed_id]:
        raise SameCustomer(customer_id=str(current[body.survivor_id]))
    found = await drafts.lock(session, [Owner(id, id) for id in current.values()])
    for name, id in asked.items():
        if current[id] not in found:
            unknown = _fault(name, "unknown", "Nobody is known by this id.")
            raise CustomerNotFound(customer_id=str(id), errors=[unknown])
    survivor, absorbed = (found[current[id]] for id in asked.values())
    members = blend(_image(survivor), _image(absorbed), FIELDS, body.prefer)
    return Plan(survivor, absorbed, members, await _count(session, absorbed.owner.id))


def _fault(name: str, code: str, message: str) -> Fault:
    return {"pointer": f"/{name}", "code": code, "message": message}


def _check_versions(body: MergeIn, plan: Plan) -> None:
    seen = (
        ("survivor_version", body.survivor_version, plan.survivor.version),
        ("absorbed_version", body.absorbed_version, plan.absorbed.version),
    )
    for name, expected, version in seen:
        if expected is not None and expected != version:
            stale = _fault(name, "stale", f"It is {version} now.")
            raise StaleVersion(f"The current version is {version}.", current_version=version, errors=[stale])


async def _check_undoable(session: AsyncSession, made: Merge) -> None:
    """Who was merged on since must be there again before: raises what stands in the way."""
    if made.undone_at is not None:
        raise MergeAlreadyUndone(merge_id=str(made.id), undone_at=made.undone_at)
    if await erased(session, [made.survivor_id, made.absorbed_id]):
        raise CustomerWasErased(customer_id=str(made.survivor_id))
    current = await resolve_one(session, made.survivor_id)
    if current != made.survivor_id:
        last = await session.scalar(
            select(CustomerAlias.merge_id)
            .where(
                CustomerAlias.survivor == current,
                CustomerAlias.absorbed.in_(await _way_up(session, made.survivor_id)),
            )
            .limit(1)
        )
        raise LaterMergeFirst(
            "The survivor has been merged into another customer since: undo that merge first.",
            merge_id=str(last),
        )


async def _way_up(session: AsyncSession, customer_id: UUID) -> Sequence[UUID]:
    """The id and those that it came to mean on its way to who it means today."""
    way = select(literal(customer_id, Uuid).label("id")).cte("way", recursive=True)
    up = select(CustomerAlias.survivor).join(way, way.c.id == CustomerAlias.absorbed)
    return list(await session.scalars(select(way.union(up).c.id)))


async def _count(session: AsyncSession, customer_id: UUID) -> dict[str, int]:
    """The customer's rows by table, where there are any."""
    counts = [
        select(literal(str(table.name)).label("name"), func.count().label("rows")).where(
            table.c.customer_id == customer_id
        )
        for table in owned_tables(Base.metadata)
    ]
    found = await session.execute(union_all(*counts))
    return {row.name: row.rows for row in found if row.rows}


async def _journal(
    session: AsyncSession, plan: Plan, body: MergeIn, after: Json, *, by: str, at: datetime
) -> Merge:
    """What undoing it will need: both as they were, and what the survivor becomes."""
    survivor, absorbed = plan.survivor, plan.absorbed
    made = Merge(
        survivor_id=survivor.owner.id,
        absorbed_id=absorbed.owner.id,
        survivor_version=survivor.version,
        absorbed_version=absorbed.version,
        prefer={member: side.value for member, side in body.prefer.items()},
        moved=plan.moves,
        reason=body.reason,
        made_at=at,
        made_by=by,
    )
    session.add(made)
    await session.flush()
    found = MergeImage(merge_id=made.id, customer_id=survivor.owner.id, before=_image(survivor), after=after)
    session.add_all(
        [found, MergeImage(merge_id=made.id, customer_id=absorbed.owner.id, before=_image(absorbed))]
    )
    return made


async def _put_away(session: AsyncSession, absorbed: Draft, event: CustomerMerged, *, at: datetime) -> None:
    """They are on file no more; their history stays and ends with whom they were merged into."""
    await session.execute(
        delete(Customer).where(Customer.id == absorbed.owner.id).execution_options(synchronize_session=False)
    )
    recorded_at = at if absorbed.changed_at is None else max(at, absorbed.changed_at + writing.RESOLUTION)
    session.add(
        CustomerVersion(
            customer_id=event.customer_id,
            version=event.version,
            recorded_at=recorded_at,
            actor=session.info.get("actor"),
            channel=Channel.MERGE,
            change=Change.ABSORBED,
            state=event.model_dump(mode="json"),
        )
    )
    publish(session, event, at=recorded_at)


async def _as_declared(session: AsyncSession, *images: Json) -> list[Json]:
    """The images without custom attributes that nobody could have any more."""
    had = [image.get("attributes") or {} for image in images]
    declared = await attributes.declared(session, (key for values in had for key in values))
    return [
        image | {"attributes": {k: v for k, v in values.items() if attributes.fits(declared, k, v)}}
        for image, values in zip(images, had, strict=True)
    ]


async def _part(session: AsyncSession, made: Merge, version: int, *, at: datetime) -> None:
    """Give each what was written under their id, and tell the world."""
    event = CustomerUnmerged(
        customer_id=made.absorbed_id,
        version=version,
        survivor_id=made.survivor_id,
        merge_id=made.id,
        sequence=made.sequence,
    )
    await unlink(session, Base.metadata, [event])
    publish(session, event, at=at)
    # What was gathered about the one is about both of them.
    await privacy_exports.expire_since(session, [made.survivor_id, made.absorbed_id], made.made_at)


async def _last_version(session: AsyncSession, customer_id: UUID) -> CustomerVersion:
    newest = (
        select(CustomerVersion)
        .where(CustomerVersion.customer_id == customer_id)
        .order_by(CustomerVersion.version.desc())
        .limit(1)
    )
    return (await session.scalars(newest)).one()


async def _missing(session: AsyncSession, before: Json, absorbed: Draft) -> list[Json]:
    """The contact points that the absorbed customer had and does not get back, with who has each now."""
    had = {Point(ContactKind(point["kind"]), point["value"]) for point in before["contact_points"]}
    holders = await contact_points.holders(session, had - absorbed.points)
    return [
        point._asdict() | {"taken_by": str(holder) if holder else None}
        for point, holder in sorted(holders.items())
    ]


async def _rebase(session: AsyncSession, undone: Merge, image: MergeImage) -> None:
    """What later merges found of the survivor, and left, was partly brought by this one: it is taken out.

    So merges into one customer can be undone in any order.
    """
    later = await session.scalars(
        select(MergeImage)
        .join(Merge, Merge.id == MergeImage.merge_id)
        .where(
            Merge.survivor_id == undone.survivor_id,
            MergeImage.customer_id == undone.survivor_id,
            Merge.sequence > undone.sequence,
            Merge.undone_at.is_(None),
        )
    )
    for each in later:
        each.before = revert(each.before, image.before, image.after or {}).members
        each.after = revert(each.after or {}, image.before, image.after or {}).members


def _image(draft: Draft) -> Json:
    """The customer as the draft found them, as JSON."""
    assert draft.changed_at is not None
    state = draft.event.model_validate(draft.state(draft.changed_at))
    return state.model_dump(mode="json", exclude={"customer_id", "version"})


def _state(customer_id: UUID, image: Json) -> CustomerState:
    return CustomerChanged.model_validate(image | {"customer_id": customer_id, "version": 1})


def _members(image: Json) -> Json:
    """The values of the columns, typed as the columns are."""
    return _state(UUID(int=0), image).model_dump(include=set(FIELDS))
