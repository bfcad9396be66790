"""Account managers over HTTP."""

from typing import Annotated
from uuid import UUID

from fastapi import Query, Response

from crm_profiles.customers import documents
from crm_profiles.models.managers import ManagerAssignment
from crm_profiles.routes.answers import document
from crm_profiles.schemas.customers import CustomerOut
from crm_profiles.schemas.managers import AlertOut, ManagerIn, ManagerOut
from crm_profiles.stages import managers
from crm_shared.callers import READERS, STAFF, SUPERVISORS
from crm_shared.contracts.segmentation import Level
from crm_shared.customers import CustomerNotFound
from crm_shared.etags import StaleVersion
from crm_shared.pages import InvalidCursor, Listing, Page
from crm_shared.web.problems import documented
from crm_shared.web.router import Router
from crm_shared.web.session import (
    CurrentCaller,
    CurrentClock,
    IfMatch,
    Paging,
    Session,
    allow,
)

router = Router(tags=["managers"])


@router.put(
    "/v1/customers/{customer_id}/manager",
    response_model=CustomerOut,
    dependencies=[allow(*SUPERVISORS)],
    responses=documented(CustomerNotFound, StaleVersion),
)
async def assign_manager(
    session: Session,
    clock: CurrentClock,
    caller: CurrentCaller,
    customer_id: UUID,
    body: ManagerIn,
    if_match: IfMatch = None,
) -> Response:
    """Have somebody look after a customer; whoever did so before no longer does."""
    current = await managers.assign(
        session, customer_id, body.manager, body.reason, if_match=if_match, clock=clock
    )
    return document(await documents.get_customer(session, current), caller)


@router.delete(
    "/v1/customers/{customer_id}/manager",
    response_model=CustomerOut,
    dependencies=[allow(*SUPERVISORS)],
    responses=documented(CustomerNotFound, StaleVersion),
)
async def release_manager(
    session: Session,
    clock: CurrentClock,
    caller: CurrentCaller,
    customer_id: UUID,
    if_match: IfMatch = None,
) -> Response:
    """Have nobody look after a customer any more."""
    current = await managers.assign(session, customer_id, None, None, if_match=if_match, clock=clock)
    return document(await documents.get_customer(session, current), caller)


@router.get(
    "/v1/customers/{customer_id}/managers",
    response_model=Page[ManagerOut],
    dependencies=[allow(*READERS)],
    responses=documented(CustomerNotFound, InvalidCursor),
)
async def list_manager_assignments(
    session: Session,
    page: Paging,
    customer_id: UUID,
) -> Listing[ManagerAssignment]:
    """List who looked after a customer, the newest first."""
    current = await documents.current_id(session, customer_id)
    return await managers.list_assignments(session, current, page=page)


@router.get(
    "/v1/managers/alerts",
    response_model=Page[AlertOut],
    dependencies=[allow(*STAFF)],
    responses=documented(InvalidCursor),
)
async def list_manager_alerts(
    session: Session,
    page: Paging,
    level: Annotated[Level, Query(description="customers of this level")] = Level.VIP,
) -> Listing[AlertOut]:
    """List customers of a level whom nobody looks after, those first who have had it longest."""
    found = await managers.list_alerts(session, level, page=page)
    names = await managers.names_of(session, [row.customer_id for row in found.items])
    return found.map(
        lambda row: AlertOut(
            customer_id=row.customer_id, name=names[row.customer_id], level=row.level, since=row.since
        )
    )
