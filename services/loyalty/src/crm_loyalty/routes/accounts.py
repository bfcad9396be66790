"""Accounts over HTTP: what a customer has, what came and went, spending and putting right."""

from typing import Annotated
from uuid import UUID

from fastapi import Depends, Query, Request, Response

from crm_loyalty.errors import AccountNotFound, InsufficientPoints, ReferenceReused
from crm_loyalty.ledger import accounts, ledger
from crm_loyalty.models.ledger import Lot
from crm_loyalty.postings import Adjust, Spend
from crm_loyalty.schemas.accounts import AccountOut, AdjustIn, EntryOut, LotOut, MovementOut, SpendIn
from crm_shared.callers import MANAGERS, READERS, STAFF, Role
from crm_shared.customers import CustomerNotFound, CustomerWasErased
from crm_shared.etags import etag
from crm_shared.fields import Instant
from crm_shared.idempotency import IdempotencyKeyMissing
from crm_shared.pages import DEFAULT_LIMIT, InvalidCursor, Listing, Page
from crm_shared.web.context import Context
from crm_shared.web.idempotency import requires_key
from crm_shared.web.problems import documented
from crm_shared.web.router import Router
from crm_shared.web.session import (
    CurrentClock,
    CurrentCursors,
    Cursor,
    Limit,
    Session,
    allow,
)

router = Router(tags=["accounts"])


async def reference(request: Request) -> tuple[str, str]:
    """Who asks and what they call it: what the ledger never does twice."""
    claim = Context.of(request.scope).claim
    if claim is None:
        raise IdempotencyKeyMissing
    return claim.principal, f"{claim.method} {claim.route} {claim.key}"


Reference = Annotated[tuple[str, str], Depends(reference)]


@router.get(
    "/v1/accounts/{customer_id}",
    response_model=AccountOut,
    dependencies=[allow(*READERS, Role.CUSTOMER, own="customer_id")],
    responses=documented(AccountNotFound, CustomerNotFound),
)
async def get_account(
    session: Session,
    response: Response,
    customer_id: UUID,
    as_of: Annotated[
        Instant | None, Query(description="what was recorded at this instant; default now")
    ] = None,
) -> accounts.Standing:
    """Read what a customer has, now or as of an instant."""
    if as_of is not None:
        return await accounts.get_as_of(session, customer_id, as_of)
    standing = await accounts.get(session, customer_id)
    if standing.version is not None:
        response.headers["ETag"] = etag(standing.version)
    return standing


@router.get(
    "/v1/accounts/{customer_id}/entries",
    response_model=Page[EntryOut],
    dependencies=[allow(*READERS, Role.CUSTOMER, own="customer_id")],
    responses=documented(AccountNotFound, CustomerNotFound, InvalidCursor),
)
async def list_entries(
    session: Session,
    cursors: CurrentCursors,
    customer_id: UUID,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> Listing[EntryOut]:
    """List what came and went, newest first, with the rules and reasons."""
    found = await accounts.list_entries(session, customer_id, cursors=cursors, cursor=cursor, limit=limit)
    return found.map(EntryOut.of)


@router.get(
    "/v1/accounts/{customer_id}/lots",
    response_model=Page[LotOut],
    dependencies=[allow(*READERS, Role.CUSTOMER, own="customer_id")],
    responses=documented(AccountNotFound, CustomerNotFound, InvalidCursor),
)
async def list_lots(
    session: Session,
    cursors: CurrentCursors,
    customer_id: UUID,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> Listing[Lot]:
    """List the lots that have something left, newest first."""
    return await accounts.list_lots(session, customer_id, cursors=cursors, cursor=cursor, limit=limit)


@router.post(
    "/v1/accounts/{customer_id}/spend",
    status_code=201,
    response_model=MovementOut,
    dependencies=[allow(*STAFF, Role.CUSTOMER, own="customer_id"), requires_key],
    responses=documented(
        AccountNotFound, CustomerNotFound, InsufficientPoints, ReferenceReused, CustomerWasErased
    ),
)
async def spend_points(
    session: Session, clock: CurrentClock, reference: Reference, customer_id: UUID, body: SpendIn
) -> MovementOut:
    """Spend points that are not held: what expires first goes first."""
    at = clock.now()
    posting = Spend(
        customer_id=customer_id,
        source=reference[0],
        reference=reference[1],
        effective_at=at,
        points=body.points,
        reason=body.reason,
    )
    [verdict] = await ledger.post(session, [posting], at=at)
    return MovementOut.of(customer_id, verdict.accepted())


@router.post(
    "/v1/accounts/{customer_id}/adjust",
    status_code=201,
    response_model=MovementOut,
    dependencies=[allow(*MANAGERS), requires_key],
    responses=documented(AccountNotFound, InsufficientPoints, ReferenceReused, CustomerWasErased),
)
async def adjust_points(
    session: Session, clock: CurrentClock, reference: Reference, customer_id: UUID, body: AdjustIn
) -> MovementOut:
    """Put points right by hand: give some, or take some with a negative number."""
    at = clock.now()
    posting = Adjust(
        customer_id=customer_id,
        source=reference[0],
        reference=reference[1],
        effective_at=at,
        points=body.points,
        reason=body.reason,
    )
    [verdict] = await ledger.post(session, [posting], at=at)
    return MovementOut.of(customer_id, verdict.accepted())
