"""What a route can ask for: its transaction, the caller it serves, the clock, the settings."""

import asyncio
from collections.abc import Awaitable
from typing import Annotated
from uuid import UUID

from fastapi import Depends, FastAPI, Header, Query, Request, Response, params
from sqlalchemy.ext.asyncio import AsyncSession

from crm_shared import customers, idempotency
from crm_shared.callers import Caller, Role
from crm_shared.clock import Clock
from crm_shared.database import Sessions
from crm_shared.pages import DEFAULT_LIMIT, MAX_LIMIT, Cursors, PageRequest
from crm_shared.problems import Forbidden, Unauthorized
from crm_shared.together import Together
from crm_shared.web.context import Context
from crm_shared.web.desk import Desks
from crm_shared.web.markers import Marker


class TokenMissing(Unauthorized): ...


class RoleMissing(Forbidden): ...


def provide(app: FastAPI, sessions: Sessions, reading: Sessions) -> None:
    """Say where the app's sessions come from: those of its requests that write, and those of its GETs."""
    app.state.sessions = sessions
    app.state.reading = reading
    app.state.together = Together(reading)
    app.state.desks = Desks(sessions)


async def get_sessions(request: Request) -> Sessions:
    """Where sessions come from.

    A GET gets by without a transaction: each of its statements would see the same rows in one, and to begin
    and to end it are two round trips beside the one that reading mostly takes. It can change nothing.
    """
    state = request.app.state
    sessions: Sessions = state.reading if request.method == "GET" else state.sessions
    return sessions


async def get_together(request: Request) -> Together:
    together: Together = request.app.state.together
    return together


async def get_desks(request: Request) -> Desks:
    desks: Desks = request.app.state.desks
    return desks


async def get_clock(request: Request) -> Clock:
    clock: Clock = request.app.state.clock
    return clock


async def get_cursors(request: Request) -> Cursors:
    cursors: Cursors = request.app.state.cursors
    return cursors


async def get_caller(request: Request) -> Caller:
    """Who calls; TokenMissing when nobody says."""
    return _caller(Context.of(request.scope))


def _caller(context: Context) -> Caller:
    if context.caller is None:
        raise TokenMissing("Send an access token.", headers={"WWW-Authenticate": "Bearer"})
    return context.caller


async def begin(request: Request, sessions: Annotated[Sessions, Depends(get_sessions)]) -> AsyncSession:
    """One write, one transaction: begun here, ended by the route (see `committed`); a GET has none."""
    context = Context.of(request.scope)
    session = context.session = sessions()
    if context.caller is not None:
        session.info["actor"] = context.caller.subject
    if context.claim is not None:
        reply = await idempotency.claim(session, context.claim)
        if reply is not None:
            raise idempotency.AlreadyAnswered(reply)
    return session


async def committed(context: Context, response: Awaitable[Response]) -> Response:
    """The response, once what it tells of is committed: a client never hears of a write that was lost.

    A dependency with `yield` would do the same at several times the cost.
    """
    try:
        answer = await response
        if context.session is not None:
            await context.session.commit()
    except BaseException:
        if context.session is not None:
            # Whoever cancels us must not leave the connection in the middle of something.
            await asyncio.shield(context.session.close())
        raise
    return answer  # the session needs no closing: after a commit it holds nothing


Session = Annotated[AsyncSession, Depends(begin)]
CurrentSessions = Annotated[Sessions, Depends(get_sessions)]
"""For what opens sessions of its own, as a streamed answer must: the request's ends before its first byte."""
ReadTogether = Annotated[Together, Depends(get_together)]
"""For a GET that many send at once: one statement may answer several of them."""
CurrentDesks = Annotated[Desks, Depends(get_desks)]
"""For a write that many send at once: one transaction may do several of them."""
CurrentClock = Annotated[Clock, Depends(get_clock)]
CurrentCaller = Annotated[Caller, Depends(get_caller)]
CurrentCursors = Annotated[Cursors, Depends(get_cursors)]

Limit = Annotated[int, Query(ge=1, le=MAX_LIMIT, description="how many items at most")]
Cursor = Annotated[str | None, Query(max_length=2000, description="`next_cursor` of the page before")]


async def get_page_request(
    cursors: CurrentCursors, cursor: Cursor = None, limit: Limit = DEFAULT_LIMIT
) -> PageRequest:
    return PageRequest(cursors, cursor, limit)


Paging = Annotated[PageRequest, Depends(get_page_request)]
"""Which page of its list a GET is asked for."""
IfMatch = Annotated[str | None, Header(max_length=1000, description="change it only while this is its ETag")]


class Permission(Marker):
    """Who may call a route; `roles` is None where everybody may, without a token."""

    def __init__(self, roles: frozenset[Role] | None, own: str | None = None) -> None:
        self.roles = roles
        self.own = own

    def check(self, context: Context) -> None:
        """Raise TokenMissing or RoleMissing; the route does so before it reads the body."""
        if self.roles is not None and not _caller(context).has(self.roles):
            raise RoleMissing(f"This is for {', '.join(sorted(self.roles))}.")


class ForRoles(Permission):
    """Everybody who has one of the roles, and nobody else."""

    async def __call__(self, request: Request) -> Caller:
        return await get_caller(request)


class ForOwner(Permission):
    """Who has one of the roles; a customer only for the own data: other ids look absent."""

    solved = True

    def __init__(self, roles: frozenset[Role], own: str) -> None:
        super().__init__(roles, own)
        self._of_anybody = roles - {Role.CUSTOMER}

    async def __call__(self, request: Request, sessions: CurrentSessions) -> Caller:
        caller = await get_caller(request)
        if self.own is not None and not caller.has(self._of_anybody):
            try:
                asked = UUID(request.path_params[self.own])
            except ValueError:
                return caller  # no id at all: the route's own validation says so
            if caller.customer_id is None:
                raise customers.CustomerNotFound(customer_id=str(asked))
            if asked != caller.customer_id:
                async with sessions() as session:
                    survivors = await customers.resolve(session, [asked, caller.customer_id])
                if survivors[asked] != survivors[caller.customer_id]:
                    raise customers.CustomerNotFound(customer_id=str(asked))
        return caller


class ForEverybody(Permission):
    """No token is asked for."""

    async def __call__(self) -> None:
        return None


def allow(*roles: Role, own: str | None = None) -> params.Depends:
    """The roles that may call a route.

    Where customers may, `own` names the path parameter with the customer's id: they get only their own.
    """
    if not roles:
        raise ValueError("name the roles that may call this, or say public()")
    if own is not None and Role.CUSTOMER in roles:
        return params.Depends(ForOwner(frozenset(roles), own))
    return params.Depends(ForRoles(frozenset(roles)))


def public() -> params.Depends:
    """For a route that needs no token."""
    return params.Depends(ForEverybody(None))
