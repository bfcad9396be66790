"""Interactions over HTTP."""

from uuid import UUID

from fastapi import Request, Response

from crm_profiles.activity import interactions
from crm_profiles.activity.recording import Status
from crm_profiles.customers import documents
from crm_profiles.errors import InteractionDiffers, InteractionNotFound
from crm_profiles.routes.answers import counted, failed, validated
from crm_profiles.schemas.interactions import (
    InteractionBatchIn,
    InteractionBatchOut,
    InteractionIn,
    InteractionOut,
    InteractionPatch,
    InteractionVerdict,
)
from crm_shared.callers import STAFF
from crm_shared.customers import CustomerNotFound
from crm_shared.etags import StaleVersion, etag
from crm_shared.pages import InvalidCursor, Listing, Page
from crm_shared.problems import Problem
from crm_shared.web.problems import documented
from crm_shared.web.router import Router
from crm_shared.web.session import (
    CurrentClock,
    IfMatch,
    Paging,
    Session,
    allow,
)

router = Router(tags=["interactions"])


@router.post(
    "/v1/interactions",
    status_code=201,
    response_model=InteractionOut,
    dependencies=[allow(*STAFF)],
    responses={
        200: {"model": InteractionOut, "description": "It was on file already"},
        **documented(CustomerNotFound, InteractionDiffers),
    },
)
async def record_interaction(
    session: Session, clock: CurrentClock, response: Response, body: InteractionIn
) -> InteractionOut:
    """Put a call, an e-mail, a visit or the like on file.

    With `source` and `external_id`, telling of it again changes nothing.
    """
    [outcome] = await interactions.record(session, [body], at=clock.now())
    if isinstance(outcome, Problem):
        raise outcome
    interaction = await interactions.get(session, outcome.id)
    response.headers["ETag"] = etag(interaction.version)
    response.headers["Location"] = f"/v1/interactions/{interaction.id}"
    response.status_code = 201 if outcome.status is Status.CREATED else 200
    return InteractionOut.of(interaction)


@router.post("/v1/interactions/batch", response_model=InteractionBatchOut, dependencies=[allow(*STAFF)])
async def record_interactions(
    request: Request, session: Session, clock: CurrentClock, body: InteractionBatchIn
) -> InteractionBatchOut:
    """Put up to a thousand interactions on file.

    Each item is taken or refused for itself. Sending a batch again is safe for items with `external_id`.
    """
    good, bad = validated(InteractionIn, body.items)
    outcomes = await interactions.record(session, list(good.values()), at=clock.now())
    by_index = bad | dict(zip(good, outcomes, strict=True))
    verdicts = [
        InteractionVerdict.model_validate(failed(request, index, outcome))
        if isinstance(outcome, Problem)
        else InteractionVerdict(index=index, status=outcome.status, interaction_id=outcome.id)
        for index, outcome in sorted(by_index.items())
    ]
    return InteractionBatchOut(items=verdicts, counts=counted(verdict.status for verdict in verdicts))


@router.get(
    "/v1/interactions/{interaction_id}",
    response_model=InteractionOut,
    dependencies=[allow(*STAFF)],
    responses=documented(InteractionNotFound),
)
async def get_interaction(session: Session, response: Response, interaction_id: UUID) -> InteractionOut:
    """Read an interaction."""
    interaction = await interactions.get(session, interaction_id)
    response.headers["ETag"] = etag(interaction.version)
    return InteractionOut.of(interaction)


@router.patch(
    "/v1/interactions/{interaction_id}",
    response_model=InteractionOut,
    dependencies=[allow(*STAFF)],
    responses=documented(InteractionNotFound, StaleVersion),
)
async def change_interaction(
    session: Session,
    clock: CurrentClock,
    response: Response,
    interaction_id: UUID,
    body: InteractionPatch,
    if_match: IfMatch = None,
) -> InteractionOut:
    """Write the summary better (RFC 7396); what happened stays as it was told."""
    interaction = await interactions.patch(session, interaction_id, body, if_match=if_match, at=clock.now())
    response.headers["ETag"] = etag(interaction.version)
    return InteractionOut.of(interaction)


@router.get(
    "/v1/customers/{customer_id}/interactions",
    response_model=Page[InteractionOut],
    dependencies=[allow(*STAFF)],
    responses=documented(CustomerNotFound, InvalidCursor),
)
async def list_interactions(
    session: Session,
    page: Paging,
    customer_id: UUID,
) -> Listing[InteractionOut]:
    """List when a customer and the company spoke with each other, the newest first."""
    current = await documents.current_id(session, customer_id)
    found = await interactions.list_(session, current, page=page)
    return found.map(InteractionOut.of)
