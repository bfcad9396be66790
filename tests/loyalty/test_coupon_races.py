"""Coupons that many use at the same time: each is used once, and no limit is passed."""

import asyncio
from collections import Counter

import httpx2
from sqlalchemy import text
from tests.loyalty.coupons import Answer, ask, end, insist, issue, make_series

from crm_loyalty import reconcile
from crm_shared.database import Sessions
from crm_shared.ids import uuid7
from crm_shared.testing import fresh_key


async def test_of_a_hundred_parallel_redemptions_one_succeeds(
    committed: dict[str, Sessions], loyalty: httpx2.AsyncClient
) -> None:
    customer = uuid7()
    code = await issue(loyalty, customer)

    answers = await asyncio.gather(
        *(insist(loyalty, "redeem", code, customer, str(number)) for number in range(100))
    )

    assert Counter(answer.status_code for answer in answers) == {201: 1, 409: 99}
    assert {a.json()["code"] for a in answers if a.status_code == 409} == {"coupon_already_redeemed"}


async def test_a_total_limit_holds_when_a_hundred_ask_at_once(
    committed: dict[str, Sessions], loyalty: httpx2.AsyncClient
) -> None:
    series = await make_series(loyalty, max_uses=10)
    people = [uuid7() for _ in range(100)]
    body = {"customer_ids": [str(person) for person in people]}
    await loyalty.post(f"/v1/coupon-series/{series}/coupons", json=body, headers=fresh_key())
    owned = [(await loyalty.get(f"/v1/accounts/{person}/coupons")).json()["items"][0] for person in people]

    answers = await asyncio.gather(
        *(
            insist(loyalty, "redeem", coupon["code"], person, str(person))
            for coupon, person in zip(owned, people, strict=True)
        )
    )

    assert Counter(answer.status_code for answer in answers) == {201: 10, 409: 90}
    assert {a.json()["code"] for a in answers if a.status_code == 409} == {"limit_reached"}
    async with committed["loyalty"]() as session:
        assert await session.scalar(text("SELECT used FROM coupon_counts")) == 10
        assert await reconcile.differences(await session.connection()) == []


async def test_redeeming_releasing_and_voiding_at_once_does_one_of_them(
    committed: dict[str, Sessions], loyalty: httpx2.AsyncClient
) -> None:
    customer = uuid7()
    code = await issue(loyalty, customer)
    use = (await ask(loyalty, "reserve", code, customer)).json()

    async def void() -> Answer:
        return await loyalty.post(f"/v1/coupons/{use['coupon_id']}/void", headers=fresh_key())

    answers = await asyncio.gather(
        *(end(loyalty, use["id"], how) for how in ("redeem", "release") * 10), *(void() for _ in range(3))
    )

    done = [answer.json()["state"] for answer in answers if answer.status_code == 200]
    # A coupon that was released before may still be withdrawn.
    assert sorted(done) in (["redeemed"], ["void"], ["released", "void"], ["released"])
