"""Accounts over HTTP: what a customer has, what came and went, spending and putting right."""

from typing import Annotated
from uuid import UUID

from fastapi import Depends, Query, Request, Response

from crm_loyalty.errors import (
    AccountNotFound,
    ApprovalRequired,
    CompensationWasGranted,
    InsufficientPoints,
    NothingToReverse,
    OrderNotYours,
    ReferenceReused,
    RewardWasOrdered,
    TransactionNotFound,
)
from crm_loyalty.ledger import accounts, adjustments, expirations, ledger
from crm_loyalty.ledger.accounts import Then
from crm_loyalty.ledger.expirations import Expiration
from crm_loyalty.postings import Adjust, Order, ReverseWish, Spend
from crm_loyalty.recovery import recoveries
from crm_loyalty.rewards import orders
from crm_loyalty.routes import desk
from crm_loyalty.schemas.accounts import (
    AccountOut,
    AdjustIn,
    EntryOut,
    ExpirationOut,
    LotOut,
    MovementOut,
    OrderIn,
    ReverseIn,
    SpendIn,
)
from crm_shared.callers import MANAGERS, READERS, STAFF, Caller, Role
from crm_shared.customers import CustomerNotFound, CustomerWasErased
from crm_shared.etags import etag
from crm_shared.fields import Instant
from crm_shared.idempotency import IdempotencyKeyMissing
from crm_shared.pages import InvalidCursor, Listing, Page
from crm_shared.web.context import Context
from crm_shared.web.idempotency import requires_key
from crm_shared.web.problems import documented
from crm_shared.web.router import Router
from crm_shared.web.session import (
    CurrentCaller,
    CurrentClock,
    CurrentDesks,
    Paging,
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
AsOf = Annotated[
    Instant | None, Query(description="what was recorded by this instant, whenever it applied; default: all")
]
EffectiveAt = Annotated[
    Instant | None,
    Query(description="what had applied by this instant, whenever it was recorded; default: all"),
]


def order(caller: Caller, body: OrderIn | None) -> Order | None:
    """The order that points pay; raises OrderNotYours, for whoever could name any could get points back."""
    if body is None:
        return None
    if not caller.has(frozenset(STAFF)):
        raise OrderNotYours
    return body.order()


@router.get(
    "/v1/accounts/{customer_id}",
    response_model=AccountOut,
    dependencies=[allow(*READERS, Role.CUSTOMER, own="customer_id")],
    responses=documented(AccountNotFound, CustomerNotFound),
)
async def get_account(
    session: Session,
    clock: CurrentClock,
    response: Response,
    customer_id: UUID,
    as_of: AsOf = None,
    effective_at: EffectiveAt = None,
) -> accounts.Standing:
    """Read what a customer has: now, as it was on record at an instant, or as it truly was then.

    A purchase of Monday that was told of on Wednesday is missing `as_of` Tuesday and there `effective_at`
    Tuesday; both together say what was then known of it. Accounts are those that are the customer's today.
    """
    then = Then(as_of, effective_at)
    if not then.is_now:
        return await accounts.get_then(session, customer_id, then)
    standing = await accounts.get_shared(session, customer_id, at=clock.now())
    # What a pool has changes with the movements of others.
    if standing.version is not None and standing.pool is None:
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
    page: Paging,
    customer_id: UUID,
    as_of: AsOf = None,
    effective_at: EffectiveAt = None,
) -> Listing[EntryOut]:
    """List what came and went, newest first, with the rules and reasons."""
    found = await accounts.list_entries(session, customer_id, Then(as_of, effective_at), page=page)
    return found.map(EntryOut.of)


@router.get(
    "/v1/accounts/{customer_id}/lots",
    response_model=Page[LotOut],
    dependencies=[allow(*READERS, Role.CUSTOMER, own="customer_id")],
    responses=documented(AccountNotFound, CustomerNotFound, InvalidCursor),
)
async def list_lots(
    session: Session,
    page: Paging,
    customer_id: UUID,
    as_of: AsOf = None,
    effective_at: EffectiveAt = None,
) -> Listing[LotOut]:
    """List the lots that have something left, and debts, newest first."""
    return await accounts.list_lots(session, customer_id, Then(as_of, effective_at), page=page)


