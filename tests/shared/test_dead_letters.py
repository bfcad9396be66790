"""A dead letter holds back its key and nothing else, and is redriven in order."""

from datetime import UTC, datetime

import pytest

from crm_shared import dead_letters
from crm_shared.database import Sessions
from crm_shared.dead_letters import DeadLetter, DeadLetterNotFound, DeadLetterSettled, State
from crm_shared.ids import uuid7

NOW = datetime(2026, 3, 2, tzinfo=UTC)


def letter(key: str | None, offset: int = 0) -> DeadLetter:
    return DeadLetter(
        id=uuid7(),
        consumer="loyalty",
        topic="profiles.events",
        partition=0,
        offset=offset,
        key=key,
        reason="failed",
        detail="",
        headers={"ce_id": "1"},
        value=b"{}",
        state=State.PARKED,
        parked_at=NOW,
    )


async def parked(sessions: Sessions, *letters: DeadLetter) -> None:
    async with sessions.begin() as session:
        for one in letters:
            dead_letters.park(session, one)
            await session.flush()


async def test_a_letter_blocks_its_own_key_for_its_own_consumer(sessions: Sessions) -> None:
    await parked(sessions, letter("a"), letter(None))
    async with sessions() as session:
        assert await dead_letters.blocked(session, "loyalty", ["a", "b"]) == {"a"}
        assert await dead_letters.blocked(session, "tickets", ["a", "b"]) == set()


async def test_redriving_one_redrives_all_of_its_key_in_their_order(sessions: Sessions) -> None:
    first, second, other = letter("a", 1), letter("a", 2), letter("b", 3)
    await parked(sessions, first, second, other)
    async with sessions.begin() as session:
        assert await dead_letters.redrive(session, second.id) == sorted([first.id, second.id])
    async with sessions.begin() as session:
        following = await dead_letters.next_redriven(session, "loyalty")
        assert following is not None
        assert following.id == first.id
        dead_letters.settle(following, State.HANDLED, by="worker", at=NOW)
    async with sessions.begin() as session:
        following = await dead_letters.next_redriven(session, "loyalty")
        assert following is not None
        assert following.id == second.id
        assert await dead_letters.blocked(session, "loyalty", ["a", "b"]) == {"a", "b"}


async def test_a_failed_redrive_parks_the_rest_of_its_key_again(sessions: Sessions) -> None:
    first, second = letter("a", 1), letter("a", 2)
    await parked(sessions, first, second)
    async with sessions.begin() as session:
        await dead_letters.redrive(session, first.id)
        await dead_letters.hold_back(session, "loyalty", ["a"])
        assert await dead_letters.next_redriven(session, "loyalty") is None
        assert await dead_letters.blocked(session, "loyalty", ["a"]) == {"a"}


async def test_a_discarded_letter_keeps_who_gave_it_up_and_nothing_it_carried(sessions: Sessions) -> None:
    one = letter("a")
    await parked(sessions, one)
    async with sessions.begin() as session:
        await dead_letters.discard(session, one.id, by="olga", at=NOW)
    async with sessions() as session:
        kept = await dead_letters.get(session, one.id)
        assert (kept.state, kept.settled_by, kept.value, kept.headers) == (
            State.DISCARDED,
            "olga",
            None,
            {},
        )
        assert await dead_letters.blocked(session, "loyalty", ["a"]) == set()
        with pytest.raises(DeadLetterSettled):
            await dead_letters.redrive(session, one.id)


async def test_a_letter_that_is_not_there_is_not_found(sessions: Sessions) -> None:
    async with sessions() as session:
        with pytest.raises(DeadLetterNotFound):
            await dead_letters.get(session, uuid7())
