"""Budgets of promotions: what they take off in all, counted when prices are taken, and given back."""

import asyncio
from collections import Counter
from datetime import timedelta
from typing import Any
from uuid import UUID

import httpx2
import pytest
from sqlalchemy import update
from tests.loyalty.accounts import differences
from tests.loyalty.conftest import Give, MakeEvent, Receive
from tests.loyalty.test_coupon_refunds import purchase, refund
from tests.loyalty.test_quotes import BASKET, commit, coupon, put, quote
from tests.patience import patiently

from crm_loyalty.models.quotes import Quote
from crm_shared.database import Sessions
from crm_shared.ids import uuid7
from crm_shared.testing import FrozenClock, arrived, fresh_key

FIVE: dict[str, Any] = {"value": "amount", "amount": 500, "currency": "USD"}
DAY = "/v1/promotions/day"


async def used(loyalty: httpx2.AsyncClient, path: str = DAY) -> tuple[int | None, int | None]:
    """What the promotion has taken off, and what is left of its budget."""
    shown = (await loyalty.get(path)).json()
    return shown["used"], shown["left"]


async def buy(loyalty: httpx2.AsyncClient, customer: UUID, order: str) -> int:
    """What promotions took off an order."""
    named = await quote(loyalty, customer)
    taken = await commit(loyalty, named["id"], order)
    assert taken.status_code == 200, taken.text
    return sum(effect["amount"] for effect in named["effects"] if effect["kind"] == "promotion")


async def test_a_promotion_stops_when_its_budget_is_spent_and_the_last_one_gets_what_is_left(
    loyalty: httpx2.AsyncClient, sessions: Sessions, give: Give
) -> None:
    customer = uuid7()
    await give(customer, 1)
    await put(loyalty, DAY, FIVE | {"budget": 1200})
    await put(loyalty, "/v1/promotions/points", FIVE | {"budget": 1})
    assert await used(loyalty) == (0, 1200)

    assert [await buy(loyalty, customer, str(number)) for number in range(4)] == [501, 500, 200, 0]

    assert await used(loyalty) == (1200, 0)
    named = await quote(loyalty, customer, points=50)
    assert [(each["kind"], each["key"], each["code"]) for each in named["not_used"]] == [
        ("points", "points", "insufficient_points"),
        ("promotion", "day", "promotion_budget_spent"),
        ("promotion", "points", "promotion_budget_spent"),
    ]
    listed = (await loyalty.get("/v1/promotions")).json()["items"]
    assert {each["key"]: (each["used"], each["left"]) for each in listed} == {
        "day": (1200, 0),
        "points": (1, 0),
    }
    assert await differences(sessions) == []


@pytest.mark.parametrize(
    ("value", "left", "lines"),
    [
        ({"value": "percent", "basis_points": 1000}, 100, [50, 50]),
        ({"value": "percent", "basis_points": 1000, "max_discount": 90}, 100, [45, 45]),
        ({"value": "free_item", "free_product": "cap"}, 1000, [0, 1000]),
    ],
)
async def test_what_is_left_is_spread_as_the_whole_discount_would_be(
    loyalty: httpx2.AsyncClient, give: Give, value: dict[str, Any], left: int, lines: list[int]
) -> None:
    customer = uuid7()
    await give(customer, 1)
    await put(loyalty, DAY, value | {"currency": "USD", "budget": left})

    [effect] = (await quote(loyalty, customer))["effects"]

    assert (effect["amount"], effect["lines"]) == (sum(lines), lines)


async def test_another_of_its_group_counts_instead_of_one_whose_budget_is_spent(
    loyalty: httpx2.AsyncClient, give: Give
) -> None:
    customer = uuid7()
    await give(customer, 1)
    await put(loyalty, DAY, FIVE | {"budget": 500, "group": "days"})
    await put(loyalty, "/v1/promotions/other", FIVE | {"amount": 100, "group": "days"})

    assert [await buy(loyalty, customer, order) for order in ("1", "2")] == [500, 100]


