"""Imports: a file of customers is inspected, mapped, tried, imported and, if need be, taken back."""

from collections.abc import Collection
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from crm_profiles import files
from crm_profiles.customers import attributes
from crm_profiles.errors import (
    FileGone,
    ImportBusy,
    ImportDone,
    ImportNotFound,
    ImportNotReady,
    NothingToRevert,
)
from crm_profiles.imports import recording
from crm_profiles.imports.mapping import Reader
from crm_profiles.imports.sheets import Layout
from crm_profiles.models.files import Encoding, File
from crm_profiles.models.imports import Import, ImportRow, RowStatus
from crm_profiles.schemas.imports import ImportState, MappingIn
from crm_shared import due, jobs
from crm_shared.database import Json
from crm_shared.ids import uuid7
from crm_shared.jobs import Job, JobState
from crm_shared.pages import Key, Listing, PageRequest, paginate

INSPECT = "imports.inspect"
RUN = "imports.run"
REVERT = "imports.revert"
FORGET = "imports.forget"
"""The kind of due work that deletes the verdicts of a run."""
FORGET_TRIALS = "imports.forget_trials"
"""The kind of due work that deletes what a dry run remembered."""


class Standing(NamedTuple):
    """What was started last, and until when the file is kept."""

    job: Job
    file_expires_at: datetime | None


async def create(
    session: AsyncSession,
    file_id: UUID,
    *,
    source: str,
    encoding: Encoding | None,
    delimiter: str | None,
    sheet: str | None,
    start: Json | None,
    until: datetime,
    at: datetime,
) -> Import:
    """Take an uploaded file in and have it inspected.

    `start`: go on at once if the headings leave no doubt, with these parameters of a run. The file is deleted
    at `until`, and what was said of its rows.
    """
    file = await files.keep(session, file_id, until=until)
    import_id = uuid7()
    job = jobs.start(session, INSPECT, {"import_id": str(import_id), "start": start}, at=at)
    made = Import(
        id=import_id,
        name=file.name,
        source=source,
        file_id=file_id,
        size=file.size,
        sha256=file.sha256 or "",
        asked={"encoding": encoding, "delimiter": delimiter, "sheet": sheet},
        created_at=at,
        created_by=job.actor,
        job_id=job.id,
    )
    session.add(made)
    await session.flush()
    return made


async def get(session: AsyncSession, import_id: UUID, *, lock: bool = False) -> Import:
    """Raises ImportNotFound."""
    found = await session.get(Import, import_id, with_for_update=lock)
    if found is None:
        raise ImportNotFound(import_id=str(import_id))
    return found


async def list_(session: AsyncSession, *, page: PageRequest) -> Listing[Import]:
    """All imports, the newest first."""
    order = [Key(Import.id, descending=True)]
    return await paginate(session, select(Import), order, page=page)


async def standings(session: AsyncSession, ids: Collection[UUID]) -> dict[UUID, Standing]:
    """How it stands with each of these imports."""
    found = (
        select(Import.id, Job, File.expires_at)
        .join(Job, Job.id == Import.job_id)
        .outerjoin(File, File.id == Import.file_id)
        .where(Import.id.in_(ids))
    )
    return {id: Standing(job, until) for id, job, until in await session.execute(found)}


async def job_of(session: AsyncSession, found: Import, *, lock: bool = False) -> Job:
    """What was started last."""
    job = await session.get(Job, found.job_id, with_for_update=lock)
    if job is None:
        raise ImportNotFound(import_id=str(found.id))
    return job


