"""Operations on API keys: for administrators only."""

from datetime import timedelta
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Header, Query, Response

from crm_gateway import api_keys
from crm_gateway.api_keys import Issued
from crm_gateway.errors import ApiKeyAlreadyIssued, ApiKeyNotFound, ApiKeyRevoked, ExpiryInThePast
from crm_gateway.models import ApiKey
from crm_gateway.schemas import ApiKeyIn, ApiKeyOut, IssuedApiKeyOut, Owner, RotationIn
from crm_shared.callers import Role
from crm_shared.pages import InvalidCursor, Listing, Page
from crm_shared.web.problems import documented
from crm_shared.web.routing import Route
from crm_shared.web.session import (
    CurrentCaller,
    CurrentClock,
    Paging,
    Session,
    allow,
)

# Not routes that keep their replies: a reply with a secret in it must not lie in the database.
router = APIRouter(
    prefix="/v1/api-keys",
    tags=["api keys"],
    route_class=Route,
    redirect_slashes=False,
    dependencies=[allow(Role.ADMIN)],
)

IdempotencyKey = Annotated[
    str | None,
    Header(
        min_length=1,
        max_length=255,
        pattern="^[ -~]+$",
        description="A repeated request issues no second key; it is refused, for the secret is shown once",
    ),
]


@router.post(
    "",
    status_code=201,
    response_model=IssuedApiKeyOut,
    responses=documented(ApiKeyAlreadyIssued, ExpiryInThePast),
)
async def issue_api_key(
    session: Session,
    caller: CurrentCaller,
    clock: CurrentClock,
    response: Response,
    body: ApiKeyIn,
    idempotency_key: IdempotencyKey = None,
) -> IssuedApiKeyOut:
    """Issue a key and show its secret, this once."""
    issued = await api_keys.issue(
        session, body, by=caller.subject, at=clock.now(), idempotency_key=idempotency_key
    )
    return _shown(issued, response)


@router.get("", response_model=Page[ApiKeyOut], responses=documented(InvalidCursor))
async def list_api_keys(
    session: Session,
    page: Paging,
    owner: Annotated[Owner | None, Query()] = None,
) -> Listing[ApiKey]:
    """List keys, the oldest first."""
    return await api_keys.list_(session, page=page, owner=owner)


@router.get("/{api_key_id}", response_model=ApiKeyOut, responses=documented(ApiKeyNotFound))
async def get_api_key(session: Session, api_key_id: UUID) -> ApiKey:
    """Look at a key."""
    return await api_keys.get(session, api_key_id)


@router.post(
    "/{api_key_id}/rotate",
    status_code=201,
    response_model=IssuedApiKeyOut,
    responses=documented(ApiKeyNotFound, ApiKeyRevoked, ApiKeyAlreadyIssued),
)
async def rotate_api_key(
    session: Session,
    caller: CurrentCaller,
    clock: CurrentClock,
    response: Response,
    api_key_id: UUID,
    body: RotationIn,
    idempotency_key: IdempotencyKey = None,
) -> IssuedApiKeyOut:
    """Issue a successor; the old key stays good for the time of grace."""
    issued = await api_keys.rotate(
        session,
        api_key_id,
        grace=timedelta(seconds=body.grace_seconds),
        by=caller.subject,
        at=clock.now(),
        idempotency_key=idempotency_key,
    )
    return _shown(issued, response)


@router.delete("/{api_key_id}", response_model=ApiKeyOut, responses=documented(ApiKeyNotFound))
async def revoke_api_key(session: Session, clock: CurrentClock, api_key_id: UUID) -> ApiKey:
    """Revoke a key; no gateway accepts it half a minute later."""
    return await api_keys.revoke(session, api_key_id, at=clock.now())


def _shown(issued: Issued, response: Response) -> IssuedApiKeyOut:
    response.headers["Location"] = f"/v1/api-keys/{issued.row.id}"
    out = ApiKeyOut.model_validate(issued.row)
    return IssuedApiKeyOut(**out.model_dump(), key=issued.key)
