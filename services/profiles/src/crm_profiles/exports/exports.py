"""Exports: customers in a file, which is made to be opened in a spreadsheet and to be imported again."""

from collections.abc import Collection
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import delete, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from crm_profiles import files
from crm_profiles.customers import customers
from crm_profiles.customers.customers import CustomerFilters
from crm_profiles.errors import ExportNotFound, ExportNotReady
from crm_profiles.models.exports import Export
from crm_profiles.models.files import File
from crm_profiles.schemas.exports import ExportFilters, ExportIn
from crm_shared import jobs
from crm_shared.customers import stop_merges
from crm_shared.ids import uuid7
from crm_shared.jobs import Job, JobNotFound, JobState
from crm_shared.pages import Key, Listing, PageRequest, paginate

MAKE = "exports.make"


class Standing(NamedTuple):
    """How far an export is, and its file while there is one."""

    job: Job
    file: File | None


async def create(
    session: AsyncSession, asked: ExportIn, *, masked: bool, until: datetime, at: datetime
) -> Export:
    """Have the file made; it is deleted at `until`."""
    await stop_merges(session)
    export_id = uuid7()
    params = {"export_id": str(export_id), "until": until.isoformat()}
    job = jobs.start(session, MAKE, params, about=await _meant_by(session, asked.filters), at=at)
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


async def standings(session: AsyncSession, ids: Collection[UUID]) -> dict[UUID, Standing]:
    """How it stands with each of these exports."""
    found = (
        select(Export.id, Job, File)
        .join(Job, Job.id == Export.job_id)
        .outerjoin(File, File.id == Export.file_id)
        .where(Export.id.in_(ids))
    )
    return {id: Standing(job, file) for id, job, file in await session.execute(found)}


async def job_of(session: AsyncSession, found: Export) -> Job:
    job = await session.get(Job, found.job_id)
    if job is None:
        raise JobNotFound(job_id=str(found.job_id))
    return job


async def list_(session: AsyncSession, *, page: PageRequest) -> Listing[Export]:
    """All exports, the newest first."""
    order = [Key(Export.id, descending=True)]
    return await paginate(session, select(Export), order, page=page)


async def file_of(session: AsyncSession, found: Export) -> File:
    """Raises ExportNotReady, FileGone."""
    if (await job_of(session, found)).state is not JobState.SUCCEEDED:
        raise ExportNotReady
    return await files.get(session, found.file_id)


async def forget(session: AsyncSession, erased: Collection[UUID], *, at: datetime) -> int:
    """Delete all that has been made, as whom it names is not known; what is being made is begun anew.

    Exports that go by how these customers are reached go with them; of the others that have ended the filters
    go. Says how many files there were.
    """
    written = [id for id in await session.scalars(select(Export.file_id)) if id is not None]
    await files.expire(session, written, at=at)
    about = select(Job.id).where(Job.customer_ids.overlap(erased))
    await session.execute(delete(Export).where(Export.job_id.in_(about)))
    unfinished = select(Job.id).where(Job.kind == MAKE, Job.state.in_(jobs.OPEN))
    open_ = list(await session.scalars(unfinished.with_for_update()))
    await jobs.start_over(session, open_)
    await session.execute(
        update(Export)
        .where(Export.job_id.not_in(open_))
        .values(asked=Export.asked.concat({"filters": {}}))
        .execution_options(synchronize_session=False)
    )
    return len(written)


async def _meant_by(session: AsyncSession, filters: ExportFilters) -> list[UUID]:
    """Whom an export is about that goes by a contact point."""
    if not (filters.phone or filters.email or filters.social):
        return []
    found = await session.scalars(customers.matching(CustomerFilters(**filters.model_dump())))
    return [customer.id for customer in found]