def state_of(found: Import, job: Job) -> ImportState:
    """How far it is: what was started last and what came of that."""
    match job.kind, job.state:
        case jobs_kind, (JobState.QUEUED | JobState.RUNNING):
            if jobs_kind == INSPECT:
                return ImportState.INSPECTING
            if jobs_kind == REVERT:
                return ImportState.REVERTING
            return ImportState.TRYING if found.dry_run else ImportState.IMPORTING
        case "imports.inspect", JobState.SUCCEEDED:
            return ImportState.READY if found.mapping else ImportState.MAPPING_NEEDED
        case "imports.inspect", _:
            return ImportState.UNREADABLE
        case "imports.revert", JobState.SUCCEEDED:
            return ImportState.REVERTED
        case "imports.run", _ if found.dry_run:
            return ImportState.READY
        case "imports.run", JobState.SUCCEEDED:
            return ImportState.IMPORTED
        case _:
            return ImportState.STOPPED


async def map_columns(session: AsyncSession, import_id: UUID, mapping: MappingIn) -> Import:
    """Say what the columns mean.

    Raises ImportNotFound, ImportBusy, ImportNotReady, ImportDone, InvalidMapping.
    """
    found = await get(session, import_id, lock=True)
    state = state_of(found, await _settled_job(session, found))
    if found.layout is None:
        raise ImportNotReady
    if state not in (ImportState.READY, ImportState.MAPPING_NEEDED):
        raise ImportDone
    await reader_of(session, mapping, found)
    found.mapping = mapping.model_dump(mode="json")
    return found


async def start(session: AsyncSession, import_id: UUID, *, dry_run: bool, at: datetime) -> Import:
    """Go through the rows; what was stopped goes on where it was.

    Raises ImportNotFound, ImportBusy, ImportNotReady, ImportDone, FileGone.
    """
    found = await get(session, import_id, lock=True)
    last = await _settled_job(session, found)
    state = state_of(found, last)
    if found.file_id is None:
        raise FileGone
    if found.mapping is None or state is ImportState.UNREADABLE:
        raise ImportNotReady
    goes_on = state is ImportState.STOPPED and last.kind == RUN
    if (state is not ImportState.READY and not goes_on) or (goes_on and dry_run):
        raise ImportDone
    await begin(session, found, dry_run=dry_run, at=at, after=last if goes_on else None)
    return found


async def begin(
    session: AsyncSession, found: Import, *, dry_run: bool, at: datetime, after: Job | None = None
) -> None:
    """Queue a run over the rows of an import that is ready for it; `after` a stopped one it goes on there."""
    run_id = found.run_id if after is not None else None
    if run_id is None:
        run_id, until = uuid7(), await _file_expiry(session, found)
        await due.schedule(session, FORGET, {run_id: until} | ({found.run_id: at} if found.run_id else {}))
        # Nothing would lead an erasure to those of the run before.
        await files.expire(session, [found.failures_id] if found.failures_id else [], at=at)
        failures = await files.create(session, f"{found.name}.failed.csv", "text/csv", at=at, until=until)
        found.failures_id = failures
    job = jobs.start(session, RUN, {"import_id": str(found.id)}, at=at)
    job.total = layout_of(found).rows
    if after is not None:
        job.done, job.total, job.counts, job.checkpoint = (
            after.done,
            after.total,
            after.counts,
            after.checkpoint,
        )
    found.run_id, found.job_id, found.dry_run = run_id, job.id, dry_run


async def cancel(session: AsyncSession, import_id: UUID, *, at: datetime) -> Import:
    """Stop what is being done; what is done already stays. Raises ImportNotFound, JobEnded."""
    found = await get(session, import_id, lock=True)
    await jobs.cancel(session, found.job_id, at=at)
    if found.run_id is not None:
        await forget_trials(session, found.run_id, at=at)
    return found


async def revert(session: AsyncSession, import_id: UUID, *, at: datetime) -> Import:
    """Take back what the import did; raises ImportNotFound, ImportBusy, NothingToRevert.

    It goes by the verdicts on the rows, and they are kept for some days.
    """
    found = await get(session, import_id, lock=True)
    state = state_of(found, await _settled_job(session, found))
    if found.run_id is None or found.dry_run or state not in (ImportState.IMPORTED, ImportState.STOPPED):
        raise NothingToRevert
    if not await recording.is_kept(session, found.run_id):
        raise NothingToRevert("What became of its rows is not kept any more.")
    found.job_id = jobs.start(session, REVERT, {"import_id": str(found.id)}, at=at).id
    return found


