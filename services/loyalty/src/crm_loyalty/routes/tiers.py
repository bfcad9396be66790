"""Tiers over HTTP: the ladder, where customers stand, and what another ladder would change."""

from typing import Annotated
from uuid import UUID

from fastapi import Query, Response

from crm_loyalty.errors import AccountNotFound, GrantInThePast, TierLadderNotFound, TierNotFound
from crm_loyalty.models.tiers import TierChange, TierLadder
from crm_loyalty.routes.earning_rules import IfNoneMatch
from crm_loyalty.schemas.tiers import (
    CustomerTierOut,
    TierChangeOut,
    TierGrantIn,
    TierLadderIn,
    TierLadderOut,
    TierLadderVersionOut,
    TierPreviewOut,
)
from crm_loyalty.tiers import ladders, tiers
from crm_shared.callers import MANAGERS, READERS, Role
from crm_shared.customers import CustomerNotFound, CustomerWasErased
from crm_shared.etags import IfMatchMissing, StaleVersion, etag
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

router = Router(tags=["tiers"])

Version = Annotated[int | None, Query(ge=1, le=2**31, description="an earlier one; by default the newest")]


@router.get(
    "/v1/tiers",
    response_model=TierLadderOut,
    dependencies=[allow(*READERS)],
    responses=documented(TierLadderNotFound),
)
async def get_tier_ladder(session: Session, response: Response, version: Version = None) -> TierLadderOut:
    """Read the ladder: the tiers, the lowest first, and how they are reached and lost."""
    row = await ladders.get(session, version=version)
    response.headers["ETag"] = etag(row.version)
    return ladders.out(row)


@router.put(
    "/v1/tiers",
    response_model=TierLadderOut,
    dependencies=[allow(*MANAGERS)],
    responses=documented(IfMatchMissing, StaleVersion),
)
async def put_tier_ladder(
    session: Session,
    clock: CurrentClock,
    caller: CurrentCaller,
    response: Response,
    body: TierLadderIn,
    if_match: IfMatch = None,
    if_none_match: IfNoneMatch = None,
) -> TierLadderOut:
    """Write the ladder's next version; everybody is looked at by it soon after.

    Who reaches a higher tier has it at once; who has one keeps it until the end of its period and the grace.
    Send If-Match with the version you replace, or `If-None-Match: *` for the first one.
    """
    row = await ladders.put(
        session,
        body,
        if_match=if_match,
        if_none_match=if_none_match,
        at=clock.now(),
        by=caller.subject,
    )
    response.headers["ETag"] = etag(row.version)
    return ladders.out(row)


@router.get(
    "/v1/tiers/versions",
    response_model=Page[TierLadderVersionOut],
    dependencies=[allow(*READERS)],
    responses=documented(InvalidCursor),
)
async def list_tier_ladder_versions(session: Session, page: Paging) -> Listing[TierLadder]:
    """List every version of the ladder, the newest first; each is read with `?version=`."""
    return await ladders.list_versions(session, page=page)


@router.post("/v1/tiers/preview", response_model=TierPreviewOut, dependencies=[allow(*MANAGERS)])
async def preview_tier_ladder(session: Session, clock: CurrentClock, body: TierLadderIn) -> TierPreviewOut:
    """Show who would move if this were the ladder, over all customers; nothing is written."""
    return await tiers.preview(session, body, at=clock.now())


@router.get(
    "/v1/accounts/{customer_id}/tier",
    response_model=CustomerTierOut,
    dependencies=[allow(*READERS, Role.CUSTOMER, own="customer_id")],
    responses=documented(AccountNotFound, CustomerNotFound, TierLadderNotFound),
)
async def get_customer_tier(session: Session, clock: CurrentClock, customer_id: UUID) -> CustomerTierOut:
    """Read where a customer stands and why, what is missing for the next tier, and what may be lost."""
    return await tiers.explain(session, customer_id, at=clock.now())


@router.get(
    "/v1/accounts/{customer_id}/tier/changes",
    response_model=Page[TierChangeOut],
    dependencies=[allow(*READERS, Role.CUSTOMER, own="customer_id")],
    responses=documented(AccountNotFound, CustomerNotFound, InvalidCursor),
)
async def list_customer_tier_changes(
    session: Session,
    page: Paging,
    customer_id: UUID,
) -> Listing[TierChange]:
    """List how a customer's tier changed, the newest first."""
    return await tiers.list_changes(session, customer_id, page=page)


@router.put(
    "/v1/accounts/{customer_id}/tier/grant",
    response_model=CustomerTierOut,
    dependencies=[allow(*MANAGERS)],
    responses=documented(
        AccountNotFound, TierLadderNotFound, TierNotFound, GrantInThePast, CustomerWasErased
    ),
)
async def grant_customer_tier(
    session: Session, clock: CurrentClock, caller: CurrentCaller, customer_id: UUID, body: TierGrantIn
) -> CustomerTierOut:
    """Give a customer a tier by hand until an instant, in place of what was given before.

    It counts where it is higher than what was reached; a tier without a threshold is had in no other way.
    """
    return await tiers.grant(session, customer_id, body, at=clock.now(), by=caller.subject)


@router.delete(
    "/v1/accounts/{customer_id}/tier/grant",
    response_model=CustomerTierOut,
    dependencies=[allow(*MANAGERS)],
    responses=documented(AccountNotFound, TierLadderNotFound, CustomerWasErased),
)
async def end_customer_tier_grant(
    session: Session, clock: CurrentClock, customer_id: UUID
) -> CustomerTierOut:
    """End what was given by hand: what was reached counts again, at once."""
    return await tiers.take_back(session, customer_id, at=clock.now())
