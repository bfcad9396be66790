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

AT_ONCE = 2
"""Statements of one kind under way: one keeps the database busy while another's answers are handed out."""
MOST = 100


class Together:
    """Gathers what is asked while statements are under way, and asks it all at once.

    Who asks alone waits for nobody. Each statement has a connection of its own, and none belongs to a
    request: one that is given up, or out of time, leaves the others' answers alone.
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


_Gathered: TypeAlias = dict[Key, list[asyncio.Future[Answer | None]]]
"""Who waits for the answer to each question."""


class _Desk(Generic[Key, Answer]):
    """The questions of one kind."""

    def __init__(self, sessions: Sessions, find: Find[Key, Answer]) -> None:
        self._sessions = sessions
        self._find = find
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._gathered: _Gathered[Key, Answer] | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def ask(self, key: Key) -> Answer | None:
        if self._gathered is None or len(self._gathered) >= MOST:
            self._gathered = {}
            # Of nobody's context: a request's id does not belong on what is asked for several.
            task = asyncio.create_task(self._answer(self._gathered), context=Context())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        # A future for each is cheaper than to shield one that all wait for.
        answer: asyncio.Future[Answer | None] = asyncio.get_running_loop().create_future()
        self._gathered.setdefault(key, []).append(answer)
        return await answer

    async def _answer(self, gathered: "_Gathered[Key, Answer]") -> None:
        async with self._turns:
            if gathered is self._gathered:  # from here on others gather anew
                self._gathered = None
            try:
                async with self._sessions() as session:
                    found = await self._find(session, gathered.keys())
            except Exception as error:
                for answer in _waiting(gathered):
                    answer.set_exception(error)
            else:
                for key, answers in gathered.items():
                    for answer in answers:
                        if not answer.done():
                            answer.set_result(found.get(key))


def _waiting(gathered: "_Gathered[Key, Answer]") -> list["asyncio.Future[Answer | None]"]:
    return [answer for answers in gathered.values() for answer in answers if not answer.done()]
