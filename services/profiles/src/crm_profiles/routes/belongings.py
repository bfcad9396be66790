"""Contact points, external ids and tags of a customer over HTTP, one by one."""

from typing import Annotated
from uuid import UUID

from fastapi import Depends, Path, Query, Response
from sqlalchemy.ext.asyncio import AsyncSession

from crm_profiles.customers import belongings, documents
from crm_profiles.customers.belongings import Occasion
from crm_profiles.customers.drafts import Status
from crm_profiles.customers.external_ids import ExternalKey
from crm_profiles.customers.writing import Written
from crm_profiles.errors import (
    ContactPointTaken,
    ExternalIdTaken,
    InvalidContactPoint,
    LimitReached,
    PersonalDataHidden,
)
from crm_profiles.fields import Reference, Source, Tag
from crm_profiles.models.customers import Channel, ContactKind
from crm_profiles.routes.answers import check_sees_personal_data, document
from crm_profiles.routes.parameters import ContactValue
from crm_profiles.schemas.customers import ContactPointIn, CustomerOut
from crm_shared.callers import STAFF, Caller
from crm_shared.customers import CustomerNotFound
from crm_shared.etags import StaleVersion
from crm_shared.web.problems import documented
from crm_shared.web.router import Router
from crm_shared.web.session import CurrentCaller, CurrentClock, IfMatch, Session, allow

router = Router(tags=["customers"])


async def _occasion(
    clock: CurrentClock,
    channel: Annotated[Channel, Query(description="how this came to be known")] = Channel.API,
    if_match: IfMatch = None,
) -> Occasion:
    return Occasion(clock, channel, if_match)


Now = Annotated[Occasion, Depends(_occasion)]


async def _answer(
    session: AsyncSession, caller: Caller, written: Written, *, added: bool = False
) -> Response:
    """The customer as they are now; 201 when something was added that was not there."""
    status = 201 if added and written.status is Status.UPDATED else 200
    return document(await documents.get_customer(session, written.customer_id), caller, status=status)


@router.post(
    "/v1/customers/{customer_id}/contact-points",
    status_code=201,
    response_model=CustomerOut,
    dependencies=[allow(*STAFF)],
    responses={
        200: {"model": CustomerOut, "description": "The customer had it already"},
        **documented(CustomerNotFound, StaleVersion, InvalidContactPoint, ContactPointTaken, LimitReached),
    },
)
async def add_contact_point(
    session: Session, caller: CurrentCaller, now: Now, customer_id: UUID, body: ContactPointIn
) -> Response:
    """Give a customer one more way to be reached, which must be nobody else's."""
    written = await belongings.add_contact_point(session, customer_id, body, now)
    return await _answer(session, caller, written, added=True)


@router.delete(
    "/v1/customers/{customer_id}/contact-points/{kind}/{value}",
    response_model=CustomerOut,
    dependencies=[allow(*STAFF)],
    responses=documented(CustomerNotFound, StaleVersion, InvalidContactPoint, PersonalDataHidden),
)
async def remove_contact_point(
    session: Session,
    caller: CurrentCaller,
    now: Now,
    customer_id: UUID,
    kind: ContactKind,
    value: ContactValue,
) -> Response:
    """Take a way to be reached from a customer; one that is not theirs changes nothing.

    Only for callers with the scope pii:read: others would learn by trying which one is theirs.
    """
    check_sees_personal_data(caller)
    written = await belongings.remove_contact_point(session, customer_id, kind, value, now)
    return await _answer(session, caller, written)


@router.put(
    "/v1/customers/{customer_id}/external-ids/{source}/{external_id}",
    response_model=CustomerOut,
    dependencies=[allow(*STAFF)],
    responses={
        201: {"model": CustomerOut, "description": "It named nobody before"},
        **documented(CustomerNotFound, StaleVersion, ExternalIdTaken, LimitReached),
    },
)
async def add_external_id(
    session: Session,
    caller: CurrentCaller,
    now: Now,
    customer_id: UUID,
    source: Annotated[Source, Path()],
    external_id: Annotated[Reference, Path()],
) -> Response:
    """Let what another system calls somebody name this customer; it must name nobody else."""
    written = await belongings.add_external_id(session, customer_id, ExternalKey(source, external_id), now)
    return await _answer(session, caller, written, added=True)


@router.delete(
    "/v1/customers/{customer_id}/external-ids/{source}/{external_id}",
    response_model=CustomerOut,
    dependencies=[allow(*STAFF)],
    responses=documented(CustomerNotFound, StaleVersion),
)
async def remove_external_id(
    session: Session,
    caller: CurrentCaller,
    now: Now,
    customer_id: UUID,
    source: Annotated[Source, Path()],
    external_id: Annotated[Reference, Path()],
) -> Response:
    """Let an external id name the customer no more; one that does not changes nothing."""
    written = await belongings.remove_external_id(session, customer_id, ExternalKey(source, external_id), now)
    return await _answer(session, caller, written)


@router.put(
    "/v1/customers/{customer_id}/tags/{tag}",
    response_model=CustomerOut,
    dependencies=[allow(*STAFF)],
    responses={
        201: {"model": CustomerOut, "description": "The customer did not have it before"},
        **documented(CustomerNotFound, StaleVersion, LimitReached),
    },
)
async def add_tag(
    session: Session, caller: CurrentCaller, now: Now, customer_id: UUID, tag: Annotated[Tag, Path()]
) -> Response:
    """Give a customer a tag."""
    written = await belongings.add_tag(session, customer_id, tag, now)
    return await _answer(session, caller, written, added=True)


@router.delete(
    "/v1/customers/{customer_id}/tags/{tag}",
    response_model=CustomerOut,
    dependencies=[allow(*STAFF)],
    responses=documented(CustomerNotFound, StaleVersion),
)
async def remove_tag(
    session: Session, caller: CurrentCaller, now: Now, customer_id: UUID, tag: Annotated[Tag, Path()]
) -> Response:
    """Take a tag from a customer; one that they do not have changes nothing."""
    return await _answer(session, caller, await belongings.remove_tag(session, customer_id, tag, now))
