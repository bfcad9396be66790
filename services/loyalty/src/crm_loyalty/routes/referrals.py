"""Referrals over HTTP: what they are worth, codes, claims, and what became of them."""

from typing import Annotated
from uuid import UUID

from fastapi import Query, Response

from crm_loyalty.errors import (
    AccountNotFound,
    AlreadyReferred,
    InvalidReferralCode,
    LimitReached,
    NotANewCustomer,
    ReferralCircle,
    ReferralCodeNotFound,
    ReferralNotFound,
    ReferralsClosed,
    SelfReferral,
)
from crm_loyalty.models.referrals import Referral, ReferralCode, ReferralPolicy, ReferralState
from crm_loyalty.referrals import own_codes, policy, referrals
from crm_loyalty.routes.settings import CurrentSettings
from crm_loyalty.schemas.referrals import (
    ReferralCodeOut,
    ReferralIn,
    ReferralOut,
    ReferralPolicyIn,
    ReferralPolicyOut,
)
from crm_loyalty.settings import Settings
from crm_shared.callers import MANAGERS, READERS, STAFF, Role
from crm_shared.customers import CustomerNotFound, CustomerWasErased
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

router = Router(tags=["referrals"])


@router.get("/v1/programme/referral-policy", response_model=ReferralPolicyOut, dependencies=[allow(*READERS)])
async def get_referral_policy(session: Session, response: Response) -> ReferralPolicy:
    """Read what bringing a friend is worth."""
    found = await policy.current(session)
    response.headers["ETag"] = etag(found.version)
    return found


@router.put(
    "/v1/programme/referral-policy",
    response_model=ReferralPolicyOut,
    dependencies=[allow(*MANAGERS)],
    responses=documented(IfMatchMissing, StaleVersion),
)
async def put_referral_policy(
    session: Session,
    clock: CurrentClock,
    caller: CurrentCaller,
    response: Response,
    body: ReferralPolicyIn,
    if_match: IfMatch = None,
) -> ReferralPolicy:
    """Write the policy's next version; it counts for codes that are claimed from now on."""
    written = await policy.put(session, body, if_match=if_match, at=clock.now(), by=caller.subject)
    response.headers["ETag"] = etag(written.version)
    return written


@router.get(
    "/v1/accounts/{customer_id}/referral-code",
    response_model=ReferralCodeOut,
    dependencies=[allow(*STAFF, Role.CUSTOMER, own="customer_id")],
    responses=documented(CustomerNotFound, ReferralCodeNotFound),
)
async def get_referral_code(
    session: Session, settings: CurrentSettings, customer_id: UUID
) -> ReferralCodeOut:
    """Read the code by which a customer brings friends."""
    return _code(await own_codes.get(session, customer_id), settings)


@router.put(
    "/v1/accounts/{customer_id}/referral-code",
    response_model=ReferralCodeOut,
    dependencies=[allow(*STAFF, Role.CUSTOMER, own="customer_id")],
    responses=documented(AccountNotFound, CustomerNotFound, CustomerWasErased),
)
async def make_referral_code(
    session: Session, clock: CurrentClock, settings: CurrentSettings, customer_id: UUID
) -> ReferralCodeOut:
    """Make the code by which a customer brings friends; who has one already keeps it."""
    code = await own_codes.make(session, customer_id, key=settings.referral_key, at=clock.now())
    return _code(code, settings)


@router.post(
    "/v1/referrals",
    status_code=201,
    response_model=ReferralOut,
    dependencies=[allow(*STAFF), requires_key],
    responses=documented(
        AccountNotFound,
        AlreadyReferred,
        CustomerWasErased,
        InvalidReferralCode,
        LimitReached,
        NotANewCustomer,
        ReferralCircle,
        ReferralCodeNotFound,
        ReferralsClosed,
        SelfReferral,
    ),
)
async def claim_referral(session: Session, clock: CurrentClock, body: ReferralIn) -> Referral:
    """Note by whose code a new customer came; both get points once an order qualifies it.

    Once per customer, before the first order. The first order counts that comes to the policy's minimum
    within its days.
    """
    return await referrals.claim(session, body, at=clock.now())


@router.get(
    "/v1/referrals",
    response_model=Page[ReferralOut],
    dependencies=[allow(*READERS)],
    responses=documented(InvalidCursor),
)
async def list_referrals(
    session: Session,
    page: Paging,
    referrer_id: Annotated[UUID | None, Query(description="only those by this customer's code")] = None,
    state: Annotated[ReferralState | None, Query(description="only those in this state")] = None,
) -> Listing[Referral]:
    """List who came by codes, the newest first."""
    return await referrals.list_(session, referrer_id=referrer_id, state=state, page=page)


@router.get(
    "/v1/referrals/{referral_id}",
    response_model=ReferralOut,
    dependencies=[allow(*READERS)],
    responses=documented(ReferralNotFound),
)
async def get_referral(session: Session, response: Response, referral_id: UUID) -> Referral:
    """Read what became of a referral."""
    found = await referrals.get(session, referral_id)
    response.headers["ETag"] = etag(found.version)
    return found


def _code(code: ReferralCode, settings: Settings) -> ReferralCodeOut:
    return ReferralCodeOut(
        customer_id=code.customer_id, code=own_codes.shown(code, settings.referral_key), made_at=code.made_at
    )
