"""Questions that are asked at the same time are answered by one statement, each as if it had been alone."""

import asyncio
from collections.abc import Collection, Mapping
from random import Random

import pytest
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from crm_shared.together import AT_ONCE, MOST, Together


class Gone(Exception):
    """The database does not answer."""


class Shelf:
    """Doubles of even numbers, found by statements that end when they are told to."""

    def __init__(self) -> None:
        self.asked: list[set[int]] = []
        self.go_on = asyncio.Event()
        self.fault: Exception | None = None

    async def find(self, session: AsyncSession, keys: Collection[int]) -> Mapping[int, int]:
        self.asked.append(set(keys))
        fault = self.fault
        await self.go_on.wait()
        if fault is not None:
            raise fault
        return {key: 2 * key for key in keys if key % 2 == 0}


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


@pytest.fixture
def together() -> Together:
    return Together(async_sessionmaker())


async def begun(shelf: Shelf, statements: int) -> None:
    for _ in range(100):
        await asyncio.sleep(0)
    assert len(shelf.asked) == statements


async def test_those_who_ask_at_once_share_a_statement_and_each_gets_the_own_answer(
    shelf: Shelf, together: Together
) -> None:
    shelf.go_on.set()
    answers = await asyncio.gather(*(together.find(shelf.find, key) for key in [1, 2, 3, 4, 2]))
    assert answers == [None, 4, None, 8, 4]
    assert shelf.asked == [{1, 2, 3, 4}]


async def test_who_asks_while_statements_are_under_way_is_answered_by_a_later_one(
    shelf: Shelf, together: Together
) -> None:
    asking = []
    for number in range(AT_ONCE):
        asking.append(asyncio.create_task(together.find(shelf.find, number)))
        await begun(shelf, number + 1)
    asking += [asyncio.create_task(together.find(shelf.find, number)) for number in (0, 8, 10)]
    await asyncio.sleep(0.01)
    assert shelf.asked == [{number} for number in range(AT_ONCE)]  # who comes now must not get older rows
    shelf.go_on.set()
    assert (await asyncio.gather(*asking))[AT_ONCE:] == [0, 16, 20]
    assert shelf.asked[AT_ONCE:] == [{0, 8, 10}]


async def test_a_statement_asks_for_a_bounded_number(shelf: Shelf, together: Together) -> None:
    shelf.go_on.set()
    answers = await asyncio.gather(*(together.find(shelf.find, key) for key in range(3 * MOST)))
    assert answers == [2 * key if key % 2 == 0 else None for key in range(3 * MOST)]
    assert max(map(len, shelf.asked)) == MOST


async def test_who_gives_up_takes_nothing_from_the_others(shelf: Shelf, together: Together) -> None:
    one, other = (asyncio.create_task(together.find(shelf.find, key)) for key in (2, 4))
    await begun(shelf, 1)
    one.cancel()
    shelf.go_on.set()
    assert await other == 8
    assert one.cancelled()


async def test_a_fault_reaches_those_who_asked_and_nobody_after_them(
    shelf: Shelf, together: Together
) -> None:
    shelf.go_on.set()
    shelf.fault = Gone()
    told = await asyncio.gather(*(together.find(shelf.find, key) for key in (2, 4)), return_exceptions=True)
    assert [type(each) for each in told] == [Gone, Gone]
    shelf.fault = None
    assert await together.find(shelf.find, 6) == 12


async def test_questions_of_two_kinds_are_apart(shelf: Shelf, together: Together) -> None:
    other = Shelf()
    other.go_on.set()
    waiting = asyncio.create_task(together.find(shelf.find, 2))
    assert await together.find(other.find, 4) == 8
    shelf.go_on.set()
    assert await waiting == 4
    assert (shelf.asked, other.asked) == ([{2}], [{4}])


async def test_nobody_is_forgotten_however_they_come(together: Together) -> None:
    """Statements begin and end while others ask: whoever comes in between is found by one of them."""
    random = Random(5)

    async def double(session: AsyncSession, keys: Collection[int]) -> Mapping[int, int]:
        for _ in range(random.randrange(3)):
            await asyncio.sleep(0)
        return {key: 2 * key for key in keys}

    async def ask_again_and_again() -> None:
        for _ in range(200):
            key = random.randrange(10)
            assert await together.find(double, key) == 2 * key
            for _ in range(random.randrange(4)):
                await asyncio.sleep(0)

    async with asyncio.timeout(20):
        await asyncio.gather(*(ask_again_and_again() for _ in range(8)))
