"""What an administrator can do with dead letters over HTTP, and nobody else."""

from collections.abc import Callable
from datetime import UTC, datetime
from uuid import UUID

import httpx2
import pytest

from crm_shared.callers import Role
from crm_shared.database import Sessions
from crm_shared.dead_letters import DeadLetter, State
from crm_shared.ids import uuid7

LETTERS = "/v1/admin/notes/dead-letters"

CallAs = Callable[..., httpx2.AsyncClient]


async def parked(sessions: Sessions, *keys: str) -> list[UUID]:
    """A letter for each of the keys, in their order."""
    letters = [
        DeadLetter(
            id=uuid7(),
            consumer="notes",
            topic="profiles.events",
            partition=1,
            offset=number,
            key=key,
            record_key=key,
            type="profiles.customer.created.v1",
            reason="failed",
            detail="NotToday",
            headers={"ce_id": str(number)},
            value=b'{"name": "Ann"}',
            state=State.PARKED,
            parked_at=datetime(2026, 3, 2, tzinfo=UTC),
        )
        for number, key in enumerate(keys)
    ]
    for letter in letters:
        async with sessions.begin() as session:
            session.add(letter)
    return [letter.id for letter in letters]


async def test_letters_are_listed_and_inspected(call_as: CallAs, sessions: Sessions) -> None:
    first, second = await parked(sessions, "a", "b")
    admin = call_as(Role.ADMIN)
    listed = (await admin.get(LETTERS)).json()["items"]
    assert [item["id"] for item in listed] == [str(first), str(second)]
    assert all("value" not in item for item in listed)
    inspected = (await admin.get(f"{LETTERS}/{first}")).json()
    assert "Ann" in str(inspected["value"])
    assert (await admin.get(f"{LETTERS}/{uuid7()}")).json()["code"] == "dead_letter_not_found"


async def test_redriving_one_tells_which_others_go_with_it(call_as: CallAs, sessions: Sessions) -> None:
    first, _, third = await parked(sessions, "a", "b", "a")
    answer = await call_as(Role.ADMIN).post(f"{LETTERS}/{third}/redrive")
    assert (answer.status_code, answer.json()["ids"]) == (200, sorted([str(first), str(third)]))


async def test_a_discarded_letter_cannot_be_redriven(call_as: CallAs, sessions: Sessions) -> None:
    [letter] = await parked(sessions, "a")
    admin = call_as(Role.ADMIN)
    discarded = (await admin.post(f"{LETTERS}/{letter}/discard")).json()
    assert (discarded["state"], discarded["settled_by"]) == ("discarded", "alice")
    again = await admin.post(f"{LETTERS}/{letter}/redrive")
    assert (again.status_code, again.json()["code"]) == (409, "dead_letter_settled")
    assert (await admin.get(LETTERS)).json()["items"] == []


@pytest.mark.parametrize("role", sorted(set(Role) - {Role.ADMIN}))
async def test_nobody_else_sees_them(call_as: CallAs, role: Role) -> None:
    assert (await call_as(role).get(LETTERS)).status_code == 403
