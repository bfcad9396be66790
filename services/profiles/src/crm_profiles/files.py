"""Files in the database, written and read in chunks: none is ever whole in memory."""

from collections.abc import AsyncIterator, Collection
from datetime import datetime, timedelta
from hashlib import sha256
from uuid import UUID

from sqlalchemy import delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from crm_profiles.errors import EmptyFile, FileGone
from crm_profiles.models.files import File, FileChunk
from crm_shared import due
from crm_shared.database import Sessions
from crm_shared.ids import uuid7

CHUNK = 256 * 1024
EXPIRY = "files.expire"
"""The kind of due work that deletes files."""

_UPLOADING = timedelta(hours=1)
"""What has not become part of anything by then is left over from an upload that broke off."""


async def receive(
    sessions: Sessions, stream: AsyncIterator[bytes], *, name: str, content_type: str, at: datetime
) -> UUID:
    """Keep what somebody uploads, each chunk in a transaction of its own: a slow sender holds no connection.

    It is deleted again soon unless `keep` says otherwise. Raises EmptyFile.
    """
    async with sessions.begin() as session:
        file_id = await create(session, name, content_type, at=at, until=at + _UPLOADING)
    digest = sha256()
    pending = bytearray()
    async for part in stream:
        digest.update(part)
        pending += part
        if len(pending) >= CHUNK:
            async with sessions.begin() as session:
                await append(session, file_id, bytes(pending))
            pending.clear()
    async with sessions.begin() as session:
        await append(session, file_id, bytes(pending))
        size = await session.scalar(
            update(File).where(File.id == file_id).values(sha256=digest.hexdigest()).returning(File.size)
        )
    if not size:
        raise EmptyFile("The file holds nothing.")
    return file_id


async def create(
    session: AsyncSession, name: str, content_type: str, *, at: datetime, until: datetime
) -> UUID:
    """A file with nothing in it yet; it is deleted at `until`."""
    file_id = uuid7()
    await session.execute(
        insert(File).values(
            id=file_id,
            name=name,
            content_type=content_type,
            size=0,
            chunks=0,
            created_at=at,
            expires_at=until,
        )
    )
    await due.schedule(session, EXPIRY, {file_id: until})
    return file_id


async def append(session: AsyncSession, file_id: UUID, data: bytes) -> None:
    """Add to the end of the file; raises FileGone."""
    if not data:
        return
    parts = [data[start : start + CHUNK] for start in range(0, len(data), CHUNK)]
    grown = (
        update(File)
        .where(File.id == file_id)
        .values(size=File.size + len(data), chunks=File.chunks + len(parts))
        .returning(File.chunks)
    )
    count = await session.scalar(grown)
    if count is None:
        raise FileGone
    first = count - len(parts)
    rows = [
        {"file_id": file_id, "number": number, "data": part} for number, part in enumerate(parts, start=first)
    ]
    await session.execute(insert(FileChunk), rows)


async def get(session: AsyncSession, file_id: UUID | None) -> File:
    """Raises FileGone."""
    found = await session.get(File, file_id) if file_id is not None else None
    if found is None:
        raise FileGone
    return found


async def read(sessions: Sessions, file_id: UUID) -> AsyncIterator[bytes]:
    """The file, chunk after chunk; no connection is held while a chunk is dealt with. Raises FileGone."""
    async with sessions() as session:
        chunks = (await get(session, file_id)).chunks
    for number in range(chunks):
        async with sessions() as session:
            chunk = await session.scalar(
                select(FileChunk.data).where(FileChunk.file_id == file_id, FileChunk.number == number)
            )
        if chunk is None:
            raise FileGone
        yield chunk


async def keep(session: AsyncSession, file_id: UUID, *, until: datetime) -> File:
    """Let the file live until then, or end then; raises FileGone."""
    file = await get(session, file_id)
    file.expires_at = until
    await due.schedule(session, EXPIRY, {file_id: until})
    return file


async def remove(session: AsyncSession, ids: Collection[UUID]) -> None:
    """Delete the files with all that they hold."""
    await session.execute(delete(File).where(File.id.in_(ids)))
    await due.cancel(session, EXPIRY, ids)


async def expire(session: AsyncSession, ids: Collection[UUID], *, at: datetime) -> None:
    """Have the files deleted now, as soon as nobody reads them any more."""
    await session.execute(update(File).where(File.id.in_(ids)).values(expires_at=at))
    await due.schedule(session, EXPIRY, dict.fromkeys(ids, at))
