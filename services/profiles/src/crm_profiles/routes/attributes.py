"""Declarations of custom attributes over HTTP."""

from typing import Annotated

from fastapi import Path, Response

from crm_profiles.customers import attributes
from crm_profiles.errors import AttributeInUse, AttributeNotFound, TooManyAttributes
from crm_profiles.models.attributes import CustomerAttribute
from crm_profiles.schemas.attributes import AttributeKey, CustomerAttributeIn, CustomerAttributeOut
from crm_shared.callers import MANAGERS, READERS
from crm_shared.etags import IfMatchMissing, StaleVersion, etag
from crm_shared.pages import InvalidCursor, Listing, Page
from crm_shared.web.problems import documented
from crm_shared.web.router import Router
from crm_shared.web.session import (
    CurrentClock,
    IfMatch,
    Paging,
    Session,
    allow,
)

router = Router(tags=["customer attributes"])

KeyPath = Annotated[AttributeKey, Path(description="by which customers have it", examples=["shirt_size"])]


@router.get(
    "/v1/customer-attributes",
    response_model=Page[CustomerAttributeOut],
    dependencies=[allow(*READERS)],
    responses=documented(InvalidCursor),
)
async def list_customer_attributes(session: Session, page: Paging) -> Listing[CustomerAttribute]:
    """List the custom attributes that customers can have, by key."""
    return await attributes.list_(session, page=page)


@router.get(
    "/v1/customer-attributes/{attribute_key}",
    response_model=CustomerAttributeOut,
    dependencies=[allow(*READERS)],
    responses=documented(AttributeNotFound),
)
async def get_customer_attribute(
    session: Session, response: Response, attribute_key: KeyPath
) -> CustomerAttribute:
    """Read how a custom attribute is declared."""
    found = await attributes.get(session, attribute_key)
    response.headers["ETag"] = etag(found.version)
    return found


@router.put(
    "/v1/customer-attributes/{attribute_key}",
    response_model=CustomerAttributeOut,
    dependencies=[allow(*MANAGERS)],
    responses={
        201: {"model": CustomerAttributeOut, "description": "The attribute was not declared before"},
        **documented(AttributeInUse, TooManyAttributes, StaleVersion, IfMatchMissing),
    },
)
async def put_customer_attribute(
    session: Session,
    clock: CurrentClock,
    response: Response,
    attribute_key: KeyPath,
    body: CustomerAttributeIn,
    if_match: IfMatch = None,
) -> CustomerAttribute:
    """Declare a custom attribute, or declare it otherwise, for which If-Match says what is replaced.

    Refused while customers have values that would not fit any more: those of another type, or choices that
    are no longer there.
    """
    found, new = await attributes.put(session, attribute_key, body, if_match=if_match, clock=clock)
    response.headers["ETag"] = etag(found.version)
    response.status_code = 201 if new else 200
    return found


@router.delete(
    "/v1/customer-attributes/{attribute_key}",
    response_model=CustomerAttributeOut,
    dependencies=[allow(*MANAGERS)],
    responses=documented(AttributeNotFound, AttributeInUse),
)
async def delete_customer_attribute(session: Session, attribute_key: KeyPath) -> CustomerAttribute:
    """Declare it no more, and read how it was; refused while any customer has a value of it."""
    return await attributes.remove(session, attribute_key)
