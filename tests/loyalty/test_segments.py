"""Segments as segmentation tells of them: who is in one counts for rules, offers and audiences."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text
from tests.loyalty.accounts import balance
from tests.loyalty.conftest import Give, MakeEvent, Put, Receive

from crm_loyalty.rules.segments import Segments
from crm_shared.callers import Role
from crm_shared.contracts.base import Event
from crm_shared.contracts.profiles import CustomerCreated
from crm_shared.contracts.segmentation import MembershipEntered, MembershipLeft
from crm_shared.database import Sessions
from crm_shared.ids import uuid7
from crm_shared.testing import arrived, fresh_key

MakeClient = Callable[..., httpx2.AsyncClient]

NOON = datetime(2026, 2, 1, 12, tzinfo=UTC)
FIXED = {"kind": "fixed", "points": 10}
READERS = {"segments": {"any_of": ["readers"]}}
NO_READERS = {"segments": {"none_of": ["readers"]}}

NAMES = st.frozensets(st.sampled_from("abcd"))


def entered(customer_id: UUID, version: int = 1, segment: str = "readers", **more: Any) -> Event:
    return arrived(MembershipEntered(**_state(customer_id, version, segment), **more))


def left(customer_id: UUID, version: int = 2, segment: str = "readers", **more: Any) -> Event:
    return arrived(MembershipLeft(**_state(customer_id, version, segment), **more))


def _state(customer_id: UUID, version: int, segment: str) -> dict[str, Any]:
    return {
        "customer_id": customer_id,
        "version": version,
        "segment": segment,
        "segment_version": 1,
        "reason": "three books within a year",
        "occurred_at": NOON + timedelta(minutes=version),
    }


async def segments(loyalty: httpx2.AsyncClient, customer_id: UUID) -> list[str]:
    """Those of which rules are told."""
    asked = {"customer_id": str(customer_id), "event": {"type": "anything"}}
    told: list[str] = (await loyalty.post("/v1/earning-rules/evaluate", json=asked)).json()["customer"][
        "segments"
    ]
    return told


@given(NAMES, NAMES, NAMES)
def test_a_customer_is_meant_who_is_in_one_of_some_and_in_none_of_others(
    any_of: frozenset[str], none_of: frozenset[str], found: frozenset[str]
) -> None:
    wanted = Segments(any_of, none_of)
    meant = (not any_of or any(name in found for name in any_of)) and not any(n in found for n in none_of)
    assert wanted.hold(found) is meant
    assert bool(list(wanted.against(found))) is not meant


async def test_the_newest_change_of_a_membership_counts_in_whatever_order_they_come(
    loyalty: httpx2.AsyncClient, receive: Receive, created: MakeEvent
) -> None:
    ann = uuid7()
    await receive(created(ann), entered(ann, 3), entered(ann, 1), left(ann, 2))
    await receive(entered(ann, 1, "runners"), left(ann, 2, "runners"), entered(ann, 7, "cooks"))
    assert await segments(loyalty, ann) == ["cooks", "readers"]

    await receive(left(ann, 2), entered(ann, 1, "runners"))
    assert await segments(loyalty, ann) == ["cooks", "readers"]

    await receive(left(ann, 4))
    assert await segments(loyalty, ann) == ["cooks"]


async def test_purchases_earn_by_the_segments_of_their_time(
    loyalty: httpx2.AsyncClient, receive: Receive, put: Put, purchased: MakeEvent
) -> None:
    await put("base", rate=FIXED, when=READERS)
    await put("others", rate={"kind": "fixed", "points": 1}, when=NO_READERS)
    ann = uuid7()

    await receive(purchased(ann, 100))
    await receive(entered(ann))
    await receive(purchased(ann, 100), purchased(ann, 100))
    await receive(left(ann))
    await receive(purchased(ann, 100))

    assert await balance(loyalty, ann) == 1 + 20 + 1


async def test_a_merge_brings_the_segments_of_both_together_and_its_undoing_parts_them(
    loyalty: httpx2.AsyncClient,
    receive: Receive,
    created: MakeEvent,
    merged: MakeEvent,
    unmerged: MakeEvent,
) -> None:
    ann, anne, merge_id = uuid7(), uuid7(), uuid7()
    await receive(created(ann), created(anne))
    await receive(entered(ann, 1, "runners"), entered(anne), left(ann, 2, "cooks"), entered(anne, 1, "cooks"))

    await receive(merged(anne, ann, merge_id))
    assert await segments(loyalty, ann) == ["readers", "runners"], "that she left the cooks is newer"
    await receive(left(anne, 2), entered(anne, 3, "writers"))
    assert await segments(loyalty, ann) == ["runners", "writers"]

    await receive(unmerged(anne, ann, merge_id))
    assert await segments(loyalty, ann) == ["runners"]
    assert await segments(loyalty, anne) == ["cooks", "writers"]


async def test_erasure_takes_memberships_along(
    sessions: Sessions, receive: Receive, created: MakeEvent, erased: MakeEvent
) -> None:
    ann = uuid7()
    await receive(created(ann), entered(ann))
    await receive(erased(ann))
    async with sessions() as session:
        assert await session.scalar(text("SELECT count(*) FROM memberships")) == 0


async def test_a_reward_may_be_for_some_segments_only(
    loyalty: httpx2.AsyncClient, client: MakeClient, give: Give, receive: Receive
) -> None:
    ann = uuid7()
    await give(ann, 100)
    gift = {"kind": "gift", "names": {"en": "A bag"}, "points": 10, "limited": False}
    written = await loyalty.put("/v1/rewards/bag", json=gift | READERS, headers={"If-None-Match": "*"})
    assert written.json()["segments"] == {"any_of": ["readers"], "none_of": []}

    async def order() -> httpx2.Response:
        return await loyalty.post(
            f"/v1/accounts/{ann}/reward-orders",
            json={"reward": "bag", "quantity": 1},
            headers=fresh_key(),
        )

    assert (await order()).json()["code"] == "not_for_this_tier"
    await receive(entered(ann))
    assert (await order()).status_code == 201
    her = client("loyalty", Role.CUSTOMER, customer_id=ann)
    [listed] = (await her.get("/v1/rewards")).json()["items"]
    read = (await her.get("/v1/rewards/bag")).json()
    for shown in (listed, read):
        assert [shown[name] for name in ("segments", "levels", "created_by")] == [None] * 3


async def test_a_promotion_may_be_for_some_segments_only(
    loyalty: httpx2.AsyncClient, give: Give, receive: Receive
) -> None:
    ann = uuid7()
    await give(ann, 1)
    tenth = {"names": {"en": "For readers"}, "value": "percent", "basis_points": 1000, "when": READERS}
    written = await loyalty.put("/v1/promotions/readers", json=tenth, headers={"If-None-Match": "*"})
    assert written.status_code == 200, written.text

    async def total() -> int:
        basket = {"currency": "USD", "lines": [{"price": 1000}]}
        asked = {"customer_id": str(ann), "basket": basket}
        priced = await loyalty.post("/v1/quotes", json=asked, headers=fresh_key())
        assert priced.status_code == 201, priced.text
        return int(priced.json()["total"])

    assert await total() == 1000
    await receive(entered(ann))
    assert await total() == 900


@pytest.mark.parametrize(
    ("audience", "reached"), [(READERS, {"ann", "eve"}), (NO_READERS, {"bob"}), ({}, {"ann", "bob", "eve"})]
)
async def test_a_care_plan_may_be_for_some_segments_only(
    loyalty: httpx2.AsyncClient,
    receive: Receive,
    merged: MakeEvent,
    audience: dict[str, Any],
    reached: set[str],
) -> None:
    people = {name: uuid7() for name in ("ann", "bob", "eve", "evelyn")}
    for who in people.values():
        known = {"name": "Lucía", "birth_date": date(1990, 3, 3)}
        await receive(arrived(CustomerCreated(customer_id=who, version=1, **known)))
    await receive(entered(people["ann"]), entered(people["bob"]), entered(people["evelyn"]))
    await receive(left(people["bob"]), merged(people["evelyn"], people["eve"], uuid7()))
    plan = {"names": {"en": "Birthday"}, "trigger": {"kind": "birthday"}, "action": {"points": 5}}
    written = await loyalty.put(
        "/v1/care/plans/birthday", json=plan | {"audience": audience}, headers={"If-None-Match": "*"}
    )
    assert written.status_code == 200, written.text

    answer = await loyalty.post("/v1/care/plans/birthday/dry-run?on=2026-03-03")

    found = {item["customer_id"] for item in answer.json()["items"]}
    assert found == {str(people[name]) for name in reached}
