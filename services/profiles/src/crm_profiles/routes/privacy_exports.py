"""Exports of a person's data over HTTP."""

from collections.abc import AsyncIterator
from datetime import timedelta
from tempfile import SpooledTemporaryFile
from typing import Any
from uuid import UUID

from anyio import to_thread
from fastapi import Response
from starlette.responses import StreamingResponse

from crm_profiles.errors import ArchiveExpired, ExportNotFound
from crm_profiles.models.privacy import AnswerState, PrivacyExport
from crm_profiles.privacy import privacy_exports
from crm_profiles.routes.settings import CurrentSettings
from crm_profiles.schemas.privacy import PrivacyExportIn, PrivacyExportOut, PrivacyExportServiceOut
from crm_profiles.settings import Settings
from crm_shared.callers import SUPERVISORS, Caller, Role
from crm_shared.clock import Clock
from crm_shared.customers import CustomerNotFound, resolve
from crm_shared.web.problems import documented
from crm_shared.web.router import Router
from crm_shared.web.session import CurrentCaller, CurrentClock, Session, allow

router = Router(tags=["privacy"])

_CHUNK = 64 * 1024
_ZIP: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "A ZIP archive",
        "content": {"application/zip": {"schema": {"type": "string", "format": "binary"}}},
    }
}
_AGAIN_AFTER = timedelta(minutes=1)


@router.post(
    "/v1/privacy/exports",
    status_code=202,
    response_model=PrivacyExportOut,
    dependencies=[allow(*SUPERVISORS, Role.CUSTOMER)],
    responses=documented(CustomerNotFound),
)
async def export_personal_data(
    session: Session,
    clock: CurrentClock,
    caller: CurrentCaller,
    settings: CurrentSettings,
    response: Response,
    body: PrivacyExportIn,
) -> PrivacyExportOut:
    """Gather everything that is held about a customer, from all services; customers may for themselves.

    The services answer within seconds, as the export shows. Asking again within a minute gives the same one.
    """
    if not await _may_see(session, caller, body.customer_id):
        raise CustomerNotFound(customer_id=str(body.customer_id))
    export_id = await privacy_exports.request(
        session,
        body.customer_id,
        by=caller.subject,
        lasts=settings.archive_lasts,
        again_after=_AGAIN_AFTER,
        at=clock.now(),
    )
    response.headers["Location"] = f"/v1/privacy/exports/{export_id}"
    return await _shown(session, await privacy_exports.get(session, export_id), settings, clock)


@router.get(
    "/v1/privacy/exports/{export_id}",
    response_model=PrivacyExportOut,
    dependencies=[allow(*SUPERVISORS, Role.CUSTOMER)],
    responses=documented(ExportNotFound),
)
async def get_privacy_export(
    session: Session, clock: CurrentClock, caller: CurrentCaller, settings: CurrentSettings, export_id: UUID
) -> PrivacyExportOut:
    """See how far an export is: which services have answered, and which are overdue."""
    return await _shown(session, await _visible(session, caller, export_id), settings, clock)


@router.get(
    "/v1/privacy/exports/{export_id}/archive",
    response_class=StreamingResponse,
    dependencies=[allow(*SUPERVISORS, Role.CUSTOMER)],
    responses=_ZIP | documented(ExportNotFound, ArchiveExpired),
)
async def get_privacy_archive(
    session: Session, clock: CurrentClock, caller: CurrentCaller, settings: CurrentSettings, export_id: UUID
) -> StreamingResponse:
    """Fetch the archive: a page to read, a file of JSON per service, a manifest with counts and hashes.

    It holds what has come so far and says what is missing; while the export is not complete, so does the
    file's name.
    """
    export = await _visible(session, caller, export_id)
    now, within = clock.now(), settings.answer_within
    file = await privacy_exports.archive(session, export, within=within, at=now)
    answers = await privacy_exports.answers(session, export, within=within, at=now)
    whole = all(answer.state is AnswerState.ANSWERED for answer in answers)
    name = f"personal-data-{export.customer_id}{'' if whole else '-incomplete'}.zip"
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return StreamingResponse(_chunks(file), media_type="application/zip", headers=headers)


async def _may_see(session: Session, caller: Caller, customer_id: UUID) -> bool:
    """Staff see anybody's, a customer the own, whichever of the merged ids it is asked by."""
    if caller.has(SUPERVISORS):
        return True
    if caller.customer_id is None:
        return False
    current = await resolve(session, [customer_id, caller.customer_id])
    return current[customer_id] == current[caller.customer_id]


async def _visible(session: Session, caller: Caller, export_id: UUID) -> PrivacyExport:
    export = await privacy_exports.get(session, export_id)
    if not await _may_see(session, caller, export.customer_id):
        raise ExportNotFound(export_id=str(export_id))
    return export


async def _shown(
    session: Session, export: PrivacyExport, settings: Settings, clock: Clock
) -> PrivacyExportOut:
    answers = await privacy_exports.answers(session, export, within=settings.answer_within, at=clock.now())
    return PrivacyExportOut(
        id=export.id,
        customer_id=export.customer_id,
        requested_at=export.requested_at,
        expires_at=export.expires_at,
        expired=export.expired,
        complete=all(answer.state is AnswerState.ANSWERED for answer in answers),
        services=[PrivacyExportServiceOut.model_validate(answer) for answer in answers],
    )


async def _chunks(file: SpooledTemporaryFile[bytes]) -> AsyncIterator[bytes]:
    with file:
        while chunk := await to_thread.run_sync(file.read, _CHUNK):
            yield chunk
