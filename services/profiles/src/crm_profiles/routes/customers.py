"""Customers over HTTP."""

from collections.abc import Sequence
from typing import Annotated
from uuid import UUID

from fastapi import Path, Query, Request, Response
from sqlalchemy.ext.asyncio import AsyncSession

from crm_profiles.customers import contact_points, customers, documents, history
from crm_profiles.customers.customers import CustomerFilters
from crm_profiles.customers.drafts import Status
from crm_profiles.errors import (
    ContactPointTaken,
    InvalidAttributes,
    InvalidContactPoint,
    NoLunarDate,
    PersonalDataHidden,
)
from crm_profiles.fields import Reference, Region, Source
from crm_profiles.models.customers import Channel, Gender
from crm_profiles.privacy import suppression
from crm_profiles.routes.answers import (
    check_sees_personal_data,
    counted,
    document,
    failed,
    validated,
)
from crm_profiles.routes.parameters import AttributeFilters
from crm_profiles.routes.settings import CurrentSettings
from crm_profiles.schemas.customers import (
    CustomerBatchIn,
    CustomerBatchOut,
    CustomerIn,
    CustomerItem,
    CustomerOut,
    CustomerPatch,
    CustomerPut,
    CustomerTotalsOut,
    CustomerVerdict,
)
from crm_profiles.schemas.summary import ProfileSummaryOut
from crm_shared import etags
from crm_shared.callers import READERS, STAFF, Caller, Role
from crm_shared.clock import Clock
from crm_shared.customers import CustomerNotFound
from crm_shared.etags import StaleVersion
from crm_shared.fields import Instant
from crm_shared.pages import InvalidCursor, Listing, Page
from crm_shared.problems import Problem
from crm_shared.web.desk import Handed
from crm_shared.web.problems import documented
from crm_shared.web.router import Router
from crm_shared.web.session import (
    CurrentCaller,
    CurrentClock,
    CurrentDesks,
    CurrentSessions,
    IfMatch,
    Paging,
    ReadTogether,
    RoleMissing,
    Session,
    allow,
)

router = Router(tags=["customers"])

UNFIT = (ContactPointTaken, InvalidContactPoint, InvalidAttributes, NoLunarDate)
"""What may be wrong with a customer whom the schema lets pass."""

OWN = allow(*READERS, Role.CUSTOMER, own="customer_id")


@router.post(
    "/v1/customers",
    status_code=201,
    response_model=CustomerOut,
    dependencies=[allow(*STAFF)],
    responses=documented(*UNFIT),
)
async def create_customer(
    request: Request, desks: CurrentDesks, caller: CurrentCaller, body: CustomerIn
) -> Response:
    """Make somebody known."""
    return await desks.answer(_make_known, request, (body, caller), hands=2)


async def _make_known(
    session: AsyncSession, handed: Sequence[Handed[tuple[CustomerIn, Caller]]], clock: Clock
) -> Sequence[Response | Problem]:
    newcomers = [customers.Newcomer(each.item[0], author=each.author) for each in handed]
    outcomes = await customers.create_many(session, newcomers, clock=clock)
    return [
        outcome if isinstance(outcome, Problem) else document(outcome, each.item[1], status=201)
        for outcome, each in zip(outcomes, handed, strict=True)
    ]


@router.get(
    "/v1/customers",
    response_model=Page[CustomerOut],
    dependencies=[allow(*READERS)],
    responses=documented(InvalidCursor, PersonalDataHidden),
)
async def list_customers(
    session: Session,
    caller: CurrentCaller,
    page: Paging,
    attribute: AttributeFilters,
    tag: Annotated[str | None, Query(max_length=64)] = None,
    phone: Annotated[str | None, Query(max_length=50, description="with country code")] = None,
    email: Annotated[str | None, Query(max_length=254)] = None,
    social: Annotated[str | None, Query(max_length=254)] = None,
    gender: Gender | None = None,
    region: Annotated[Region | None, Query(description="ISO 3166-1")] = None,
    source: Annotated[Source | None, Query(description="the system that first told of them")] = None,
    channel: Annotated[Channel | None, Query(description="by which they first came to be known")] = None,
    manager: Annotated[str | None, Query(max_length=200, description="who looks after them")] = None,
) -> Listing[CustomerOut]:
    """List customers, the newest first; all filters that are given must hold.

    Filters by contact points are for callers with the scope pii:read.
    """
    if (phone, email, social) != (None, None, None):
        check_sees_personal_data(caller)
    filters = CustomerFilters(
        tag=tag,
        phone=phone,
        email=email,
        social=social,
        gender=gender,
        region=region,
        source=source,
        channel=channel,
        manager=manager,
        attribute=attribute,
    )
    found = await customers.list_(session, filters, page=page)
    shown = found.map(CustomerOut.model_validate)
    if not caller.sees_personal_data:
        for point in (point for customer in shown.items for point in customer.contact_points):
            point.value = contact_points.mask(point.kind, point.value)
    return shown


