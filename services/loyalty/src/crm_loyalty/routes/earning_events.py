"""Events that may earn points, over HTTP."""

from uuid import UUID

from fastapi import Response

from crm_loyalty.earning import events, published
from crm_loyalty.errors import AccountNotFound, EventDiffers, EventNotFound, EventNotYet
from crm_loyalty.schemas.earning_events import (
    EarningEventIn,
    EarningEventOut,
    PublishedTypeOut,
    PublishedTypesOut,
)
from crm_shared.callers import MANAGERS, READERS, Role
from crm_shared.customers import CustomerNotFound, CustomerWasErased
from crm_shared.pages import InvalidCursor, Listing, Page
from crm_shared.web.problems import documented
from crm_shared.web.router import Router
from crm_shared.web.session import CurrentClock, Paging, Session, allow

router = Router(tags=["earning events"])


@router.post(
    "/v1/earning-events",
    status_code=201,
    response_model=EarningEventOut,
    dependencies=[allow(Role.PARTNER, *MANAGERS)],
    responses={
        200: {"model": EarningEventOut, "description": "It was reported before: the first answer"},
        **documented(AccountNotFound, CustomerWasErased, EventDiffers, EventNotYet),
    },
)
async def report_earning_event(
    session: Session, clock: CurrentClock, response: Response, body: EarningEventIn
) -> EarningEventOut:
    """Tell of something that a customer did; it earns what the rules about such events say, once.

    Telling of it again, under the same `source` and `external_id`, changes nothing and gets the same answer,
    whatever has become of the rules.
    """
    event, new = await events.report(session, body, at=clock.now())
    response.headers["Location"] = f"/v1/earning-events/{event.id}"
    response.status_code = 201 if new else 200
    return EarningEventOut.of(event)


@router.get("/v1/earning-events/types", response_model=PublishedTypesOut, dependencies=[allow(*READERS)])
async def list_published_event_types() -> PublishedTypesOut:
    """List the events that come by themselves, and what rules may ask of them; all others are reported."""
    return PublishedTypesOut(
        items=[
            PublishedTypeOut(
                type=name,
                description=(event.__doc__ or "").splitlines()[0],
                properties=list(published.properties_of(event)),
            )
            for name, event in sorted(published.TYPES.items())
        ]
    )


@router.get(
    "/v1/earning-events/{event_id}",
    response_model=EarningEventOut,
    dependencies=[allow(*READERS)],
    responses=documented(EventNotFound),
)
async def get_earning_event(session: Session, event_id: UUID) -> EarningEventOut:
    """Read what happened, and what it earned."""
    return EarningEventOut.of(await events.get(session, event_id))


@router.get(
    "/v1/accounts/{customer_id}/earning-events",
    response_model=Page[EarningEventOut],
    dependencies=[allow(*READERS, Role.CUSTOMER, own="customer_id")],
    responses=documented(AccountNotFound, CustomerNotFound, InvalidCursor),
)
async def list_earning_events(
    session: Session,
    page: Paging,
    customer_id: UUID,
) -> Listing[EarningEventOut]:
    """List what happened to a customer that might have earned points, the newest first.

    Published events are among them from when on a rule names their type.
    """
    found = await events.list_(session, customer_id, page=page)
    return found.map(EarningEventOut.of)
