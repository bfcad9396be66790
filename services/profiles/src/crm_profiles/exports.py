"""Exports: customers in a file, which is made to be opened in a spreadsheet and to be imported again."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from crm_profiles import files
from crm_profiles.errors import ExportNotFound, ExportNotReady
from crm_profiles.models.exports import Export
from crm_profiles.models.files import File
from crm_profiles.schemas.exports import ExportIn
from crm_shared import jobs
from crm_shared.ids import uuid7
from crm_shared.jobs import Job, JobNotFound, JobState
from crm_shared.pages import Cursors, Key, Listing, paginate

MAKE = "exports.make"


async def create(
    session: AsyncSession, asked: ExportIn, *, masked: bool, until: datetime, at: datetime
) -> Export:
    """Have the file made; it is deleted at `until`."""
    export_id = uuid7()
    params = {"export_id": str(export_id), "until": until.isoformat()}
    job = jobs.start(session, MAKE, params, at=at)
    made = Export(
        id=export_id,
        asked=asked.model_dump(mode="json"),
        masked=masked,
        created_at=at,
        created_by=job.actor,
        job_id=job.id,
    )
    session.add(made)
    await session.flush()
    return made


async def get(session: AsyncSession, export_id: UUID) -> Export:
    """Raises ExportNotFound."""
    found = await session.get(Export, export_id)
    if found is None:
        raise ExportNotFound(export_id=str(export_id))
    return found


async def job_of(session: AsyncSession, found: Export) -> Job:
    job = await session.get(Job, found.job_id)
    if job is None:
        raise JobNotFound(job_id=str(found.job_id))
    return job


async def list_(
    session: AsyncSession, *, cursors: Cursors, cursor: str | None, limit: int
) -> Listing[Export]:
    """All exports, the newest first."""
    order = [Key(Export.id, descending=True)]
    return await paginate(session, select(Export), order, cursors=cursors, cursor=cursor, limit=limit)


async def file_of(session: AsyncSession, found: Export) -> File:
    """Raises ExportNotReady, FileGone."""
    if (await job_of(session, found)).state is not JobState.SUCCEEDED:
        raise ExportNotReady
    return await files.get(session, found.file_id)


async def forget(session: AsyncSession, *, at: datetime) -> int:
    """Delete all that has been made: whom it names is not known. Says how many files there were."""
    ids = [id for id in await session.scalars(select(Export.file_id)) if id is not None]
    await files.expire(session, ids, at=at)
    return len(ids)
