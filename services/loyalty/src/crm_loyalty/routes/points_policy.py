"""The points policy over HTTP."""

from fastapi import Response

from crm_loyalty.ledger import points_policy
from crm_loyalty.models.points_policy import PointsPolicyVersion
from crm_loyalty.schemas.points_policy import PointsPolicyIn, PointsPolicyOut
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

router = Router(tags=["programme"])


@router.get("/v1/programme/points-policy", response_model=PointsPolicyOut, dependencies=[allow(*READERS)])
async def get_points_policy(session: Session, response: Response) -> PointsPolicyVersion:
    """Read how long points live, and what is owed."""
    policy = await points_policy.current(session)
    response.headers["ETag"] = etag(policy.version)
    return policy


@router.put(
    "/v1/programme/points-policy",
    response_model=PointsPolicyOut,
    dependencies=[allow(*MANAGERS)],
    responses=documented(IfMatchMissing, StaleVersion),
)
async def put_points_policy(
    session: Session,
    clock: CurrentClock,
    caller: CurrentCaller,
    response: Response,
    body: PointsPolicyIn,
    if_match: IfMatch = None,
) -> PointsPolicyVersion:
    """Write the policy's next version; it counts for points that are given from now on."""
    policy = await points_policy.put(session, body, if_match=if_match, at=clock.now(), by=caller.subject)
    response.headers["ETag"] = etag(policy.version)
    return policy


@router.get(
    "/v1/programme/points-policy/versions",
    response_model=Page[PointsPolicyOut],
    dependencies=[allow(*READERS)],
    responses=documented(InvalidCursor),
)
async def list_points_policy_versions(session: Session, page: Paging) -> Listing[PointsPolicyVersion]:
    """List the versions that somebody has written, the newest first; before them points never expired."""
    return await points_policy.list_versions(session, page=page)
