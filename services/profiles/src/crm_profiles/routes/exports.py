"""Exports over HTTP."""

from uuid import UUID

from fastapi import Response
from fastapi.responses import StreamingResponse

from crm_profiles.errors import ExportNotFound, ExportNotReady, FileGone, PersonalDataHidden
from crm_profiles.exports import exports
from crm_profiles.exports.exports import Standing
from crm_profiles.models.exports import Export
from crm_profiles.routes.answers import check_sees_personal_data
from crm_profiles.routes.files import CSV, TRANSFER_SECONDS, XLSX, download
from crm_profiles.routes.settings import CurrentSettings
from crm_profiles.schemas.exports import ExportIn, ExportOut
from crm_shared.callers import MANAGERS
from crm_shared.jobs import JobOut, JobState
from crm_shared.pages import InvalidCursor, Listing, Page
from crm_shared.web.limits import allowance
from crm_shared.web.media import gives
from crm_shared.web.problems import documented
from crm_shared.web.router import Router
from crm_shared.web.session import (
    CurrentCaller,
    CurrentClock,
    CurrentSessions,
    Paging,
    Session,
    allow,
)

router = Router(tags=["exports"])


@router.post(
    "/v1/exports",
    status_code=202,
    response_model=ExportOut,
    dependencies=[allow(*MANAGERS)],
    responses=documented(PersonalDataHidden),
)
async def create_export(
    session: Session,
    clock: CurrentClock,
    caller: CurrentCaller,
    settings: CurrentSettings,
    response: Response,
    body: ExportIn,
) -> ExportOut:
    """Have a file of customers made, to be opened in a spreadsheet and imported again.

    A cell of a CSV that a spreadsheet would take for a formula (it begins with `=`, `+`, `-`, `@`, a tab or a
    carriage return) has an apostrophe before it, which an import takes away; in a workbook all cells are
    text. Without the scope pii:read contact points are masked and no filter. The file is deleted some days
    later, or as soon as anybody is erased.
    """
    if (body.filters.phone, body.filters.email, body.filters.social) != (None, None, None):
        check_sees_personal_data(caller)
    made = await exports.create(
        session,
        body,
        masked=not caller.sees_personal_data,
        until=clock.now() + settings.files_kept,
        at=clock.now(),
    )
    response.headers["Location"] = f"/v1/exports/{made.id}"
    return await _shown(session, made)


@router.get(
    "/v1/exports",
    response_model=Page[ExportOut],
    dependencies=[allow(*MANAGERS)],
    responses=documented(InvalidCursor),
)
async def list_exports(session: Session, page: Paging) -> Listing[ExportOut]:
    """List exports, the newest first."""
    found = await exports.list_(session, page=page)
    standing = await exports.standings(session, [each.id for each in found.items])
    return found.map(lambda each: _out(each, standing[each.id]))


@router.get(
    "/v1/exports/{customer_export_id}",
    response_model=ExportOut,
    dependencies=[allow(*MANAGERS)],
    responses=documented(ExportNotFound),
)
async def get_export(session: Session, customer_export_id: UUID) -> ExportOut:
    """Read how far an export is."""
    return await _shown(session, await exports.get(session, customer_export_id))


@router.get(
    "/v1/exports/{customer_export_id}/file",
    response_class=StreamingResponse,
    dependencies=[allow(*MANAGERS), allowance(deadline=TRANSFER_SECONDS), gives(CSV, XLSX)],
    responses=documented(ExportNotFound, ExportNotReady, FileGone),
)
async def download_export(
    session: Session, sessions: CurrentSessions, caller: CurrentCaller, customer_export_id: UUID
) -> StreamingResponse:
    """Fetch the file; one with unmasked contact points only with the scope pii:read."""
    found = await exports.get(session, customer_export_id)
    if not found.masked and not caller.sees_personal_data:
        raise ExportNotFound(export_id=str(customer_export_id))
    return download(sessions, await exports.file_of(session, found))


async def _shown(session: Session, found: Export) -> ExportOut:
    standing = await exports.standings(session, [found.id])
    return _out(found, standing[found.id])


def _out(found: Export, standing: Standing) -> ExportOut:
    file = standing.file if standing.job.state is JobState.SUCCEEDED else None
    return ExportOut(
        id=found.id,
        format=found.asked["format"],
        masked=found.masked,
        size=file.size if file else None,
        file_expires_at=file.expires_at if file else None,
        job=JobOut.of(standing.job),
        created_at=found.created_at,
        created_by=found.created_by,
    )
