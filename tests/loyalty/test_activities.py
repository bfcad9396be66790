"""Activities: no seat is given twice, the waiting list moves up, and being there counts once."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import httpx2
import pytest
from tests.loyalty.conftest import MakeEvent, Receive
from tests.loyalty.figures import given
from tests.patience import patiently

from crm_loyalty import reconcile
from crm_shared.database import Sessions
from crm_shared.ids import uuid7
from crm_shared.testing import FrozenClock, fresh_key, published

Announce = Callable[..., Awaitable[str]]


async def post(loyalty: httpx2.AsyncClient, path: str, body: object = None) -> httpx2.Response:
    key = fresh_key()
    return await patiently(lambda: loyalty.post(path, json=body, headers=key))


@pytest.fixture
def announce(loyalty: httpx2.AsyncClient, clock: FrozenClock) -> Announce:
    """Announces something for next week, and says its path."""

    async def create(**changes: Any) -> str:
        begins = clock.now() + timedelta(days=7)
        body = {
            "names": {"en": "A listening evening"},
            "place": "5 Rue du Jazz",
            "starts_at": begins.isoformat(),
            "ends_at": (begins + timedelta(hours=3)).isoformat(),
            "points": 100,
        }
        made = await post(loyalty, "/v1/activities", body | changes)
        assert made.status_code == 201, made.text
        return f"/v1/activities/{made.json()['id']}"

    return create


async def invite(loyalty: httpx2.AsyncClient, path: str, *customers: UUID) -> dict[UUID, str]:
    """Their codes."""
    body = {"customer_ids": [str(id) for id in customers]}
    answer = await post(loyalty, f"{path}/invitations", body)
    assert answer.status_code == 200, answer.text
    return {UUID(each["customer_id"]): each["code"] for each in answer.json()["items"]}


async def say(loyalty: httpx2.AsyncClient, path: str, code: str, *, coming: bool = True) -> httpx2.Response:
    return await post(loyalty, f"{path}/answers", {"code": code, "coming": coming})


async def states(loyalty: httpx2.AsyncClient, path: str) -> dict[UUID, str]:
    items = (await loyalty.get(f"{path}/invitations?limit=100")).json()["items"]
    return {UUID(each["customer_id"]): each["state"] for each in items}


async def test_of_a_hundred_who_answer_at_once_as_many_come_as_find_room(
    committed: dict[str, Sessions], loyalty: httpx2.AsyncClient, announce: Announce
) -> None:
    path = await announce(capacity=7)
    codes = await invite(loyalty, path, *(uuid7() for _ in range(100)))

    answers = await asyncio.gather(*(say(loyalty, path, code) for code in codes.values()))

    assert {answer.status_code for answer in answers} == {200}
    assert Counter((await states(loyalty, path)).values()) == {"accepted": 7, "waitlisted": 93}


async def test_the_waiting_list_moves_up_in_the_order_of_the_answers(
    loyalty: httpx2.AsyncClient, announce: Announce, clock: FrozenClock
) -> None:
    path = await announce(capacity=1)
    ann, ben, cem = (uuid7() for _ in range(3))
    codes = await invite(loyalty, path, ann, ben, cem)
    for who in (cem, ann, ben):
        clock.advance(timedelta(minutes=1))
        await say(loyalty, path, codes[who])
    assert await states(loyalty, path) == {cem: "accepted", ann: "waitlisted", ben: "waitlisted"}

    await say(loyalty, path, codes[ann])
    left = await say(loyalty, path, codes[cem], coming=False)
    assert left.json()["state"] == "declined"
    assert await states(loyalty, path) == {cem: "declined", ann: "accepted", ben: "waitlisted"}
    clock.advance(timedelta(minutes=1))
    assert (await say(loyalty, path, codes[cem])).json()["state"] == "waitlisted"


async def test_being_there_gives_points_once(
    loyalty: httpx2.AsyncClient,
    announce: Announce,
    sessions: Sessions,
    clock: FrozenClock,
    receive: Receive,
    merged: MakeEvent,
    created: MakeEvent,
) -> None:
    path = await announce()
    ann, ben = uuid7(), uuid7()
    await receive(created(ann), created(ben))
    codes = await invite(loyalty, path, ann, ben)
    clock.advance(timedelta(days=6))
    early = await post(loyalty, f"{path}/check-ins", {"code": codes[ann]})
    assert (early.status_code, early.json()["code"]) == (409, "not_on_the_guest_list")
    for code in codes.values():
        assert (await say(loyalty, path, code)).json()["state"] == "accepted"

    there = await post(loyalty, f"{path}/check-ins", {"code": codes[ann].lower()})
    assert there.status_code == 200, there.text
    assert there.json()["transaction_id"] is not None
    await receive(merged(ben, ann, uuid7()))
    for code in codes.values():
        again = await post(loyalty, f"{path}/check-ins", {"code": code})
        assert (again.status_code, again.json()["code"]) == (409, "already_attended")

    assert (await loyalty.get(f"/v1/accounts/{ann}")).json()["balance"] == 100
    assert await given(loyalty) == {"activities": 100}
    told = [row.key for row in await published(sessions) if row.type == "loyalty.activity.attended.v1"]
    assert told == [str(ann)]
    async with sessions() as session:
        assert await reconcile.differences(await session.connection()) == []


async def test_nobody_is_there_before_its_day_and_who_is_there_gives_the_seat_to_nobody(
    loyalty: httpx2.AsyncClient, announce: Announce, clock: FrozenClock
) -> None:
    path = await announce(capacity=1)
    ann, ben = uuid7(), uuid7()
    codes = await invite(loyalty, path, ann, ben)
    for code in codes.values():
        await say(loyalty, path, code)
    clock.advance(timedelta(days=6, microseconds=-1))
    soon = await post(loyalty, f"{path}/check-ins", {"code": codes[ann]})
    assert (soon.status_code, soon.json()["code"]) == (409, "activity_not_yet")

    clock.advance(timedelta(microseconds=1))
    assert (await post(loyalty, f"{path}/check-ins", {"code": codes[ann]})).status_code == 200
    left = await say(loyalty, path, codes[ann], coming=False)
    assert (left.status_code, left.json()["code"]) == (409, "already_attended")
    assert await states(loyalty, path) == {ann: "accepted", ben: "waitlisted"}


async def test_an_invitation_is_sent_once_and_its_code_is_good_for_its_activity_only(
    loyalty: httpx2.AsyncClient, announce: Announce
) -> None:
    ann = uuid7()
    path, other = await announce(), await announce()
    codes = await invite(loyalty, path, ann)
    assert await invite(loyalty, path, ann, ann) == codes

    wrong = codes[ann][:-1] + ("2" if codes[ann][-1] != "2" else "3")
    assert (await say(loyalty, path, wrong)).json()["code"] == "invalid_invitation_code"
    assert (await say(loyalty, other, codes[ann])).json()["code"] == "invitation_not_found"


async def test_nobody_answers_once_it_has_begun_or_was_called_off(
    loyalty: httpx2.AsyncClient, announce: Announce, clock: FrozenClock
) -> None:
    ann = uuid7()
    path, off = await announce(), await announce()
    codes = await invite(loyalty, path, ann)
    assert (await post(loyalty, f"{off}/cancel")).json()["cancelled_at"] is not None
    refused = await post(loyalty, f"{off}/invitations", {"customer_ids": [str(ann)]})
    assert (refused.status_code, refused.json()["code"]) == (409, "activity_cancelled")

    clock.advance(timedelta(days=7))
    late = await say(loyalty, path, codes[ann])
    assert (late.status_code, late.json()["code"]) == (409, "activity_has_begun")


async def test_who_is_erased_leaves_the_seat_to_the_next_one(
    loyalty: httpx2.AsyncClient,
    announce: Announce,
    receive: Receive,
    created: MakeEvent,
    erased: MakeEvent,
) -> None:
    ann, ben, cem = (uuid7() for _ in range(3))
    await receive(created(ann))
    path = await announce(capacity=1)
    codes = await invite(loyalty, path, ann, ben, cem)
    for who in (ann, ben):
        await say(loyalty, path, codes[who])

    await receive(erased(ann))
    await say(loyalty, path, codes[cem], coming=False)

    assert await states(loyalty, path) == {ben: "accepted", cem: "declined"}
    assert (await post(loyalty, f"{path}/invitations", {"customer_ids": [str(ann)]})).status_code == 410