@router.get(
    "/v1/accounts/{customer_id}/expirations",
    response_model=Page[ExpirationOut],
    dependencies=[allow(*READERS, Role.CUSTOMER, own="customer_id")],
    responses=documented(AccountNotFound, CustomerNotFound, InvalidCursor),
)
async def list_expirations(
    session: Session,
    clock: CurrentClock,
    page: Paging,
    customer_id: UUID,
) -> Listing[Expiration]:
    """List every coming instant at which points expire, the next first, with the policies that say so."""
    return await expirations.list_(session, customer_id, at=clock.now(), page=page)


@router.post(
    "/v1/accounts/{customer_id}/spend",
    status_code=201,
    response_model=MovementOut,
    dependencies=[allow(*STAFF, Role.CUSTOMER, own="customer_id"), requires_key],
    responses=documented(
        AccountNotFound,
        CustomerNotFound,
        InsufficientPoints,
        ReferenceReused,
        CustomerWasErased,
        OrderNotYours,
    ),
)
async def spend_points(
    request: Request,
    desks: CurrentDesks,
    clock: CurrentClock,
    caller: CurrentCaller,
    reference: Reference,
    customer_id: UUID,
    body: SpendIn,
) -> Response:
    """Spend points that are not held, the own ones and those of the pool: what expires first goes first."""
    posting = Spend(
        customer_id=customer_id,
        source=reference[0],
        reference=reference[1],
        effective_at=clock.now(),
        points=body.points,
        reason=body.reason,
        order=order(caller, body.order),
    )
    return await desk.answer(desks, request, posting)


@router.post(
    "/v1/accounts/{customer_id}/adjust",
    status_code=201,
    response_model=MovementOut,
    dependencies=[allow(*MANAGERS), requires_key],
    responses=documented(
        AccountNotFound, InsufficientPoints, ReferenceReused, CustomerWasErased, ApprovalRequired
    ),
)
async def adjust_points(
    session: Session,
    clock: CurrentClock,
    caller: CurrentCaller,
    reference: Reference,
    customer_id: UUID,
    body: AdjustIn,
) -> MovementOut:
    """Put points right by hand: give some, or take some with a negative number.

    Of more than the points policy lets one person move, ask at `/v1/adjustments`.
    """
    at = clock.now()
    await adjustments.check(session, body.points, caller)
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


@router.post(
    "/v1/transactions/{transaction_id}/reversal",
    status_code=201,
    response_model=MovementOut,
    dependencies=[allow(*MANAGERS), requires_key],
    responses=documented(
        TransactionNotFound,
        NothingToReverse,
        ReferenceReused,
        CustomerWasErased,
        RewardWasOrdered,
        CompensationWasGranted,
    ),
)
async def reverse_transaction(
    session: Session, clock: CurrentClock, reference: Reference, transaction_id: UUID, body: ReverseIn
) -> MovementOut:
    """Undo what is left of a mistaken movement: points earned, adjusted, spent or captured.

    Given points are taken back; those that were spent already are owed, as the points policy says. Spent
    points go back to the lots that they came from, with the expiry those have. What a reward was ordered
    with comes back by cancelling the order, and a compensation is taken back by reversing the recovery.
    """
    at = clock.now()
    customer_id = await accounts.addressed(session, transaction_id)
    await orders.check_reversal(session, transaction_id)
    await recoveries.check_reversal(session, transaction_id)
    posting = ReverseWish(
        customer_id=customer_id,
        source=reference[0],
        reference=f"{reference[1]} {transaction_id}",
        effective_at=at,
        transaction_id=transaction_id,
        reason=body.reason,
    )
    [verdict] = await ledger.post(session, [posting], at=at)
    return MovementOut.of(customer_id, verdict.accepted())