async def list_rows(
    session: AsyncSession,
    found: Import,
    status: RowStatus | None,
    *,
    page: PageRequest,
) -> Listing[ImportRow]:
    """The verdicts of the last run, in the order of the file."""
    statement = select(ImportRow).where(ImportRow.run_id == found.run_id)
    if status is not None:
        statement = statement.where(ImportRow.status == status)
    return await paginate(
        session,
        statement,
        [Key(ImportRow.line)],
        page=page,
        filters=[str(found.run_id), status],
    )


async def forget(session: AsyncSession, customers: Collection[UUID], *, at: datetime) -> int:
    """Delete the files that these customers are known to be in, and the samples taken from them.

    A file that is being read is deleted as soon as that has ended. Says how many files there were.
    """
    named = select(ImportRow.run_id).where(ImportRow.customer_id.in_(customers)).distinct()
    found = list(await session.scalars(select(Import).where(Import.run_id.in_(named)).with_for_update()))
    ids = [id for each in found for id in (each.file_id, each.failures_id) if id is not None]
    for each in found:
        if each.layout is not None:
            each.layout = each.layout | {"samples": []}
    await files.expire(session, ids, at=at)
    return len(ids)


async def in_use(session: AsyncSession, ids: Collection[UUID]) -> set[UUID]:
    """Those of the files that are being read or written."""
    busy = (
        select(Import.file_id, Import.failures_id)
        .join(Job, Job.id == Import.job_id)
        .where(Job.state.in_(jobs.OPEN), Import.file_id.in_(ids) | Import.failures_id.in_(ids))
    )
    return {id for row in await session.execute(busy) for id in row if id is not None}


async def forget_trials(session: AsyncSession, run_id: UUID, *, at: datetime) -> None:
    """Have what a dry run remembered deleted by the worker, for it may be much."""
    await due.schedule(session, FORGET_TRIALS, {run_id: at})


async def open_runs(session: AsyncSession, runs: Collection[UUID]) -> set[UUID]:
    """Those of the runs that are not over, or are just being taken back."""
    busy = select(Import.run_id).join(Job, Job.id == Import.job_id).where(Job.state.in_(jobs.OPEN))
    return {run for run in await session.scalars(busy.where(Import.run_id.in_(runs))) if run is not None}


async def delete_files(session: AsyncSession, ids: Collection[UUID]) -> None:
    """Delete files whose time is up, and the samples taken from them."""
    for found in await session.scalars(select(Import).where(Import.file_id.in_(ids))):
        if found.layout is not None:
            found.layout = found.layout | {"samples": []}
    await session.flush()
    await files.remove(session, ids)


async def reader_of(session: AsyncSession, mapping: MappingIn, found: Import) -> Reader:
    """What makes customers of rows; raises ImportNotReady, InvalidMapping."""
    keys = [column.to.removeprefix("attributes.") for column in mapping.columns]
    types = {key: each.type for key, each in (await attributes.declared(session, keys)).items()}
    return Reader(mapping, layout_of(found).header, found.source, types)


async def _settled_job(session: AsyncSession, found: Import) -> Job:
    """Raises ImportBusy."""
    job = await job_of(session, found, lock=True)
    if job.state in jobs.OPEN:
        raise ImportBusy(f"{job.kind} has not ended yet.")
    return job


async def _file_expiry(session: AsyncSession, found: Import) -> datetime:
    return (await files.get(session, found.file_id)).expires_at


def layout_of(found: Import) -> Layout:
    if found.layout is None:
        raise ImportNotReady
    return Layout.of(found.layout)
