"""Holds as members of a pool see them: all find those that reserve their points, whoever placed them."""

from typing import Any
from uuid import UUID

import httpx2
from tests.conftest import ClientFactory
from tests.loyalty.conftest import Give, Household, MakeEvent, Receive
from tests.loyalty.pool_spending import account, hold, leave, post, spend

from crm_shared.callers import Role
from crm_shared.ids import uuid7


async def listed(loyalty: httpx2.AsyncClient, customer: UUID, **query: Any) -> list[dict[str, Any]]:
    """Every page, each of one hold."""
    found: list[dict[str, Any]] = []
    cursor: dict[str, str] = {}
    while True:
        page = await loyalty.get(f"/v1/accounts/{customer}/holds", params={"limit": 1} | query | cursor)
        assert page.status_code == 200, page.text
        found += page.json()["items"]
        if not page.json()["has_more"]:
            return found
        cursor = {"cursor": page.json()["next_cursor"]}


async def explained(loyalty: httpx2.AsyncClient, customer: UUID) -> int:
    """What is held, which the open holds add up to."""
    held: int = (await account(loyalty, customer))["held"]
    assert sum(each["own_points"] for each in await listed(loyalty, customer, state="open")) == held
    return held


async def test_what_is_held_is_explained_by_the_holds_of_all_members(
    loyalty: httpx2.AsyncClient, client: ClientFactory, people: list[UUID], pool: Household
) -> None:
    ann, bea, cid = people
    pool_id = await pool(people)
    words = {"points": 25, "expires_in": 600, "reference": "a present for Bea"}
    first = (await post(loyalty, f"/v1/accounts/{ann}/holds", words)).json()["id"]
    second = (await hold(loyalty, bea, 10)).json()["id"]
    third = (await hold(loyalty, bea, 5)).json()["id"]

    held = [await explained(loyalty, who) for who in people]
    of_bea = await listed(client("loyalty", Role.CUSTOMER, customer_id=bea), bea)
    await post(loyalty, f"/v1/accounts/{bea}/holds/{second}/release")
    await leave(loyalty, pool_id, bea)

    # What was given first goes first, as nothing expires: Ann's ten, Bea's twenty, Cid's.
    assert held == [10, 20, 10]
    assert [(each["id"], each["customer_id"], each["points"], each["own_points"]) for each in of_bea] == [
        (third, str(bea), 5, 0),
        (second, str(bea), 10, 5),
        (first, str(ann), 25, 15),
    ]
    assert (of_bea[-1]["reference"], of_bea[-1]["state"]) == (None, "open"), "what for is Ann's to tell"
    [own] = await listed(loyalty, ann)
    assert (own["reference"], own["own_points"]) == ("a present for Bea", 10)
    assert [await explained(loyalty, who) for who in people] == [10, 15, 5]
    assert [each["id"] for each in await listed(loyalty, bea, state="released")] == [second]
    assert [each["id"] for each in await listed(loyalty, cid)] == [third, second]


async def test_one_hold_is_shown_as_it_is_listed_and_resolved_by_who_placed_it(
    loyalty: httpx2.AsyncClient, client: ClientFactory, people: list[UUID], pool: Household
) -> None:
    ann, bea, cid = people
    await pool(people)
    placed = (await hold(loyalty, ann, 25)).json()["id"]
    as_bea = client("loyalty", Role.CUSTOMER, customer_id=bea)

    for who in (ann, bea):
        shown = await loyalty.get(f"/v1/accounts/{who}/holds/{placed}")
        assert [shown.json()] == await listed(loyalty, who)
    for_bea = await as_bea.get(f"/v1/accounts/{bea}/holds/{placed}")
    of_ann = await as_bea.get(f"/v1/accounts/{ann}/holds/{placed}")
    untouched = await loyalty.get(f"/v1/accounts/{cid}/holds/{placed}")
    by_bea = await post(loyalty, f"/v1/accounts/{bea}/holds/{placed}/release")

    assert (for_bea.status_code, of_ann.status_code) == (200, 404)
    assert (untouched.status_code, untouched.json()["code"]) == (404, "hold_not_found")
    assert (by_bea.status_code, by_bea.json()["code"]) == (404, "hold_not_found")


async def test_holds_of_two_who_became_one_are_that_ones(
    loyalty: httpx2.AsyncClient,
    people: list[UUID],
    pool: Household,
    receive: Receive,
    merged: MakeEvent,
    unmerged: MakeEvent,
) -> None:
    ann, bea, cid = people
    merge_id = uuid7()
    await pool(people)
    await hold(loyalty, ann, 25)
    await hold(loyalty, cid, 10)

    await receive(merged(ann, bea, merge_id))
    together = await listed(loyalty, bea)
    held = [await explained(loyalty, who) for who in people]
    await receive(unmerged(ann, bea, merge_id))

    assert [(each["customer_id"], each["own_points"]) for each in together] == [(str(cid), 5), (str(bea), 25)]
    assert held == [30, 30, 5]
    assert [await explained(loyalty, who) for who in people] == [10, 20, 5]


async def test_a_captured_hold_says_how_many_points_were_the_accounts_own(
    loyalty: httpx2.AsyncClient, give: Give, pool: Household
) -> None:
    ann, bea = uuid7(), uuid7()
    await give(ann, 10)
    await give(bea, 10)
    await pool([ann, bea])
    placed = (await hold(loyalty, ann, 14)).json()["id"]

    await post(loyalty, f"/v1/accounts/{ann}/holds/{placed}/capture")

    assert [(each["state"], each["own_points"]) for each in await listed(loyalty, bea)] == [("captured", 4)]
    assert await explained(loyalty, bea) == 0
    assert (await spend(loyalty, bea, 6)).status_code == 201
