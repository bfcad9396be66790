"""The contact policy over HTTP."""

from fastapi import Response

from crm_profiles.consents import contact_policy
from crm_profiles.consents.contact_policy import InForce
from crm_profiles.models.consents import ContactPolicyVersion
from crm_profiles.schemas.consents import ContactPolicyIn, ContactPolicyOut, ContactPolicyVersionOut
from crm_shared.callers import MANAGERS, READERS
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

router = Router(tags=["consents"])


@router.get("/v1/contact-policy", response_model=ContactPolicyOut, dependencies=[allow(*READERS)])
async def get_contact_policy(session: Session, response: Response) -> ContactPolicyOut:
    """Read the rules by which the company writes to its customers."""
    return _shown(response, await contact_policy.current(session))


@router.put(
    "/v1/contact-policy",
    response_model=ContactPolicyOut,
    dependencies=[allow(*MANAGERS)],
    responses=documented(IfMatchMissing, StaleVersion),
)
async def put_contact_policy(
    session: Session,
    clock: CurrentClock,
    caller: CurrentCaller,
    response: Response,
    body: ContactPolicyIn,
    if_match: IfMatch = None,
) -> ContactPolicyOut:
    """Write the next version of the rules; the services that write to customers follow within seconds."""
    written = await contact_policy.put(
        session, body.policy(), if_match=if_match, at=clock.now(), by=caller.subject
    )
    return _shown(response, written)


@router.get(
    "/v1/contact-policy/versions",
    response_model=Page[ContactPolicyVersionOut],
    dependencies=[allow(*READERS)],
    responses=documented(InvalidCursor),
)
async def list_contact_policy_versions(session: Session, page: Paging) -> Listing[ContactPolicyVersion]:
    """List the versions that somebody has written, the newest first; before them the initial rules held."""
    return await contact_policy.list_versions(session, page=page)


def _shown(response: Response, rules: InForce) -> ContactPolicyOut:
    response.headers["ETag"] = etag(rules.version)
    return ContactPolicyOut(version=rules.version, **dict(rules.policy))
