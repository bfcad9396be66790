"""The timeline over HTTP."""

from typing import Annotated
from uuid import UUID

from fastapi import Query
from pydantic import Field

from crm_profiles.activity import timeline
from crm_profiles.activity.timeline import TimelineFilters
from crm_profiles.customers import documents
from crm_profiles.errors import PeriodEmpty
from crm_profiles.models.timeline import EntryType
from crm_profiles.routes.parameters import require_period
from crm_profiles.schemas.timeline import Family, TimelineEntryOut
from crm_shared.callers import READERS, STAFF, Role
from crm_shared.customers import CustomerNotFound
from crm_shared.fields import Instant
from crm_shared.pages import InvalidCursor, Listing, Page
from crm_shared.web.problems import documented
from crm_shared.web.router import Router
from crm_shared.web.session import CurrentCaller, Paging, Session, allow

Types = Annotated[list[EntryType], Field(max_length=20)]

router = Router(tags=["timeline"])


@router.get(
    "/v1/customers/{customer_id}/timeline",
    response_model=Page[TimelineEntryOut],
    dependencies=[allow(*READERS, Role.CUSTOMER, own="customer_id")],
    responses=documented(CustomerNotFound, InvalidCursor, PeriodEmpty),
)
async def list_timeline(
    session: Session,
    caller: CurrentCaller,
    page: Paging,
    customer_id: UUID,
    type: Annotated[Types | None, Query(description="any of these")] = None,
    family: Annotated[
        Family | None, Query(description="all types that begin so: `ticket` is `ticket.*`")
    ] = None,
    since: Annotated[Instant | None, Query(alias="from", description="from then on")] = None,
    until: Annotated[Instant | None, Query(alias="to", description="before then")] = None,
) -> Listing[TimelineEntryOut]:
    """List what happened with a customer in all services, the newest first; all filters must hold.

    What staff have written for each other, as why somebody got another manager, is for staff only.
    """
    if since is not None and until is not None:
        require_period(since, until)
    current = await documents.current_id(session, customer_id)
    filters = TimelineFilters(types=type or (), family=family, since=since, until=until)
    found = await timeline.list_(session, current, filters, page=page)
    shown = found.map(TimelineEntryOut.model_validate)
    if not caller.has(STAFF):
        for entry in shown.items:
            entry.data = timeline.without_staff_words(entry.type, entry.data)
    return shown
