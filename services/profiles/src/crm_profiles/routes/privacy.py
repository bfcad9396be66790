"""Privacy over HTTP."""

from typing import Annotated
from uuid import UUID

from fastapi import Depends, Response

from crm_profiles import privacy
from crm_profiles.errors import ErasureNotFound
from crm_profiles.schemas.privacy import ErasureIn, ErasureOut
from crm_shared.callers import Role
from crm_shared.customers import CustomerNotFound
from crm_shared.settings import ServiceSettings
from crm_shared.web.problems import documented
from crm_shared.web.router import Router
from crm_shared.web.session import CurrentCaller, CurrentClock, Session, allow, get_settings

router = Router(tags=["privacy"])

Settings = Annotated[ServiceSettings, Depends(get_settings)]


@router.post(
    "/v1/privacy/erasures",
    status_code=202,
    response_model=ErasureOut,
    dependencies=[allow(Role.ADMIN)],
    responses=documented(CustomerNotFound),
)
async def erase_customer(
    session: Session,
    clock: CurrentClock,
    caller: CurrentCaller,
    settings: Settings,
    response: Response,
    body: ErasureIn,
) -> ErasureOut:
    """Forget a customer everywhere.

    Here it is done when the answer comes; the other services follow and confirm, as the receipt shows. Asking
    again gives the same erasure.
    """
    erasure_id = await privacy.erase(session, body.customer_id, by=caller.subject, at=clock.now())
    response.headers["Location"] = f"/v1/privacy/erasures/{erasure_id}"
    return await _receipt(session, settings, erasure_id)


@router.get(
    "/v1/privacy/erasures/{erasure_id}",
    response_model=ErasureOut,
    dependencies=[allow(Role.ADMIN)],
    responses=documented(ErasureNotFound),
)
async def get_erasure(session: Session, settings: Settings, erasure_id: UUID) -> ErasureOut:
    """Read the receipt of an erasure: what each service removed, and what it kept and why."""
    return await _receipt(session, settings, erasure_id)


async def _receipt(session: Session, settings: ServiceSettings, erasure_id: UUID) -> ErasureOut:
    erasure = await privacy.get(session, erasure_id)
    return ErasureOut.of(erasure, privacy.SERVICES, settings.topics_clear_after)
