"""Purchases over HTTP."""

from uuid import UUID

from fastapi import Request, Response

from crm_profiles.activity import purchases
from crm_profiles.activity.recording import Status
from crm_profiles.customers import documents
from crm_profiles.errors import ContactPointTaken, InvalidContactPoint, PurchaseDiffers, PurchaseNotFound
from crm_profiles.routes.answers import counted, failed, validated
from crm_profiles.routes.settings import CurrentSettings
from crm_profiles.schemas.purchases import (
    PurchaseBatchIn,
    PurchaseBatchOut,
    PurchaseIn,
    PurchaseOut,
    PurchaseTotalsOut,
    PurchaseVerdict,
    PurchaseWithRefundsOut,
)
from crm_shared.callers import READERS, STAFF, Role
from crm_shared.customers import CustomerNotFound
from crm_shared.etags import etag
from crm_shared.pages import InvalidCursor, Listing, Page
from crm_shared.problems import Problem
from crm_shared.web.problems import documented
from crm_shared.web.router import Router
from crm_shared.web.session import CurrentClock, Paging, Session, allow

router = Router(tags=["purchases"])


@router.post(
    "/v1/purchases",
    status_code=201,
    response_model=PurchaseWithRefundsOut,
    dependencies=[allow(*STAFF)],
    responses={
        200: {"model": PurchaseWithRefundsOut, "description": "It was on file already"},
        **documented(CustomerNotFound, PurchaseDiffers, ContactPointTaken, InvalidContactPoint),
    },
)
async def record_purchase(
    session: Session, clock: CurrentClock, response: Response, body: PurchaseIn
) -> PurchaseWithRefundsOut:
    """Put a purchase on file; telling of it again changes nothing.

    `customer` with a `name` makes somebody known who is not yet; somebody known stays as they are.
    """
    [outcome] = await purchases.record(session, [body], clock=clock)
    if isinstance(outcome, Problem):
        raise outcome
    purchase = await purchases.get(session, outcome.id)
    response.headers["ETag"] = etag(purchase.version)
    response.headers["Location"] = f"/v1/purchases/{purchase.id}"
    response.status_code = 201 if outcome.status is Status.CREATED else 200
    return PurchaseWithRefundsOut.of(purchase)


@router.post("/v1/purchases/batch", response_model=PurchaseBatchOut, dependencies=[allow(*STAFF)])
async def record_purchases(
    request: Request,
    session: Session,
    clock: CurrentClock,
    settings: CurrentSettings,
    body: PurchaseBatchIn,
) -> PurchaseBatchOut:
    """Put up to a thousand purchases on file.

    Each item is taken or refused for itself. One that is on file already is `unchanged`; one whose external
    id stands for another content is refused, and so is one that would bring back somebody who was erased.
    Sending a batch again is safe.
    """
    good, bad = validated(PurchaseIn, body.items)
    outcomes = await purchases.record(
        session, list(good.values()), clock=clock, suppress_with=settings.suppression_key
    )
    by_index = bad | dict(zip(good, outcomes, strict=True))
    verdicts = [
        PurchaseVerdict.model_validate(failed(request, index, outcome))
        if isinstance(outcome, Problem)
        else PurchaseVerdict(index=index, status=outcome.status, purchase_id=outcome.id)
        for index, outcome in sorted(by_index.items())
    ]
    return PurchaseBatchOut(items=verdicts, counts=counted(verdict.status for verdict in verdicts))


@router.get("/v1/purchases/totals", response_model=PurchaseTotalsOut, dependencies=[allow(*READERS)])
async def total_purchases(session: Session) -> PurchaseTotalsOut:
    """Add up all purchases.

    *count*: purchases on file, those of amount zero and of erased customers included. *customers*: distinct
    customers among them. *totals*: the sum of the purchases' totals; *refunded*: the sum of all refunds;
    *net*: totals less refunded; each currency for itself.
    """
    return await purchases.totals(session)


@router.get(
    "/v1/purchases/{purchase_id}",
    response_model=PurchaseWithRefundsOut,
    dependencies=[allow(*READERS)],
    responses=documented(PurchaseNotFound),
)
async def get_purchase(session: Session, response: Response, purchase_id: UUID) -> PurchaseWithRefundsOut:
    """Read a purchase with its lines, its refunds, and how much of each line was given back."""
    purchase = await purchases.get(session, purchase_id)
    response.headers["ETag"] = etag(purchase.version)
    return PurchaseWithRefundsOut.of(purchase)


@router.get(
    "/v1/customers/{customer_id}/purchases",
    response_model=Page[PurchaseOut],
    dependencies=[allow(*READERS, Role.CUSTOMER, own="customer_id")],
    responses=documented(CustomerNotFound, InvalidCursor),
)
async def list_purchases(
    session: Session,
    page: Paging,
    customer_id: UUID,
) -> Listing[PurchaseOut]:
    """List what a customer bought, the newest first."""
    current = await documents.current_id(session, customer_id)
    found = await purchases.list_(session, current, page=page)
    return found.map(PurchaseOut.of)
