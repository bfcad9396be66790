"""Files over HTTP: taken in as a stream, given out as a stream."""

from typing import Annotated
from urllib.parse import quote
from uuid import UUID

from fastapi import Depends, Query, Request
from fastapi.responses import StreamingResponse

from crm_profiles import files
from crm_profiles.models.files import File
from crm_shared.database import Sessions
from crm_shared.web.media import sent_type
from crm_shared.web.session import CurrentClock, CurrentSessions

MAX_UPLOAD = 100 * 1024 * 1024
TRANSFER_SECONDS = 600.0
CSV = "text/csv"
XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"


async def receive(
    request: Request,
    sessions: CurrentSessions,
    clock: CurrentClock,
    name: Annotated[
        str, Query(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f]+$", description="of the file")
    ],
) -> UUID:
    """Keep the body as a file before anything else is done, so that no transaction waits for its sender."""
    return await files.receive(
        sessions, request.stream(), name=name, content_type=sent_type(request), at=clock.now()
    )


Received = Annotated[UUID, Depends(receive)]
"""The id of the file that the body was kept as; to be asked for before the session."""


def download(sessions: Sessions, file: File) -> StreamingResponse:
    """The file as it is; browsers save it under its name and never show it."""
    return StreamingResponse(
        files.read(sessions, file.id),
        media_type=file.content_type,
        headers={
            "Content-Length": str(file.size),
            "Content-Disposition": f"attachment; filename*=UTF-8''{quote(file.name, safe='')}",
        },
    )
