"""Erasures over HTTP, and the list of who must not come back."""

from typing import Annotated
from uuid import UUID

from fastapi import Query, Response

from crm_profiles.customers import contact_points
from crm_profiles.errors import ErasureNotFound, InvalidContactPoint
from crm_profiles.models.privacy import Erasure
from crm_profiles.privacy import privacy, suppression
from crm_profiles.privacy.privacy import ErasureState
from crm_profiles.routes.settings import CurrentSettings
from crm_profiles.schemas.privacy import (
    ErasureIn,
    ErasureOut,
    SuppressionLiftIn,
    SuppressionOut,
    SuppressionsIn,
    SuppressionsOut,
)
from crm_profiles.settings import Settings
from crm_shared.callers import MANAGERS, Role
from crm_shared.clock import Clock
from crm_shared.customers import CustomerNotFound
from crm_shared.pages import InvalidCursor, Listing, Page
from crm_shared.web.problems import documented
from crm_shared.web.router import Router
from crm_shared.web.session import (
    CurrentCaller,
    CurrentClock,
    Paging,
    Session,
    allow,
)

router = Router(tags=["privacy"])


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
    settings: CurrentSettings,
    response: Response,
    body: ErasureIn,
) -> ErasureOut:
    """Forget a customer everywhere.

    Here it is done when the answer comes; the other services follow and confirm, as the receipt shows. Asking
    again gives the same erasure.
    """
    key = settings.suppression_key if body.suppress else None
    erasure_id = await privacy.erase(
        session,
        body.customer_id,
        by=caller.subject,
        suppress_with=key,
        segment=settings.topic_segment,
        at=clock.now(),
    )
    response.headers["Location"] = f"/v1/privacy/erasures/{erasure_id}"
    return _receipt(await privacy.get(session, erasure_id), settings, clock)


@router.get(
    "/v1/privacy/erasures",
    response_model=Page[ErasureOut],
    dependencies=[allow(Role.ADMIN)],
    responses=documented(InvalidCursor),
)
async def list_erasures(
    session: Session,
    clock: CurrentClock,
    settings: CurrentSettings,
    page: Paging,
    state: Annotated[ErasureState | None, Query(description="those that are overdue are open, too")] = None,
) -> Listing[ErasureOut]:
    """List erasures, the newest first: all of them, or those that are open, overdue or complete.

    One is overdue when some service has not confirmed it within the time that PRIVACY_ANSWER_MINUTES sets.
    """
    found = await privacy.list_(
        session,
        state,
        overdue_since=clock.now() - settings.answer_within,
        page=page,
    )
    return found.map(lambda erasure: _receipt(erasure, settings, clock))


@router.get(
    "/v1/privacy/erasures/{erasure_id}",
    response_model=ErasureOut,
    dependencies=[allow(Role.ADMIN)],
    responses=documented(ErasureNotFound),
)
async def get_erasure(
    session: Session, clock: CurrentClock, settings: CurrentSettings, erasure_id: UUID
) -> ErasureOut:
    """Read the receipt of an erasure: what each service removed, and what it kept and why."""
    return _receipt(await privacy.get(session, erasure_id), settings, clock)


@router.post(
    "/v1/privacy/suppressions/check",
    response_model=SuppressionsOut,
    dependencies=[allow(*MANAGERS)],
    responses=documented(InvalidContactPoint),
)
async def check_suppressions(
    session: Session, settings: CurrentSettings, body: SuppressionsIn
) -> SuppressionsOut:
    """Ask whether contact points or external ids belonged to somebody who was erased.

    Imports and batches are refused what is suppressed and nobody's; who is on file again came back of their
    own will.
    """
    return await _look_up(session, _digests(body, settings))


@router.post(
    "/v1/privacy/suppressions/lift",
    response_model=SuppressionsOut,
    dependencies=[allow(*MANAGERS)],
    responses=documented(InvalidContactPoint),
)
async def lift_suppressions(
    session: Session,
    clock: CurrentClock,
    caller: CurrentCaller,
    settings: CurrentSettings,
    body: SuppressionLiftIn,
) -> SuppressionsOut:
    """Let imports and batches bring somebody back; lifting what is not suppressed changes nothing."""
    digests = _digests(body, settings)
    await suppression.lift(
        session, set(digests.values()), by=caller.subject, reason=body.reason, at=clock.now()
    )
    return await _look_up(session, digests)


def _receipt(erasure: Erasure, settings: Settings, clock: Clock) -> ErasureOut:
    return ErasureOut.of(
        erasure,
        privacy.SERVICES,
        retention=settings.topics_clear_after,
        within=settings.answer_within,
        at=clock.now(),
    )


def _digests(body: SuppressionsIn, settings: Settings) -> dict[str, bytes]:
    """Under which digest each thing asked for would be on the list, by its pointer."""
    key = settings.suppression_key
    contact_points.normalise_all(body.contact_points, body.region)
    points = {
        f"/contact_points/{index}": contact_points.normalise(point.kind, point.value, body.region)
        for index, point in enumerate(body.contact_points)
    }
    names = {
        f"/external_ids/{index}": (name.source, name.external_id)
        for index, name in enumerate(body.external_ids)
    }
    return {pointer: suppression.point_digest(point, key) for pointer, point in points.items()} | {
        pointer: suppression.external_digest(name, key) for pointer, name in names.items()
    }


async def _look_up(session: Session, digests: dict[str, bytes]) -> SuppressionsOut:
    found = await suppression.find(session, list(digests.values()))
    items = []
    for pointer, digest in digests.items():
        entry = found.get(digest)
        if entry is None:
            items.append(SuppressionOut(pointer=pointer, suppressed=False))
            continue
        items.append(
            SuppressionOut(
                pointer=pointer,
                suppressed=entry.lifted_at is None,
                erasure_id=entry.erasure_id,
                suppressed_at=entry.suppressed_at,
                lifted_at=entry.lifted_at,
                lifted_by=entry.lifted_by,
                lift_reason=entry.lift_reason,
            )
        )
    return SuppressionsOut(items=items)