@router.get("/v1/customers/totals", response_model=CustomerTotalsOut, dependencies=[allow(*READERS)])
async def count_customers(session: Session) -> CustomerTotalsOut:
    """Count the customers on file."""
    return CustomerTotalsOut(count=await customers.count(session))


@router.post("/v1/customers/batch", response_model=CustomerBatchOut, dependencies=[allow(*STAFF)])
async def upsert_customers(
    request: Request,
    session: Session,
    clock: CurrentClock,
    settings: CurrentSettings,
    body: CustomerBatchIn,
) -> CustomerBatchOut:
    """Create or change up to a thousand customers by what another system calls them.

    Each item is taken or refused for itself: a faulty one leaves no trace and does not disturb others.
    Members that are absent stay as they are; an item that changes nothing makes no new version. Sending a
    batch again is safe. Who was erased and has not come back themselves is refused.
    """
    good, bad = validated(CustomerItem, body.items)
    question = suppression.Question.of(good, key=settings.suppression_key)
    bad |= await suppression.refuse(session, question)
    good = {index: item for index, item in good.items() if index not in bad}
    outcomes = await customers.upsert(session, list(good.values()), clock=clock)
    by_index = bad | dict(zip(good, outcomes, strict=True))
    verdicts = [
        CustomerVerdict.model_validate(failed(request, index, outcome))
        if isinstance(outcome, Problem)
        else CustomerVerdict(index=index, status=outcome.status, customer_id=outcome.customer_id)
        for index, outcome in sorted(by_index.items())
    ]
    return CustomerBatchOut(items=verdicts, counts=counted(verdict.status for verdict in verdicts))


@router.put(
    "/v1/customers/by-external-id/{source}/{external_id}",
    response_model=CustomerOut,
    dependencies=[allow(*STAFF)],
    responses={
        201: {"model": CustomerOut, "description": "The customer was not known before"},
        **documented(StaleVersion, *UNFIT),
    },
)
async def upsert_customer(
    session: Session,
    clock: CurrentClock,
    caller: CurrentCaller,
    source: Annotated[Source, Path()],
    external_id: Annotated[Reference, Path()],
    body: CustomerPut,
    if_match: IfMatch = None,
) -> Response:
    """Create or change a customer by what another system calls them.

    Members that are absent stay as they are. Repeating it changes nothing and makes no new version.
    """
    item = CustomerItem(source=source, external_id=external_id, **body.model_dump(exclude_unset=True))
    [outcome] = await customers.upsert(session, [item], clock=clock)
    if isinstance(outcome, Problem):
        raise outcome
    etags.check(if_match, outcome.before)
    status = 201 if outcome.status is Status.CREATED else 200
    return document(await documents.get_customer(session, outcome.customer_id), caller, status=status)


@router.get(
    "/v1/customers/{customer_id}",
    response_model=CustomerOut,
    dependencies=[OWN],
    responses=documented(CustomerNotFound),
)
async def get_customer(
    together: ReadTogether,
    sessions: CurrentSessions,
    caller: CurrentCaller,
    customer_id: UUID,
    as_of: Annotated[
        Instant | None, Query(description="recorded time: read the customer as they were on file then")
    ] = None,
) -> Response:
    """Read a customer, now or as they were; an absorbed id gives the survivor, as `merged_from` says.

    As they were is not for customers themselves: it may be as two people who were taken for one.
    """
    if as_of is None:
        found = await together.find(documents.find_customers, customer_id)
        return document(documents.known(found, customer_id), caller)
    if not caller.has(READERS):
        raise RoleMissing(f"as_of is for {', '.join(READERS)}.")
    async with sessions() as session:
        return document(await history.get_as_of(session, customer_id, as_of), caller)


@router.patch(
    "/v1/customers/{customer_id}",
    response_model=CustomerOut,
    dependencies=[allow(*STAFF)],
    responses=documented(CustomerNotFound, StaleVersion, *UNFIT),
)
async def change_customer(
    session: Session,
    clock: CurrentClock,
    caller: CurrentCaller,
    customer_id: UUID,
    body: CustomerPatch,
    if_match: IfMatch = None,
) -> Response:
    """Change a customer (RFC 7396): null clears, absent leaves, lists are replaced as a whole."""
    await customers.patch(session, customer_id, body, if_match=if_match, clock=clock)
    return document(await documents.get_customer(session, customer_id), caller)


@router.get(
    "/v1/customers/{customer_id}/summary/profiles",
    response_model=ProfileSummaryOut,
    dependencies=[OWN],
    responses=documented(CustomerNotFound),
)
async def summarize_profile(together: ReadTogether, caller: CurrentCaller, customer_id: UUID) -> Response:
    """Read a customer at a glance: who they are, what they bought, what happened last."""
    found = documents.known(await together.find(documents.find_summaries, customer_id), customer_id)
    return document(found if caller.has(STAFF) else found.without_staff_words(), caller)
