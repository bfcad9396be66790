"""Imports over HTTP."""

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from typing import Annotated
from uuid import UUID

from fastapi import Header, Query, Response
from fastapi.responses import StreamingResponse

from crm_profiles import files
from crm_profiles.errors import (
    EmptyFile,
    FileGone,
    ImportBusy,
    ImportDone,
    ImportNotFound,
    ImportNotReady,
    InvalidMapping,
    NothingToRevert,
    PersonalDataHidden,
)
from crm_profiles.fields import Source
from crm_profiles.imports import imports
from crm_profiles.imports.imports import Standing
from crm_profiles.models.files import Encoding
from crm_profiles.models.imports import Import, ImportRow, RowStatus
from crm_profiles.routes.answers import check_sees_personal_data
from crm_profiles.routes.files import CSV, MAX_UPLOAD, TRANSFER_SECONDS, XLSX, Received, download
from crm_profiles.routes.settings import CurrentSettings
from crm_profiles.schemas.imports import ImportOut, ImportRowOut, LayoutOut, MappingIn, RowFault, StartIn
from crm_shared.callers import MANAGERS, Caller
from crm_shared.database import Sessions
from crm_shared.jobs import JobEnded, JobOut, JobState
from crm_shared.pages import InvalidCursor, Listing, Page
from crm_shared.web.limits import allowance
from crm_shared.web.media import gives, takes
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

router = Router(tags=["imports"])

_LOOK_EVERY = 0.5
_WATCHED = 590.0
"""A little less than the deadline: who is still watching then connects again."""


@router.post(
    "/v1/imports",
    status_code=202,
    response_model=ImportOut,
    dependencies=[
        allow(*MANAGERS),
        allowance(body=MAX_UPLOAD, deadline=TRANSFER_SECONDS),
        takes(CSV, "text/plain", "text/tab-separated-values", XLSX, "application/octet-stream"),
    ],
    responses=documented(EmptyFile),
)
async def create_import(
    file_id: Received,
    session: Session,
    clock: CurrentClock,
    caller: CurrentCaller,
    settings: CurrentSettings,
    response: Response,
    source: Annotated[Source, Query(description="the system whose external ids the file holds")],
    encoding: Annotated[Encoding | None, Query(description="absent: it is found out")] = None,
    delimiter: Annotated[
        str | None, Query(pattern=r"^[^\"\r\n\x00]$", max_length=1, description="absent: it is found out")
    ] = None,
    sheet: Annotated[
        str | None, Query(min_length=1, max_length=100, description="of a workbook; absent: the first")
    ] = None,
    start: Annotated[bool, Query(description="go on at once if the headings leave no doubt")] = False,
    dry_run: Annotated[
        bool, Query(description="with `start`: only say what would become of each row")
    ] = False,
) -> ImportOut:
    """Upload a file of customers: a text with columns (CSV) or a workbook (XLSX).

    It is inspected next: `layout` then says how it is read, `mapping` what its columns seem to mean. Correct
    the mapping if need be, try it with a dry run, and start it. The file is deleted some days later, or as
    soon as somebody in it is erased.
    """
    made = await imports.create(
        session,
        file_id,
        source=source,
        encoding=encoding,
        delimiter=delimiter,
        sheet=sheet,
        start={"dry_run": dry_run} if start else None,
        until=clock.now() + settings.files_kept,
        at=clock.now(),
    )
    response.headers["Location"] = f"/v1/imports/{made.id}"
    return await _shown(session, made, caller)


@router.get(
    "/v1/imports",
    response_model=Page[ImportOut],
    dependencies=[allow(*MANAGERS)],
    responses=documented(InvalidCursor),
)
async def list_imports(
    session: Session,
    caller: CurrentCaller,
    page: Paging,
) -> Listing[ImportOut]:
    """List imports, the newest first."""
    found = await imports.list_(session, page=page)
    standing = await imports.standings(session, [each.id for each in found.items])
    return found.map(lambda each: _out(each, standing[each.id], caller))


