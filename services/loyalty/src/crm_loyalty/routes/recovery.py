"""Service recovery over HTTP: what complaints are worth, and compensations as somebody decides on them."""

from typing import Annotated
from uuid import UUID

from fastapi import Query, Response

from crm_loyalty.errors import (
    AboveYourLimit,
    AccountNotFound,
    NothingToReverse,
    OwnRequest,
    RecoveryBudgetSpent,
    RecoveryNotFound,
    RecoveryStateConflict,
)
from crm_loyalty.models.recovery import Recovery, RecoveryPolicy, RecoveryState
from crm_loyalty.recovery import policy, recoveries
from crm_loyalty.schemas.recovery import (
    RecoveryDecisionIn,
    RecoveryOut,
    RecoveryPolicyIn,
    RecoveryPolicyOut,
)
from crm_shared.callers import MANAGERS, STAFF, SUPERVISORS
from crm_shared.customers import CustomerWasErased
from crm_shared.etags import IfMatchMissing, StaleVersion, etag
from crm_shared.pages import InvalidCursor, Listing, Page
from crm_shared.web.idempotency import requires_key
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

router = Router(tags=["service recovery"])


@router.get("/v1/programme/recovery-policy", response_model=RecoveryPolicyOut, dependencies=[allow(*STAFF)])
async def get_recovery_policy(session: Session, response: Response) -> RecoveryPolicy:
    """Read what an upheld complaint is worth."""
    found = await policy.current(session)
    response.headers["ETag"] = etag(found.version)
    return found


@router.put(
    "/v1/programme/recovery-policy",
    response_model=RecoveryPolicyOut,
    dependencies=[allow(*MANAGERS)],
    responses=documented(IfMatchMissing, StaleVersion),
)
async def put_recovery_policy(
    session: Session,
    clock: CurrentClock,
    caller: CurrentCaller,
    response: Response,
    body: RecoveryPolicyIn,
    if_match: IfMatch = None,
) -> RecoveryPolicy:
    """Write the policy's next version: amounts count for new complaints, limits at once."""
    written = await policy.put(session, body, if_match=if_match, at=clock.now(), by=caller.subject)
    response.headers["ETag"] = etag(written.version)
    return written


@router.get(
    "/v1/recoveries",
    response_model=Page[RecoveryOut],
    dependencies=[allow(*STAFF)],
    responses=documented(InvalidCursor),
)
async def list_recoveries(
    session: Session,
    page: Paging,
    customer_id: Annotated[UUID | None, Query(description="only this customer's")] = None,
    state: Annotated[RecoveryState | None, Query(description="only those in this state")] = None,
) -> Listing[Recovery]:
    """List compensations, the newest first; each upheld complaint has one at most."""
    return await recoveries.list_(session, customer_id=customer_id, state=state, page=page)


@router.get(
    "/v1/recoveries/{recovery_id}",
    response_model=RecoveryOut,
    dependencies=[allow(*STAFF)],
    responses=documented(RecoveryNotFound),
)
async def get_recovery(session: Session, response: Response, recovery_id: UUID) -> Recovery:
    """Read a compensation, and who let it happen."""
    found = await recoveries.get(session, recovery_id)
    response.headers["ETag"] = etag(found.version)
    return found


@router.post(
    "/v1/recoveries/{recovery_id}/approve",
    response_model=RecoveryOut,
    dependencies=[allow(*SUPERVISORS), requires_key],
    responses=documented(
        RecoveryNotFound,
        RecoveryStateConflict,
        OwnRequest,
        AboveYourLimit,
        RecoveryBudgetSpent,
        AccountNotFound,
        CustomerWasErased,
    ),
)
async def approve_recovery(
    session: Session,
    clock: CurrentClock,
    caller: CurrentCaller,
    recovery_id: UUID,
    body: RecoveryDecisionIn,
) -> Recovery:
    """Give the points, within the month's budget; never by who upheld the complaint."""
    return await recoveries.approve(session, recovery_id, body.note, caller, at=clock.now())


@router.post(
    "/v1/recoveries/{recovery_id}/decline",
    response_model=RecoveryOut,
    dependencies=[allow(*SUPERVISORS), requires_key],
    responses=documented(RecoveryNotFound, RecoveryStateConflict),
)
async def decline_recovery(
    session: Session,
    clock: CurrentClock,
    caller: CurrentCaller,
    recovery_id: UUID,
    body: RecoveryDecisionIn,
) -> Recovery:
    """Give nothing."""
    return await recoveries.decline(session, recovery_id, body.note, caller, at=clock.now())


@router.post(
    "/v1/recoveries/{recovery_id}/reverse",
    response_model=RecoveryOut,
    dependencies=[allow(*MANAGERS), requires_key],
    responses=documented(RecoveryNotFound, RecoveryStateConflict, NothingToReverse, CustomerWasErased),
)
async def reverse_recovery(
    session: Session,
    clock: CurrentClock,
    caller: CurrentCaller,
    recovery_id: UUID,
    body: RecoveryDecisionIn,
) -> Recovery:
    """Take the points back, also where they were spent; the month's budget has them again."""
    return await recoveries.reverse(session, recovery_id, body.note, caller, at=clock.now())
