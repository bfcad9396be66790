"""What an administrator does with dead letters, over HTTP."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import Query
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import select

from crm_shared import dead_letters
from crm_shared.callers import Role
from crm_shared.dead_letters import WAITING, DeadLetter, DeadLetterNotFound, DeadLetterSettled, State
from crm_shared.pages import DEFAULT_LIMIT, InvalidCursor, Key, Listing, Page, paginate
from crm_shared.web.problems import documented
from crm_shared.web.router import Router
from crm_shared.web.session import (
    CurrentCaller,
    CurrentClock,
    CurrentCursors,
    Cursor,
    Limit,
    Session,
    allow,
)


class DeadLetterOut(BaseModel):
    """A record that was taken off its topic without having its effect."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    consumer: str
    topic: str
    partition: int
    offset: int
    key: str | None = None
    type: str | None = None
    event_id: str | None = None
    reason: str
    detail: str
    attempts: int
    state: State
    parked_at: datetime
    settled_at: datetime | None = None
    settled_by: str | None = None


class DeadLetterRecordOut(DeadLetterOut):
    """A dead letter with what it carried."""

    headers: dict[str, str]
    value: str | None = Field(default=None, description="as text; what is not UTF-8 is replaced")


class RedriveOut(BaseModel):
    """The letters that the worker will try again, in their order."""

    ids: list[UUID]


def dead_letters_router(service: str) -> Router:
    """The routes of one service: their paths and names carry its own, for all meet behind the gateway."""
    router = Router(tags=["dead letters"])
    path = f"/v1/admin/{service}/dead-letters"
    one = f"{service}_dead_letter"
    admin = [allow(Role.ADMIN)]

    @router.get(
        path,
        name=f"list_{one}s",
        response_model=Page[DeadLetterOut],
        dependencies=admin,
        responses=documented(InvalidCursor),
    )
    async def list_dead_letters(
        session: Session,
        cursors: CurrentCursors,
        state: State | None = None,
        consumer: Annotated[str | None, Query(max_length=200)] = None,
        cursor: Cursor = None,
        limit: Limit = DEFAULT_LIMIT,
    ) -> Listing[DeadLetter]:
        """List dead letters, the oldest first: those that wait, unless a state is asked for."""
        statement = select(DeadLetter).where(DeadLetter.state.in_([state] if state else WAITING))
        if consumer is not None:
            statement = statement.where(DeadLetter.consumer == consumer)
        return await paginate(
            session,
            statement,
            [Key(DeadLetter.seq)],
            cursors=cursors,
            cursor=cursor,
            limit=limit,
            filters=[state, consumer],
        )

    @router.get(
        path + "/{letter_id}",
        name=f"get_{one}",
        response_model=DeadLetterRecordOut,
        dependencies=admin,
        responses=documented(DeadLetterNotFound),
    )
    async def get_dead_letter(session: Session, letter_id: UUID) -> DeadLetter:
        """Inspect a dead letter and what it carried."""
        return await dead_letters.get(session, letter_id)

    @router.post(
        path + "/{letter_id}/redrive",
        name=f"redrive_{one}",
        response_model=RedriveOut,
        dependencies=admin,
        responses=documented(DeadLetterNotFound, DeadLetterSettled),
    )
    async def redrive_dead_letter(session: Session, letter_id: UUID) -> RedriveOut:
        """Try a dead letter again, and with it all that wait for the same key."""
        return RedriveOut(ids=await dead_letters.redrive(session, letter_id))

    @router.post(
        path + "/{letter_id}/discard",
        name=f"discard_{one}",
        response_model=DeadLetterOut,
        dependencies=admin,
        responses=documented(DeadLetterNotFound, DeadLetterSettled),
    )
    async def discard_dead_letter(
        session: Session, clock: CurrentClock, caller: CurrentCaller, letter_id: UUID
    ) -> DeadLetter:
        """Give a dead letter up; later events of its key no longer wait for it."""
        return await dead_letters.discard(session, letter_id, by=caller.subject, at=clock.now())

    return router
