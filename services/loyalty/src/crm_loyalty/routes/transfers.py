"""Transfers over HTTP: customers give points to each other."""

from uuid import UUID

from crm_loyalty.errors import (
    AccountNotFound,
    InsufficientPoints,
    ReferenceReused,
    TransferLimitReached,
    TransferToSelf,
)
from crm_loyalty.ledger import transfers
from crm_loyalty.postings import Transfer
from crm_loyalty.routes.accounts import Reference
from crm_loyalty.schemas.accounts import MovementOut
from crm_loyalty.schemas.transfers import TransferIn
from crm_shared.callers import STAFF, Role
from crm_shared.customers import CustomerNotFound, CustomerWasErased
from crm_shared.web.idempotency import requires_key
from crm_shared.web.problems import documented
from crm_shared.web.router import Router
from crm_shared.web.session import CurrentClock, Session, allow

router = Router(tags=["transfers"])


@router.post(
    "/v1/accounts/{customer_id}/transfers",
    status_code=201,
    response_model=MovementOut,
    dependencies=[allow(*STAFF, Role.CUSTOMER, own="customer_id"), requires_key],
    responses=documented(
        AccountNotFound,
        CustomerNotFound,
        InsufficientPoints,
        ReferenceReused,
        CustomerWasErased,
        TransferLimitReached,
        TransferToSelf,
    ),
)
async def transfer_points(
    session: Session, clock: CurrentClock, reference: Reference, customer_id: UUID, body: TransferIn
) -> MovementOut:
    """Give points to another customer: what expires first goes first, and keeps its age and its expiry.

    What is held or pending stays where it is. The points policy says how many may go in a day
    (`transfer_max`). A manager can undo it at `/v1/transactions/{transaction_id}/reversal`, as far as the
    recipient still has the points.
    """
    at = clock.now()
    posting = Transfer(
        customer_id=customer_id,
        source=reference[0],
        reference=f"{reference[1]} {customer_id} to {body.to}",
        effective_at=at,
        to=body.to,
        points=body.points,
        reason=body.reason,
    )
    return MovementOut.of(customer_id, await transfers.transfer(session, posting, at=at))
