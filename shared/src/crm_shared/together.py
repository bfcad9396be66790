"""Questions that are asked at the same time, answered by one statement."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Hashable, Mapping
from contextvars import Context
from typing import Any, Generic, TypeAlias, TypeVar

from sqlalchemy.ext.asyncio import AsyncSession

from crm_shared.database import Sessions

Key = TypeVar("Key", bound=Hashable)
Answer = TypeVar("Answer")

Find: TypeAlias = Callable[[AsyncSession, Collection[Key]], Awaitable[Mapping[Key, Answer]]]
"""A noun's function that finds many by one statement; what is not found is not in the mapping."""

_Waiting: TypeAlias = dict[Key, list[asyncio.Future[Answer | None]]]

AT_ONCE = 2
"""Statements of one kind under way: one keeps the database busy while another's answers are handed out."""
MOST = 100


class Together:
    """Gathers what is asked while statements are under way, and asks it all at once.

    Who asks alone waits for nobody. No connection belongs to a request: one that is given up, or out of
    time, leaves the others' answers alone.
    """

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions
        self._desks: dict[Any, _Desk[Any, Any]] = {}

    async def find(self, find: Find[Key, Answer], key: Key) -> Answer | None:
        """What the function finds for the key; it may find for others by the same call."""
        desk: _Desk[Key, Answer] | None = self._desks.get(find)
        if desk is None:
            desk = self._desks[find] = _Desk(self._sessions, find)
        return await desk.ask(key)


class _Desk(Generic[Key, Answer]):
    """The questions of one kind, each with the futures of who waits for its answer."""

    def __init__(self, sessions: Sessions, find: Find[Key, Answer]) -> None:
        self._sessions = sessions
        self._find = find
        self._waiting: _Waiting[Key, Answer] = {}
        self._busy = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def ask(self, key: Key) -> Answer | None:
        if not self._waiting:
            self._begin()
        # A future for each is cheaper than to shield one that all wait for.
        answer: asyncio.Future[Answer | None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(key, []).append(answer)
        return await answer

    def _begin(self) -> None:
        """Who is there already looks for more when done: what comes first after that has to begin."""
        if self._busy < AT_ONCE:
            self._busy += 1
            # Of nobody's context: a request's id does not belong on what is asked for several.
            task = asyncio.create_task(self._answer_all(), context=Context())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _answer_all(self) -> None:
        """With one session for as long as somebody asks: a new one costs half as much as the statement."""
        try:
            while waiting := self._next():
                await self._answer(waiting)
        finally:
            self._busy -= 1

    async def _answer(self, waiting: _Waiting[Key, Answer]) -> None:
        try:
            async with self._sessions() as session:
                found = await self._find(session, waiting.keys())
                while more := self._next():
                    _settle(waiting, found)
                    waiting = more
                    session.expunge_all()  # rows are read anew
                    found = await self._find(session, waiting.keys())
            _settle(waiting, found)
        except Exception as error:
            for answer in _unanswered(waiting):
                answer.set_exception(error)

    def _next(self) -> _Waiting[Key, Answer]:
        """Who waits now; from here on others gather anew."""
        if len(self._waiting) <= MOST:
            waiting, self._waiting = self._waiting, {}
            return waiting
        keys = list(self._waiting)[:MOST]
        waiting = {key: self._waiting.pop(key) for key in keys}
        self._begin()
        return waiting


def _settle(waiting: _Waiting[Key, Answer], found: Mapping[Key, Answer]) -> None:
    for key, answers in waiting.items():
        for answer in answers:
            if not answer.done():  # else who asked has given up
                answer.set_result(found.get(key))


def _unanswered(waiting: _Waiting[Key, Answer]) -> list[asyncio.Future[Answer | None]]:
    return [answer for answers in waiting.values() for answer in answers if not answer.done()]