async def test_a_price_is_stale_once_others_took_from_the_budget(
    loyalty: httpx2.AsyncClient, give: Give
) -> None:
    customer = uuid7()
    await give(customer, 1)
    await put(loyalty, DAY, FIVE | {"budget": 1200})
    named = [await quote(loyalty, customer) for _ in range(4)]
    codes = []
    for number, each in enumerate(named):
        answer = await commit(loyalty, each["id"], str(number))
        codes.append(answer.json().get("code"))

    assert codes == [None, None, "quote_is_stale", "quote_is_stale"]
    [change] = answer.json()["changes"]
    assert (change["was"]["amount"], change["is"]["amount"], change["code"]) == (500, 200, None)
    assert await buy(loyalty, customer, "5") == 200
    [change] = (await commit(loyalty, named[3]["id"], "6")).json()["changes"]
    assert (change["is"], change["code"]) == (None, "promotion_budget_spent")
    assert await used(loyalty) == (1200, 0)


async def test_a_changed_budget_counts_what_all_versions_took_off(
    loyalty: httpx2.AsyncClient, give: Give
) -> None:
    customer = uuid7()
    await give(customer, 1)
    await put(loyalty, DAY, FIVE)
    await buy(loyalty, customer, "1")
    assert await used(loyalty) == (500, None)

    await put(loyalty, DAY, FIVE | {"budget": 800}, version=1)
    assert await used(loyalty) == (500, 300)
    assert await buy(loyalty, customer, "2") == 300
    await put(loyalty, DAY, FIVE | {"budget": 400}, version=2)
    assert await used(loyalty) == (800, 0)
    assert await buy(loyalty, customer, "3") == 0
    await put(loyalty, DAY, FIVE | {"budget": 1000}, version=3)
    assert await buy(loyalty, customer, "4") == 200

    await put(loyalty, DAY, FIVE | {"currency": "EUR", "budget": 1000}, version=4)
    assert await used(loyalty) == (0, 1000)
    await put(loyalty, DAY, {"value": "percent", "basis_points": 100}, version=5)
    assert await used(loyalty) == (None, None)


async def test_a_budget_has_its_order_back_when_nothing_is_left_of_that(
    loyalty: httpx2.AsyncClient, sessions: Sessions, give: Give, receive: Receive, clock: FrozenClock
) -> None:
    customer = uuid7()
    await give(customer, 1)
    await put(loyalty, DAY, FIVE | {"budget": 700})
    assert [await buy(loyalty, customer, order) for order in ("1017", "1018")] == [500, 200]
    bought = purchase(customer, clock)

    await receive(arrived(bought), arrived(refund(bought, 2, cents=40, so_far=40)))
    assert await used(loyalty) == (700, 0)
    whole = refund(bought, 3, cents=3500, so_far=3540)
    await receive(arrived(whole))
    await receive(arrived(whole.model_copy(update={"version": 4, "refund_id": uuid7()})))

    assert await used(loyalty) == (200, 500)
    assert await differences(sessions) == []
    assert await buy(loyalty, customer, "1019") == 500


async def test_a_budget_has_back_what_is_released(
    loyalty: httpx2.AsyncClient, sessions: Sessions, give: Give
) -> None:
    customer = uuid7()
    await give(customer, 1)
    await put(loyalty, DAY, FIVE | {"budget": 700})
    named = await quote(loyalty, customer)
    assert (await commit(loyalty, named["id"])).status_code == 200
    assert await used(loyalty) == (500, 200)

    reason = {"reason": "the card was declined"}
    for status in (200, 409):
        released = await loyalty.post(f"/v1/quotes/{named['id']}/release", json=reason, headers=fresh_key())
        assert released.status_code == status, released.text

    assert await used(loyalty) == (0, 700)
    assert await buy(loyalty, customer, "1017") == 500
    assert await used(loyalty) == (500, 200)
    assert await differences(sessions) == []


async def test_what_the_orders_of_who_is_erased_took_stays_counted(
    loyalty: httpx2.AsyncClient, sessions: Sessions, give: Give, receive: Receive, erased: MakeEvent
) -> None:
    customer = uuid7()
    await give(customer, 1)
    await put(loyalty, DAY, FIVE | {"budget": 700})
    await buy(loyalty, customer, "1017")

    await receive(erased(customer))

    assert await used(loyalty) == (500, 200)
    assert await differences(sessions) == []


async def test_prices_that_were_named_before_kinds_were_kept_can_still_be_read_and_taken(
    loyalty: httpx2.AsyncClient, sessions: Sessions, give: Give
) -> None:
    customer = uuid7()
    await give(customer, 1)
    code = await coupon(loyalty, customer, currency="EUR")
    named = await quote(loyalty, customer, points=50, coupons=[code])
    async with sessions.begin() as session:
        bare = [{part: each[part] for part in ("key", "code", "detail")} for each in named["not_used"]]
        kept = named | {"not_used": bare}
        await session.execute(update(Quote).where(Quote.id == UUID(named["id"])).values(price=kept))

    read = (await loyalty.get(f"/v1/quotes/{named['id']}")).json()

    assert read["not_used"] == [each | {"values": {}} for each in named["not_used"]]
    assert sorted(each["kind"] for each in read["not_used"]) == ["coupon", "points"]
    assert (await commit(loyalty, named["id"])).status_code == 200