@router.get(
    "/v1/imports/{import_id}",
    response_model=ImportOut,
    dependencies=[allow(*MANAGERS)],
    responses=documented(ImportNotFound),
)
async def get_import(session: Session, caller: CurrentCaller, import_id: UUID) -> ImportOut:
    """Read how far an import is, how its file is read and what its columns mean."""
    return await _shown(session, await imports.get(session, import_id), caller)


@router.put(
    "/v1/imports/{import_id}/mapping",
    response_model=ImportOut,
    dependencies=[allow(*MANAGERS)],
    responses=documented(ImportNotFound, ImportBusy, ImportNotReady, ImportDone, InvalidMapping),
)
async def map_import(session: Session, caller: CurrentCaller, import_id: UUID, body: MappingIn) -> ImportOut:
    """Say what the columns mean; columns that are not named are ignored.

    A row needs `external_id`, or `id` to change a customer who is on file, and a name. Empty cells leave a
    member as it is; contact points replace those of their kind.
    """
    return await _shown(session, await imports.map_columns(session, import_id, body), caller)


@router.post(
    "/v1/imports/{import_id}/start",
    status_code=202,
    response_model=ImportOut,
    dependencies=[allow(*MANAGERS)],
    responses=documented(ImportNotFound, ImportBusy, ImportNotReady, ImportDone, FileGone),
)
async def start_import(
    session: Session, clock: CurrentClock, caller: CurrentCaller, import_id: UUID, body: StartIn
) -> ImportOut:
    """Go through the rows, or only try them; an import that was stopped goes on where it was."""
    started = await imports.start(session, import_id, dry_run=body.dry_run, at=clock.now())
    await session.flush()
    return await _shown(session, started, caller)


@router.post(
    "/v1/imports/{import_id}/cancel",
    response_model=ImportOut,
    dependencies=[allow(*MANAGERS)],
    responses=documented(ImportNotFound, JobEnded),
)
async def cancel_import(
    session: Session, clock: CurrentClock, caller: CurrentCaller, import_id: UUID
) -> ImportOut:
    """Stop what is under way; rows that are done stay done, and can be reverted."""
    return await _shown(session, await imports.cancel(session, import_id, at=clock.now()), caller)


@router.post(
    "/v1/imports/{import_id}/revert",
    status_code=202,
    response_model=ImportOut,
    dependencies=[allow(*MANAGERS)],
    responses=documented(ImportNotFound, ImportBusy, NothingToRevert),
)
async def revert_import(
    session: Session, clock: CurrentClock, caller: CurrentCaller, import_id: UUID
) -> ImportOut:
    """Take an import back.

    Customers whom it created are removed if nothing has happened with them since. Others get back what it
    changed, member by member, where nobody has changed it again. Each row says what became of it. It can be
    done as long as the verdicts on the rows are kept.
    """
    reverted = await imports.revert(session, import_id, at=clock.now())
    await session.flush()
    return await _shown(session, reverted, caller)


@router.get(
    "/v1/imports/{import_id}/rows",
    response_model=Page[ImportRowOut],
    dependencies=[allow(*MANAGERS)],
    responses=documented(ImportNotFound, InvalidCursor),
)
async def list_import_rows(
    session: Session,
    caller: CurrentCaller,
    page: Paging,
    import_id: UUID,
    status: RowStatus | None = None,
) -> Listing[ImportRowOut]:
    """List the verdicts on the rows, in the order of the file.

    They are kept as long as the file would be; then only the counts are left.
    """
    found = await imports.get(session, import_id)
    rows = await imports.list_rows(session, found, status, page=page)
    return rows.map(partial(_row, caller=caller))


