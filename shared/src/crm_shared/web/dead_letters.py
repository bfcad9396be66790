"""What an administrator does with dead letters, over HTTP."""

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import Query
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import select

from crm_shared import dead_letters
from crm_shared.callers import Role
from crm_shared.dead_letters import WAITING, DeadLetter, DeadLetterNotFound, DeadLetterSettled, State
from crm_shared.pages import InvalidCursor, Key, Listing, Page, paginate
from crm_shared.web.problems import documented
from crm_shared.web.router import Router
from crm_shared.web.session import (
    CurrentCaller,
    CurrentClock,
    Paging,
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


async def list_dead_letters(
    session: Session,
    page: Paging,
    state: State | None = None,
    consumer: Annotated[str | None, Query(max_length=200)] = None,
) -> Listing[DeadLetter]:
    """List dead letters, the oldest first: those that wait, unless a state is asked for."""
    statement = select(DeadLetter).where(DeadLetter.state.in_([state] if state else WAITING))
    if consumer is not None:
        statement = statement.where(DeadLetter.consumer == consumer)
    return await paginate(
        session,
        statement,
        [Key(DeadLetter.seq)],
        page=page,
        filters=[state, consumer],
    )


async def get_dead_letter(session: Session, letter_id: UUID) -> DeadLetter:
    """Inspect a dead letter and what it carried."""
    return await dead_letters.get(session, letter_id)


async def redrive_dead_letter(session: Session, letter_id: UUID) -> RedriveOut:
    """Try a dead letter again, and with it all that wait for the same key."""
    return RedriveOut(ids=await dead_letters.redrive(session, letter_id))


async def discard_dead_letter(
    session: Session, clock: CurrentClock, caller: CurrentCaller, letter_id: UUID
) -> DeadLetter:
    """Give a dead letter up; later events of its key no longer wait for it."""
    return await dead_letters.discard(session, letter_id, by=caller.subject, at=clock.now())


def dead_letters_router(service: str) -> Router:
    """The routes of one service: their paths and names carry its own, for all meet behind the gateway."""
    router = Router(tags=["dead letters"])
    path, one = f"/v1/admin/{service}/dead-letters", f"{service}_dead_letter"
    settled = documented(DeadLetterNotFound, DeadLetterSettled)

    def add(method: str, path: str, name: str, call: Callable[..., Any], model: Any, problems: Any) -> None:
        router.add_api_route(
            path,
            call,
            methods=[method],
            name=name,
            response_model=model,
            responses=problems,
            dependencies=[allow(Role.ADMIN)],
        )

    add("GET", path, f"list_{one}s", list_dead_letters, Page[DeadLetterOut], documented(InvalidCursor))
    path += "/{letter_id}"
    unknown = documented(DeadLetterNotFound)
    add("GET", path, f"get_{one}", get_dead_letter, DeadLetterRecordOut, unknown)
    add("POST", f"{path}/redrive", f"redrive_{one}", redrive_dead_letter, RedriveOut, settled)
    add("POST", f"{path}/discard", f"discard_{one}", discard_dead_letter, DeadLetterOut, settled)
    return router