async def test_a_budget_counts_only_while_the_promotion_holds(
    loyalty: httpx2.AsyncClient, give: Give, clock: FrozenClock
) -> None:
    customer, begin = uuid7(), clock.now() + timedelta(minutes=5)
    await give(customer, 1)
    end = begin + timedelta(minutes=5)
    holds = {"valid_from": begin.isoformat(), "valid_until": end.isoformat()}
    await put(loyalty, DAY, FIVE | holds | {"budget": 700})

    clock.at = begin - timedelta(microseconds=1)
    assert await buy(loyalty, customer, "1") == 0
    clock.at = begin
    assert await buy(loyalty, customer, "2") == 500
    clock.at = end - timedelta(microseconds=1)
    assert await buy(loyalty, customer, "3") == 200
    assert [each["key"] for each in (await quote(loyalty, customer))["not_used"]] == ["day"]
    clock.at = end
    assert (await quote(loyalty, customer))["not_used"] == []
    assert await used(loyalty) == (700, 0)


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ({"value": "percent", "basis_points": 500, "budget": 100}, ("/budget", "currency_missing")),
        (FIVE | {"budget": 0}, ("/budget", "greater_than_equal")),
        (FIVE | {"budget": 10**15 + 1}, ("/budget", "less_than_equal")),
    ],
)
async def test_a_budget_is_some_money_of_a_currency(
    loyalty: httpx2.AsyncClient, body: dict[str, Any], fault: tuple[str, str]
) -> None:
    named = {"names": {"en": "Off"}} | body
    answer = await loyalty.put(DAY, json=named, headers={"If-None-Match": "*"})

    assert answer.status_code == 422, answer.text
    assert [(each["pointer"], each["code"]) for each in answer.json()["errors"]] == [fault]


async def test_a_hundred_who_take_their_prices_at_once_do_not_pass_the_budget(
    committed: dict[str, Sessions],
    loyalty: httpx2.AsyncClient,
    give: Give,
    receive: Receive,
    clock: FrozenClock,
    circles: list[str],
) -> None:
    people, product = [uuid7() for _ in range(100)], str(uuid7())
    paths = [f"/v1/promotions/p-{uuid7()}" for _ in range(2)]
    for path in paths:  # promotions outlive the test: these are for no other's baskets
        await put(loyalty, path, FIVE | {"amount": 70, "budget": 3000, "when": {"products": [product]}})
    basket = BASKET | {"lines": [{"price": 1000, "product": product}]}
    for who in people:
        await give(who, 10)
    named = [await quote(loyalty, who, basket=basket, points=10) for who in people]

    async def take(number: int) -> httpx2.Response:
        return await patiently(lambda: commit(loyalty, named[number]["id"], f"o-{number}"))

    answers = await asyncio.gather(*(take(number) for number in range(100)))

    assert Counter(answer.status_code for answer in answers) == {200: 42, 409: 58}
    refused = [answer.json() for answer in answers if answer.status_code == 409]
    assert {each["code"] for each in refused} == {"quote_is_stale"}
    assert {change["was"]["kind"] for each in refused for change in each["changes"]} == {"promotion"}
    assert [await used(loyalty, path) for path in paths] == [(2940, 60), (2940, 60)]
    assert await differences(committed["loyalty"]) == []

    winners = [number for number, answer in enumerate(answers) if answer.status_code == 200]
    bought = [
        purchase(people[number], clock).model_copy(update={"external_id": f"o-{number}"})
        for number in winners[:10]
    ]
    back = [refund(each, 2, cents=3540, so_far=3540) for each in bought]
    losers = [number for number, answer in enumerate(answers) if answer.status_code == 409][:20]
    await asyncio.gather(
        *(receive(arrived(one), arrived(other)) for one, other in zip(bought, back, strict=True)),
        *(take(number) for number in losers),
    )

    [(first, left), (second, _)] = [await used(loyalty, path) for path in paths]
    assert first is not None
    assert left is not None
    assert (first + left, first) == (3000, second)
    assert circles == []
    assert await differences(committed["loyalty"]) == []
