"""Merges over HTTP."""

from typing import Annotated
from uuid import UUID

from fastapi import Query, Response

from crm_profiles.customers import contact_points
from crm_profiles.errors import LaterMergeFirst, MergeAlreadyUndone, MergeNotFound, SameCustomer
from crm_profiles.merging import merges
from crm_profiles.merging.merges import Plan
from crm_profiles.models.merges import Merge
from crm_profiles.schemas.customers import ContactPointOut, ExternalIdOut
from crm_profiles.schemas.merges import (
    MergeIn,
    MergeMemberOut,
    MergeOut,
    MergePreviewIn,
    MergePreviewOut,
    MissingPointOut,
    UndoIn,
)
from crm_shared.callers import READERS, STAFF, SUPERVISORS, Caller
from crm_shared.customers import CustomerNotFound, CustomerWasErased
from crm_shared.etags import StaleVersion
from crm_shared.pages import InvalidCursor, Listing, Page
from crm_shared.web.idempotency import requires_key
from crm_shared.web.problems import documented
from crm_shared.web.router import Router
from crm_shared.web.session import (
    CurrentCaller,
    CurrentClock,
    Paging,
    Session,
    allow,
)

router = Router(tags=["merges"])


@router.post(
    "/v1/merges/preview",
    response_model=MergePreviewOut,
    dependencies=[allow(*STAFF)],
    responses=documented(CustomerNotFound, CustomerWasErased, SameCustomer),
)
async def preview_merge(session: Session, caller: CurrentCaller, body: MergePreviewIn) -> MergePreviewOut:
    """Show what a merge would do: each member with where its value comes from, and what would move."""
    return _shown(await merges.preview(session, body), caller)


@router.post(
    "/v1/merges",
    status_code=201,
    response_model=MergeOut,
    dependencies=[allow(*SUPERVISORS), requires_key],
    responses=documented(CustomerNotFound, CustomerWasErased, SameCustomer, StaleVersion),
)
async def merge_customers(
    session: Session, clock: CurrentClock, caller: CurrentCaller, response: Response, body: MergeIn
) -> MergeOut:
    """Make two customers one, everywhere.

    The absorbed id means the survivor from then on, in every service. All of it can be undone.
    """
    merge_id = await merges.merge(session, body, by=caller.subject, clock=clock)
    response.headers["Location"] = f"/v1/merges/{merge_id}"
    return _masked(await merges.get(session, merge_id), caller)


@router.get(
    "/v1/merges",
    response_model=Page[MergeOut],
    dependencies=[allow(*READERS)],
    responses=documented(InvalidCursor),
)
async def list_merges(
    session: Session,
    caller: CurrentCaller,
    page: Paging,
    customer_id: Annotated[
        UUID | None, Query(description="only those of this customer and of who was merged into them")
    ] = None,
) -> Listing[MergeOut]:
    """List merges, the newest first, those included that were undone."""
    found = await merges.list_(session, customer_id, page=page)
    return found.map(lambda merge: _masked(merge, caller))


@router.get(
    "/v1/merges/{merge_id}",
    response_model=MergeOut,
    dependencies=[allow(*READERS)],
    responses=documented(MergeNotFound),
)
async def get_merge(session: Session, caller: CurrentCaller, merge_id: UUID) -> MergeOut:
    """Read a merge, and how it was undone."""
    return _masked(await merges.get(session, merge_id), caller)


@router.post(
    "/v1/merges/{merge_id}/undo",
    response_model=MergeOut,
    dependencies=[allow(*SUPERVISORS)],
    responses=documented(MergeNotFound, MergeAlreadyUndone, LaterMergeFirst, CustomerWasErased),
)
async def undo_merge(
    session: Session,
    clock: CurrentClock,
    caller: CurrentCaller,
    merge_id: UUID,
    body: UndoIn,
) -> MergeOut:
    """Make the one customer two again, everywhere; undoing twice is a conflict.

    Everything goes back to the id it was written under, what was written after the merge included. Members
    that the merge changed are as they were before, but for those that somebody changed since; contact points
    that were given up or taken since do not come back: the answer names both. Nor do custom attributes that
    are not declared any more. While the survivor is itself
    merged into another customer, that merge has to be undone first.
    """
    await merges.undo(session, merge_id, body, by=caller.subject, clock=clock)
    return _masked(await merges.get(session, merge_id), caller)


def _shown(plan: Plan, caller: Caller) -> MergePreviewOut:
    points = sorted(plan.survivor.points | plan.absorbed.points)
    keys = sorted(plan.survivor.keys | plan.absorbed.keys)
    shown = MergePreviewOut(
        survivor_id=plan.survivor.owner.id,
        absorbed_id=plan.absorbed.owner.id,
        survivor_version=plan.survivor.version,
        absorbed_version=plan.absorbed.version,
        members=[MergeMemberOut.model_validate(each) for each in plan.members],
        conflicts=[each.member for each in plan.members if each.conflict],
        contact_points=[ContactPointOut(kind=point.kind, value=point.value) for point in points],
        external_ids=[ExternalIdOut(source=key.source, external_id=key.external_id) for key in keys],
        moves=plan.moves,
    )
    _mask(shown.contact_points, caller)
    return shown


def _masked(merge: Merge, caller: Caller) -> MergeOut:
    shown = MergeOut.of(merge)
    if shown.undone is not None:
        _mask(shown.undone.missing, caller)
    return shown


def _mask(points: list[ContactPointOut] | list[MissingPointOut], caller: Caller) -> None:
    if not caller.sees_personal_data:
        for point in points:
            point.value = contact_points.mask(point.kind, point.value)
