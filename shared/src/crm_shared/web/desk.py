"""Desks: writes that are asked for at the same time, done in one transaction, each answered for itself.

A route that only writes hands in what it was sent, and waits. A desk gathers what is handed in while its
transaction is under way, and does all of that in the next one: keys, effects, events and stored replies, by
one statement of each kind. It answers nobody before the commit. What is refused (a Problem) is refused
alone. Where the database refuses a transaction, or has it wait for somebody else's lock, nobody knows by
whose fault: each is tried again in a transaction of its own, as if there were no desk. Only when a commit
fails is nothing tried again, for it may have happened: all of that transaction hear of it.

    async def make_known(session, handed, clock): ...      # sets in, a Response or Problem for each out

    async def create_customer(request: Request, desks: CurrentDesks, body: CustomerIn) -> Response:
        return await desks.answer(make_known, request, body)

Who gives up (a deadline) before their transaction began is left out of it; later it makes no difference to
the others. The lifespan drains desks before it closes the database.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Hashable, Sequence
from contextvars import Context as Nobody
from dataclasses import dataclass
from typing import Any, Generic, TypeAlias, TypeVar

from fastapi import Request, Response
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from crm_shared import customers, idempotency, tracing
from crm_shared.clock import Clock
from crm_shared.database import Sessions, awaits_a_lock
from crm_shared.idempotency import AlreadyAnswered, Claim, Kept, StoredReply
from crm_shared.outbox import Author
from crm_shared.prepared import Prepared
from crm_shared.problems import Problem, Unavailable
from crm_shared.web.context import Context

Item = TypeVar("Item")

MOST = 100
"""Writes in one transaction."""
WORTH_SHARING = 40
"""Writes of which a hand leaves half to another one that is free; of fewer, each costs less together."""
ROOM = 1_000
"""Writes that wait: who comes when there are as many would wait in vain, and is told so at once."""
PATIENCE = 0.25
"""Seconds that a transaction of several waits for a lock: all who come meanwhile wait with it."""

_HASTE = Prepared(
    select(
        func.set_config("lock_timeout", str(int(PATIENCE * 1000)), True),
        # One plan for sets of any size, as to plan takes longer than to run; and none that suits a table only
        # while it is small, for plans are kept.
        func.set_config("plan_cache_mode", "force_generic_plan", True),
        func.set_config("enable_seqscan", "off", True),
        # What is written at desks is about customers, so it would be asked for next.
        customers.STOPPING_MERGES,
    )
)


class DeskFull(Unavailable):
    """More is waiting to be written than can be done soon: try again in a moment."""


@dataclass(frozen=True)
class Handed(Generic[Item]):
    """What is to be written, and by whom in which trace: the session is nobody's own."""

    item: Item
    author: Author
    path: str
    claim: Claim | None


Write: TypeAlias = Callable[
    [AsyncSession, Sequence[Handed[Item]], Clock], Awaitable[Sequence[Response | Problem]]
]
"""Writes all of them by the same statements, and says of each what is answered."""