@router.get(
    "/v1/imports/{import_id}/rows.csv",
    response_class=StreamingResponse,
    dependencies=[allow(*MANAGERS), allowance(deadline=TRANSFER_SECONDS), gives(CSV)],
    responses=documented(ImportNotFound, FileGone, PersonalDataHidden),
)
async def download_failed_rows(
    session: Session, sessions: CurrentSessions, caller: CurrentCaller, import_id: UUID
) -> StreamingResponse:
    """Fetch the rows that failed, as they were, with line and reasons: mend and import them again.

    For callers with the scope pii:read.
    """
    check_sees_personal_data(caller)
    found = await imports.get(session, import_id)
    return download(sessions, await files.get(session, found.failures_id))


@router.get(
    "/v1/imports/{import_id}/events",
    response_class=StreamingResponse,
    dependencies=[allow(*MANAGERS), allowance(deadline=TRANSFER_SECONDS), gives("text/event-stream")],
    responses=documented(ImportNotFound),
)
async def watch_import(
    session: Session,
    sessions: CurrentSessions,
    import_id: UUID,
    last_event_id: Annotated[
        str | None, Header(max_length=200, description="taken, not needed: each event is the whole state")
    ] = None,
) -> StreamingResponse:
    """Watch what was started last (server-sent events): `progress` at each change, `end` at the end."""
    await imports.get(session, import_id)
    return StreamingResponse(
        _events(sessions, import_id), media_type="text/event-stream", headers={"X-Accel-Buffering": "no"}
    )


async def _events(sessions: Sessions, import_id: UUID) -> AsyncIterator[bytes]:
    """One event per change of the job; a comment now and then tells those between that somebody is there."""
    loop = asyncio.get_running_loop()
    end = loop.time() + _WATCHED
    told = b""
    yield b"retry: 2000\n\n"
    while loop.time() < end:
        async with sessions() as session:
            job = JobOut.of(await imports.job_of(session, await imports.get(session, import_id)))
        data = job.model_dump_json(exclude={"heartbeat_at"}).encode()
        number = job.progress.done
        if job.state not in (JobState.QUEUED, JobState.RUNNING):
            yield b"id: %d\nevent: end\ndata: %b\n\n" % (number, data)
            return
        yield b"id: %d\nevent: progress\ndata: %b\n\n" % (number, data) if data != told else b":\n\n"
        told = data
        await asyncio.sleep(_LOOK_EVERY)


async def _shown(session: Session, found: Import, caller: Caller) -> ImportOut:
    standing = await imports.standings(session, [found.id])
    return _out(found, standing[found.id], caller)


def _out(found: Import, standing: Standing, caller: Caller) -> ImportOut:
    return ImportOut(
        id=found.id,
        name=found.name,
        source=found.source,
        state=imports.state_of(found, standing.job),
        size=found.size,
        sha256=found.sha256,
        file_expires_at=standing.file_expires_at,
        layout=_layout(found, caller) if found.layout is not None else None,
        mapping=MappingIn.model_validate(found.mapping) if found.mapping is not None else None,
        dry_run=found.dry_run,
        job=JobOut.of(standing.job),
        created_at=found.created_at,
        created_by=found.created_by,
    )


def _layout(found: Import, caller: Caller) -> LayoutOut:
    layout = imports.layout_of(found)
    return LayoutOut(
        format=layout.format,
        encoding=layout.encoding,
        encoding_because=layout.because,
        delimiter=layout.delimiter,
        sheet=layout.sheet,
        header=layout.header,
        samples=layout.samples if caller.sees_personal_data else [],
    )


def _row(row: ImportRow, caller: Caller) -> ImportRowOut:
    """Of a row that failed the customer is who has its contact point: for who may see contact points."""
    named = row.status is not RowStatus.FAILED or caller.sees_personal_data
    return ImportRowOut(
        line=row.line,
        status=row.status,
        customer_id=row.customer_id if named else None,
        version=row.version,
        faults=[RowFault.model_validate(fault) for fault in row.faults or ()],
        revert=row.revert,
    )
