"""Customers that are merged, parted and erased."""

import httpx2
from sqlalchemy import text
from tests.loyalty.accounts import balance
from tests.loyalty.conftest import Give, MakeEvent, Receive

from crm_loyalty import reconcile
from crm_shared.database import Sessions
from crm_shared.ids import uuid7
from crm_shared.testing import fresh_key, published


async def test_a_survivor_spends_the_points_of_both(
    loyalty: httpx2.AsyncClient, give: Give, receive: Receive, merged: MakeEvent, sessions: Sessions
) -> None:
    survivor, absorbed = uuid7(), uuid7()
    await give(survivor, 30)
    await give(absorbed, 20)

    await receive(merged(absorbed, survivor, uuid7()))
    spent = await loyalty.post(f"/v1/accounts/{survivor}/spend", json={"points": 45}, headers=fresh_key())

    assert spent.json()["balance"] == 5
    assert await balance(loyalty, absorbed) == await balance(loyalty, survivor) == 5
    assert (await loyalty.get(f"/v1/accounts/{absorbed}")).json()["customer_id"] == str(survivor)
    entries = (await loyalty.get(f"/v1/accounts/{survivor}/entries")).json()["items"]
    assert sorted(entry["amount"] for entry in entries) == [-30, -15, 20, 30]
    async with sessions() as session:
        assert await reconcile.differences(await session.connection()) == []


async def test_a_merge_undone_gives_each_lot_back_with_what_is_left_of_it(
    loyalty: httpx2.AsyncClient,
    give: Give,
    receive: Receive,
    merged: MakeEvent,
    unmerged: MakeEvent,
    purchased: MakeEvent,
) -> None:
    survivor, absorbed, merge_id = uuid7(), uuid7(), uuid7()
    await give(absorbed, 20)
    await give(survivor, 30)
    await receive(merged(absorbed, survivor, merge_id))
    await receive(purchased(absorbed, 700))
    await loyalty.post(f"/v1/accounts/{survivor}/spend", json={"points": 25}, headers=fresh_key())

    await receive(unmerged(absorbed, survivor, merge_id))

    assert await balance(loyalty, absorbed) == 0 + 2
    assert await balance(loyalty, survivor) == 30


async def test_a_merge_of_two_nobody_has_heard_of_is_remembered(
    loyalty: httpx2.AsyncClient, receive: Receive, merged: MakeEvent, purchased: MakeEvent
) -> None:
    survivor, absorbed = uuid7(), uuid7()
    await receive(merged(absorbed, survivor, uuid7()))

    await receive(purchased(absorbed, 500))

    assert await balance(loyalty, survivor) == 5


async def test_a_hold_placed_before_a_merge_is_captured_after_it(
    loyalty: httpx2.AsyncClient, give: Give, receive: Receive, merged: MakeEvent, unmerged: MakeEvent
) -> None:
    survivor, absorbed, merge_id = uuid7(), uuid7(), uuid7()
    await give(absorbed, 20)
    await give(survivor, 30)
    placed = await loyalty.post(
        f"/v1/accounts/{absorbed}/holds", json={"points": 15, "expires_in": 60}, headers=fresh_key()
    )
    await receive(merged(absorbed, survivor, merge_id))
    over_both = await loyalty.post(
        f"/v1/accounts/{survivor}/holds", json={"points": 35, "expires_in": 60}, headers=fresh_key()
    )
    captured = await loyalty.post(
        f"/v1/accounts/{survivor}/holds/{placed.json()['id']}/capture", headers=fresh_key()
    )
    await receive(unmerged(absorbed, survivor, merge_id))
    released = await loyalty.post(
        f"/v1/accounts/{survivor}/holds/{over_both.json()['id']}/release", headers=fresh_key()
    )

    assert (captured.status_code, released.status_code) == (200, 200)
    assert (await balance(loyalty, absorbed), await balance(loyalty, survivor)) == (5, 30)
    for customer in (absorbed, survivor):
        assert (await loyalty.get(f"/v1/accounts/{customer}")).json()["held"] == 0


async def test_erasure_clears_words_keeps_the_books_and_confirms(
    loyalty: httpx2.AsyncClient, give: Give, receive: Receive, erased: MakeEvent, sessions: Sessions
) -> None:
    customer = uuid7()
    await give(customer, 20)
    await loyalty.post(
        f"/v1/accounts/{customer}/spend", json={"points": 5, "reason": "gift for 王小明"}, headers=fresh_key()
    )
    await loyalty.post(
        f"/v1/accounts/{customer}/holds",
        json={"points": 5, "expires_in": 60, "reference": "王小明"},
        headers=fresh_key(),
    )

    await receive(erased(customer))

    async with sessions() as session:
        assert await session.scalar(text("SELECT count(*) FROM reasons")) == 0
        assert await session.scalar(text("SELECT count(*) FROM holds WHERE reference IS NOT NULL")) == 0
        assert await reconcile.differences(await session.connection()) == []
    confirmed = (await published(sessions))[-1]
    assert confirmed.type == "loyalty.erasure.confirmed.v1"
    assert '"accounts"' in confirmed.data


async def test_nothing_new_is_written_about_somebody_who_was_erased(
    loyalty: httpx2.AsyncClient, give: Give, receive: Receive, erased: MakeEvent, sessions: Sessions
) -> None:
    customer = uuid7()
    await give(customer, 20)
    await receive(erased(customer))
    wishes = {
        "spend": {"points": 5, "reason": "gift for 王小明"},
        "adjust": {"points": 5, "reason": "王小明 called"},
        "holds": {"points": 5, "expires_in": 60, "reference": "王小明"},
    }
    for operation, body in wishes.items():
        answer = await loyalty.post(f"/v1/accounts/{customer}/{operation}", json=body, headers=fresh_key())
        assert (answer.status_code, answer.json()["code"]) == (410, "customer_was_erased"), operation
    async with sessions() as session:
        assert await session.scalar(text("SELECT count(*) FROM reasons")) == 0
        assert await session.scalar(text("SELECT count(*) FROM holds")) == 0