class Desks:
    """The desks of a process, one for each function that writes."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions
        self._desks: dict[Any, Desk[Any]] = {}

    async def answer(
        self,
        write: Write[Item],
        request: Request,
        item: Item,
        *,
        hands: int = 1,
        about: Hashable | None = None,
    ) -> Response:
        """What the function answers to the item, committed; raises what it is refused with.

        With more `hands`, as many transactions of several are under way: one is prepared while the database
        works on another. What is `about` the same is never in two of them, which would wait for each other.
        """
        desk: Desk[Item] | None = self._desks.get(write)
        if desk is None:
            desk = self._desks[write] = Desk(self._sessions, write, request.app.state.clock, hands=hands)
        context = Context.of(request.scope)
        author = Author(context.caller.subject if context.caller else None, tracing.current())
        return await desk.answer(Handed(item, author, request.scope["path"], context.claim), about=about)

    async def drain(self) -> None:
        """Wait until all that was handed in is done with."""
        for desk in list(self._desks.values()):
            await desk.drain()


class _Slip(Generic[Item]):
    """One that waits at a desk."""

    def __init__(self, handed: Handed[Item], about: Hashable | None) -> None:
        self.handed = handed
        self.about = about
        self.answer: asyncio.Future[Response] = asyncio.get_running_loop().create_future()

    def settle(self, outcome: Response | BaseException) -> None:
        if self.answer.done():
            return  # who waited has given up
        if isinstance(outcome, BaseException):
            self.answer.set_exception(outcome)
        else:
            self.answer.set_result(outcome)


class Desk(Generic[Item]):
    """What is handed in for one function; as many transactions of several are under way as it has hands."""

    def __init__(self, sessions: Sessions, write: Write[Item], clock: Clock, *, hands: int = 1) -> None:
        self._sessions = sessions
        self._write = write
        self._clock = clock
        self._waiting: deque[_Slip[Item]] = deque()
        self._free_hands = hands
        self._under_way: set[Hashable] = set()
        """What the transactions of several are about."""
        self._gathering = False
        """A transaction begins, and will take all who wait until it has."""
        self._tasks: set[asyncio.Task[None]] = set()

    async def answer(self, handed: Handed[Item], *, about: Hashable | None = None) -> Response:
        """As `Desks.answer`; raises DeskFull."""
        if len(self._waiting) >= ROOM:
            raise DeskFull(headers={"Retry-After": "1"})
        slip = _Slip(handed, about)
        self._waiting.append(slip)
        if about not in self._under_way:
            self._lend_a_hand()
        return await slip.answer

    async def drain(self) -> None:
        while self._tasks:
            await asyncio.wait(self._tasks)

    def _lend_a_hand(self) -> None:
        if self._free_hands and not self._gathering:
            self._free_hands -= 1
            self._begin(self._serve_all())

    def _begin(self, work: Coroutine[None, None, None]) -> None:
        # Of nobody's context: what is done for several is of no one's request.
        task = asyncio.create_task(work, context=Nobody())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve_all(self) -> None:
        try:
            # What else waits another hand goes on with: it is about what that one is at, or just gathering.
            while not self._gathering and any(slip.about not in self._under_way for slip in self._waiting):
                slips: list[_Slip[Item]] = []
                self._gathering = True
                try:
                    await self._serve(slips, hasty=True)
                finally:
                    self._under_way.difference_update(slip.about for slip in slips)
        finally:
            self._free_hands += 1

    def _gather(self, slips: list[_Slip[Item]]) -> None:
        """Take over who has waited longest, but for what other hands are at."""
        self._gathering = False
        waiting, self._waiting = self._waiting, deque()
        is_shared = self._free_hands > 0 and len(waiting) >= WORTH_SHARING
        share = min(len(waiting) // 2, MOST) if is_shared else MOST
        about: set[Hashable] = set()
        for slip in waiting:
            if slip.answer.done():
                continue
            # What is about the same comes along: nobody else could do it until we are done.
            has_room = len(slips) < (MOST if slip.about in about else share)
            if slip.about in self._under_way or not has_room:
                self._waiting.append(slip)
                continue
            slips.append(slip)
            if slip.about is not None:
                about.add(slip.about)
        self._under_way |= about
        if self._waiting:
            self._lend_a_hand()

    async def _serve(self, slips: list[_Slip[Item]], *, hasty: bool = False) -> None:
        """These in one transaction; in haste, all who wait once one has begun: anybody may join so long.

        Where it fails before its end, each in one of its own.
        """
        ending = False
        try:
            async with self._sessions() as session:
                if hasty:
                    await _HASTE.fetch(session, {})
                    customers.merges_stopped(session)
                    self._gather(slips)
                outcomes = await self._write_new(session, [slip.handed for slip in slips])
                ending = True
                await session.commit()
        except Exception as error:
            if not (slips or ending):  # it had not begun
                self._gather(slips)
            if ending or (len(slips) == 1 and not (hasty and awaits_a_lock(error))):
                for slip in slips:
                    slip.settle(error)
            else:
                # Only now: until it was rolled back, the transaction held the keys that each will claim.
                for slip in slips:
                    self._begin(self._serve([slip]))
        else:
            for slip, outcome in zip(slips, outcomes, strict=True):
                slip.settle(outcome)

    async def _write_new(
        self, session: AsyncSession, handed: Sequence[Handed[Item]]
    ) -> list[Response | Exception]:
        """What is not answered yet is written, and the replies are kept."""
        outcomes: dict[int, Response | Exception] = {}
        claims = {place: each.claim for place, each in enumerate(handed) if each.claim is not None}
        known = await idempotency.claim_many(session, list(claims.values()))
        for place, found in zip(claims, known, strict=True):
            if found is not None:
                outcomes[place] = AlreadyAnswered(found) if isinstance(found, StoredReply) else found
        new = [place for place in range(len(handed)) if place not in outcomes]
        if new:
            answers = await self._write(session, [handed[place] for place in new], self._clock)
            outcomes |= zip(new, answers, strict=True)
            replies = [
                Kept(claims[place], _stored(outcome), handed[place].path)
                for place in new
                if place in claims and isinstance(outcome := outcomes[place], Response)
            ]
            await idempotency.remember_many(session, replies, at=self._clock.now())
        return [outcomes[place] for place in range(len(handed))]


def _stored(answer: Response) -> StoredReply:
    return StoredReply.of(answer.status_code, answer.headers, bytes(answer.body))
