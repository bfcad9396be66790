"""Writes that come at once share a transaction, and each is answered as if it had been alone."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

import httpx2
import pytest
import pytest_asyncio
from fastapi import FastAPI, Request, Response
from sqlalchemy import event, insert, select, text
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession
from sqlalchemy.util import await_only
from tests.shared.web.conftest import STAFF, CallAs, Note, NoteIn, NoteOut, NoteSealed

from crm_shared.callers import Role
from crm_shared.clock import Clock
from crm_shared.database import Sessions
from crm_shared.ids import uuid7
from crm_shared.outbox import Author
from crm_shared.problems import Problem
from crm_shared.settings import ServiceSettings
from crm_shared.testing import FrozenClock, reading
from crm_shared.web.app import service_app
from crm_shared.web.desk import MOST, ROOM, WORTH_SHARING, Desk, DeskFull, Handed
from crm_shared.web.router import Router
from crm_shared.web.session import CurrentDesks, provide

POSTED = "/v1/posted"
SOMEBODY = "00000000-0000-7000-8000-000000000001"


@dataclass
class Clerk:
    """Writes notes as sets; remembers the sets, and waits between them when it is told to."""

    sets: list[list[str]] = field(default_factory=list)
    has_begun: asyncio.Event = field(default_factory=asyncio.Event)
    may_go_on: asyncio.Event = field(default_factory=asyncio.Event)

    async def write(
        self, session: AsyncSession, handed: Sequence[Handed[NoteIn]], clock: Clock
    ) -> Sequence[Response | Problem]:
        texts = [each.item.text for each in handed]
        self.sets.append(texts)
        self.has_begun.set()
        await self.may_go_on.wait()
        if "faulty" in texts:
            await session.execute(text("SELECT 1 / 0"))
        if "waiting" in texts:
            await session.execute(text("SELECT pg_advisory_xact_lock(1)"))
        answers: list[Response | Problem] = []
        for each in handed:
            note = {"id": uuid7(), "text": each.item.text, "author": each.author.actor}
            if each.item.text == "sealed":
                answers.append(NoteSealed())
                continue
            await session.execute(insert(Note).values(**note, parent_id=each.item.parent_id))
            answers.append(Response(f'"{each.item.text}"', 201, {"ETag": '"1"'}, "application/json"))
        return answers


@pytest.fixture
def clerk() -> Clerk:
    made = Clerk()
    made.may_go_on.set()
    return made


@pytest_asyncio.fixture
async def app(
    web_settings: ServiceSettings, notes_clock: FrozenClock, sessions: Sessions, clerk: Clerk
) -> AsyncIterator[FastAPI]:
    router = Router(tags=["posted"])

    @router.post(POSTED, status_code=201, response_model=NoteOut, dependencies=STAFF)
    async def post_note(request: Request, desks: CurrentDesks, body: NoteIn) -> Response:
        return await desks.answer(clerk.write, request, body)

    made = service_app(web_settings, router, clock=notes_clock)
    provide(made, sessions, reading(sessions))
    yield made
    await made.state.desks.drain()


async def post(
    client: httpx2.AsyncClient, text: str, *, key: str | None = None, parent: str | None = None
) -> httpx2.Response:
    headers = {"idempotency-key": key} if key else {}
    return await client.post(POSTED, json={"text": text, "parent_id": parent}, headers=headers)


async def kept(sessions: Sessions) -> list[str]:
    async with sessions() as session:
        return sorted(await session.scalars(select(Note.text)))


async def test_those_who_come_while_a_transaction_is_under_way_share_the_next_one(
    agent: httpx2.AsyncClient, clerk: Clerk, sessions: Sessions
) -> None:
    clerk.may_go_on.clear()
    first = asyncio.create_task(post(agent, "a"))
    await clerk.has_begun.wait()
    others = [asyncio.create_task(post(agent, each)) for each in "bcd"]
    await asyncio.sleep(0.05)
    assert clerk.sets == [["a"]]
    clerk.may_go_on.set()
    answers = [await task for task in (first, *others)]
    assert [(answer.status_code, answer.json()) for answer in answers] == [(201, each) for each in "abcd"]
    assert [sorted(each) for each in clerk.sets] == [["a"], ["b", "c", "d"]]
    assert await kept(sessions) == ["a", "b", "c", "d"]


async def test_with_two_hands_two_transactions_are_under_way(sessions: Sessions, clerk: Clerk) -> None:
    clerk.may_go_on.clear()
    desk = Desk(sessions, clerk.write, FrozenClock(), hands=2)

    def hand_in(note: str) -> asyncio.Task[Response]:
        handed = Handed(NoteIn(text=note, parent_id=None), Author("tester", None), POSTED, None)
        return asyncio.create_task(desk.answer(handed))

    tasks = []
    for note in "ab":
        clerk.has_begun.clear()
        tasks.append(hand_in(note))
        await clerk.has_begun.wait()
    tasks += map(hand_in, "cd")
    await asyncio.sleep(0.05)
    assert clerk.sets == [["a"], ["b"]]
    clerk.may_go_on.set()
    assert [(await task).status_code for task in tasks] == [201] * 4
    await desk.drain()
    assert await kept(sessions) == list("abcd")


async def test_what_is_about_the_same_is_never_in_two_transactions_at_once(
    sessions: Sessions, clerk: Clerk
) -> None:
    clerk.may_go_on.clear()
    desk = Desk(sessions, clerk.write, FrozenClock(), hands=2)

    async def hand_in(note: str, about: str) -> asyncio.Task[Response]:
        handed = Handed(NoteIn(text=note, parent_id=None), Author("tester", None), POSTED, None)
        task = asyncio.create_task(desk.answer(handed, about=about))
        await asyncio.sleep(0.05)
        return task

    tasks = [await hand_in(note, about) for note, about in (("a", "x"), ("b", "x"), ("c", "y"), ("d", "x"))]
    assert clerk.sets == [["a"], ["c"]]
    clerk.may_go_on.set()
    assert [(await task).status_code for task in tasks] == [201] * 4
    await desk.drain()
    assert clerk.sets == [["a"], ["c"], ["b", "d"]]


@pytest.mark.parametrize("about_the_same", [False, True])
async def test_of_many_a_hand_leaves_half_to_another_one_if_that_could_do_it(
    sessions: Sessions, clerk: Clerk, about_the_same: bool
) -> None:
    clerk.may_go_on.clear()
    desk = Desk(sessions, clerk.write, FrozenClock(), hands=2)

    def hand_in(number: int) -> asyncio.Task[Response]:
        handed = Handed(NoteIn(text=f"{number:02}", parent_id=None), Author("tester", None), POSTED, None)
        return asyncio.create_task(desk.answer(handed, about=0 if about_the_same else number))

    tasks = [hand_in(number) for number in range(WORTH_SHARING)]
    await clerk.has_begun.wait()
    await asyncio.sleep(0.05)
    everything = [f"{number:02}" for number in range(WORTH_SHARING)]
    half = WORTH_SHARING // 2
    assert clerk.sets == ([everything] if about_the_same else [everything[:half], everything[half:]])
    clerk.may_go_on.set()
    assert [(await task).status_code for task in tasks] == [201] * WORTH_SHARING
    await desk.drain()
    assert await kept(sessions) == everything


async def test_a_transaction_takes_a_bounded_number(agent: httpx2.AsyncClient, clerk: Clerk) -> None:
    answers = await asyncio.gather(*(post(agent, str(number)) for number in range(2 * MOST)))
    assert [answer.json() for answer in answers] == [str(number) for number in range(2 * MOST)]
    assert max(map(len, clerk.sets)) <= MOST


async def test_who_would_wait_in_vain_is_told_so_at_once(sessions: Sessions, clerk: Clerk) -> None:
    clerk.may_go_on.clear()
    desk = Desk(sessions, clerk.write, FrozenClock())

    def hand_in(number: int) -> asyncio.Task[Response]:
        note = NoteIn(text=str(number), parent_id=None)
        return asyncio.create_task(desk.answer(Handed(note, Author("tester", None), POSTED, None)))

    tasks = [hand_in(0)]
    await clerk.has_begun.wait()
    tasks += map(hand_in, range(1, ROOM + 1))
    with pytest.raises(DeskFull) as refused:
        await hand_in(ROOM + 1)
    assert refused.value.headers == {"Retry-After": "1"}
    for task in tasks[2:]:
        task.cancel()
    clerk.may_go_on.set()
    assert [(await task).status_code for task in tasks[:2]] == [201, 201]
    await desk.drain()
    assert await kept(sessions) == ["0", "1"]


async def test_who_is_refused_does_not_disturb_the_others(
    agent: httpx2.AsyncClient, sessions: Sessions
) -> None:
    answers = await asyncio.gather(*(post(agent, each, key=each) for each in ("a", "sealed", "b")))
    assert [answer.status_code for answer in answers] == [201, 409, 201]
    assert answers[1].json()["code"] == "note_sealed"
    assert await kept(sessions) == ["a", "b"]


async def test_what_the_database_refuses_is_tried_alone_and_under_its_own_key(
    agent: httpx2.AsyncClient, sessions: Sessions
) -> None:
    texts = [*"abcdef", "faulty", *"ghijkl"]
    answers = await asyncio.gather(*(post(agent, each, key=each) for each in texts))
    told = dict(zip(texts, (answer.status_code for answer in answers), strict=True))
    assert told == dict.fromkeys(texts, 201) | {"faulty": 500}
    assert await kept(sessions) == list("abcdefghijkl")


async def test_nobody_hears_of_success_when_the_commit_fails(
    agent: httpx2.AsyncClient, clerk: Clerk, sessions: Sessions
) -> None:
    """The foreign key is checked at the commit only, after the replies were stored."""
    clerk.may_go_on.clear()
    first = asyncio.create_task(post(agent, "first"))
    await clerk.has_begun.wait()
    shared = [
        asyncio.create_task(post(agent, "a", key="a")),
        asyncio.create_task(post(agent, "b", key="b", parent=SOMEBODY)),
    ]
    await asyncio.sleep(0.05)
    clerk.may_go_on.set()
    assert (await first).status_code == 201
    assert [(await task).status_code for task in shared] == [500, 500]
    assert await kept(sessions) == ["first"]
    again = await post(agent, "a", key="a")
    assert (again.status_code, "idempotency-replayed" in again.headers) == (201, False)


async def test_who_comes_while_a_commit_of_nothing_fails_hears_nothing_of_it(
    web_engine: AsyncEngine, sessions: Sessions, clerk: Clerk
) -> None:
    desk = Desk(sessions, clerk.write, FrozenClock())

    def hand_in(note: str) -> asyncio.Task[Response]:
        handed = Handed(NoteIn(text=note, parent_id=None), Author("tester", None), POSTED, None)
        return asyncio.create_task(desk.answer(handed))

    gave_up = hand_in("a")
    await asyncio.sleep(0)
    gave_up.cancel()
    later: list[asyncio.Task[Response]] = []

    def fail(_: object) -> None:
        if not later:
            later.append(hand_in("b"))
            await_only(asyncio.sleep(0.05))
            raise ConnectionResetError

    event.listen(web_engine.sync_engine, "commit", fail)
    try:
        await desk.drain()
    finally:
        event.remove(web_engine.sync_engine, "commit", fail)
    assert (await later[0]).status_code == 201
    assert await kept(sessions) == ["b"]


async def test_who_gives_up_takes_nothing_from_the_others(
    agent: httpx2.AsyncClient, clerk: Clerk, sessions: Sessions
) -> None:
    clerk.may_go_on.clear()
    under_way = asyncio.create_task(post(agent, "under way"))
    await clerk.has_begun.wait()
    waiting, other = (asyncio.create_task(post(agent, each)) for each in ("waiting in line", "other"))
    await asyncio.sleep(0.05)
    under_way.cancel()
    waiting.cancel()
    await asyncio.sleep(0.05)
    clerk.may_go_on.set()
    assert (await other).status_code == 201
    # What had begun is done, what had not is left.
    assert await kept(sessions) == ["other", "under way"]


async def test_who_must_wait_for_a_lock_keeps_nobody_waiting_with_them(
    agent: httpx2.AsyncClient, clerk: Clerk, sessions: Sessions
) -> None:
    async with sessions() as holder:
        await holder.execute(text("SELECT pg_advisory_lock(1)"))
        locked, free = (asyncio.create_task(post(agent, each)) for each in ("waiting", "free"))
        assert (await free).status_code == 201
        assert (await post(agent, "later")).status_code == 201
        assert not locked.done()
        await holder.execute(text("SELECT pg_advisory_unlock(1)"))
        assert (await locked).status_code == 201
    assert await kept(sessions) == ["free", "later", "waiting"]


async def test_a_key_has_one_effect_within_one_transaction_and_later(
    agent: httpx2.AsyncClient, clerk: Clerk, sessions: Sessions
) -> None:
    clerk.may_go_on.clear()
    first = asyncio.create_task(post(agent, "first"))
    await clerk.has_begun.wait()
    twice = [asyncio.create_task(post(agent, "a", key="one")) for _ in range(2)]
    await asyncio.sleep(0.05)
    clerk.may_go_on.set()
    await first
    assert sorted([(await task).status_code for task in twice]) == [201, 409]
    again, other = await asyncio.gather(post(agent, "a", key="one"), post(agent, "b", key="one"))
    assert (again.status_code, again.json(), again.headers["idempotency-replayed"]) == (201, "a", "true")
    assert again.headers["etag"] == '"1"'
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    assert await kept(sessions) == ["a", "first"]


async def test_each_is_written_in_the_name_of_who_sent_it(call_as: CallAs, sessions: Sessions) -> None:
    names = ("alice", "bob")
    await asyncio.gather(*(post(call_as(Role.AGENT, subject=name), name) for name in names))
    async with sessions() as session:
        rows = (await session.execute(select(Note.text, Note.author))).all()
    assert sorted(tuple(row) for row in rows) == [(name, name) for name in names]


async def test_what_was_handed_in_is_done_before_the_database_goes(
    app: FastAPI, agent: httpx2.AsyncClient, clerk: Clerk, sessions: Sessions
) -> None:
    clerk.may_go_on.clear()
    posting = asyncio.create_task(post(agent, "a"))
    await clerk.has_begun.wait()
    draining = asyncio.create_task(app.state.desks.drain())
    await asyncio.sleep(0.02)
    assert not draining.done()
    clerk.may_go_on.set()
    await draining
    assert await kept(sessions) == ["a"]
    assert (await posting).status_code == 201
