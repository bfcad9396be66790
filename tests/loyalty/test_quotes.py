"""Quotes: the price with all that made it, and taking it: everything at once, or nothing."""

import asyncio
from collections import Counter
from datetime import timedelta
from typing import Any
from uuid import UUID

import httpx2
import pytest
from sqlalchemy import text
from tests.loyalty.accounts import balance
from tests.loyalty.conftest import Give, MakeEvent, Receive
from tests.patience import patiently

from crm_loyalty.handlers import due_work
from crm_shared import due
from crm_shared.database import Sessions
from crm_shared.ids import uuid7
from crm_shared.testing import FrozenClock, fresh_key

Answer = httpx2.Response

LINES = [
    {"price": 3333, "product": "lp", "category": "jazz"},
    {"price": 1667, "quantity": 2, "product": "cap", "category": "clothes"},
]
BASKET: dict[str, Any] = {"currency": "USD", "lines": LINES}


async def put(loyalty: httpx2.AsyncClient, path: str, body: dict[str, Any], version: int = 0) -> None:
    seen = {"If-Match": f'"{version}"'} if version else {"If-None-Match": "*"}
    answer = await loyalty.put(path, json={"names": {"en": "Off"}} | body, headers=seen)
    assert answer.status_code == 200, answer.text


async def coupon(loyalty: httpx2.AsyncClient, customer: UUID, **terms: Any) -> str:
    """The code of a coupon of the customer's own, of a series of its own."""
    series = f"/v1/coupon-series/s-{uuid7().hex}"
    await put(loyalty, series, {"value": "percent", "basis_points": 1000} | terms)
    body = {"customer_ids": [str(customer)]}
    made = await loyalty.post(f"{series}/coupons", json=body, headers=fresh_key())
    assert made.status_code == 201, made.text
    return str((await loyalty.get(f"/v1/accounts/{customer}/coupons")).json()["items"][0]["code"])


async def quote(loyalty: httpx2.AsyncClient, customer: UUID, **more: Any) -> dict[str, Any]:
    answer = await loyalty.post("/v1/quotes", json={"customer_id": str(customer), "basket": BASKET} | more)
    assert answer.status_code == 201, answer.text
    body: dict[str, Any] = answer.json()
    assert sum(body["lines"]) == body["total"]
    assert body["subtotal"] - sum(effect["amount"] for effect in body["effects"]) == body["total"]
    return body


async def commit(loyalty: httpx2.AsyncClient, quote_id: str, order: str = "1017") -> Answer:
    body = {"order": {"source": "shop", "external_id": order}}
    return await loyalty.post(f"/v1/quotes/{quote_id}/commit", json=body, headers=fresh_key())


async def test_a_price_names_each_effect_and_is_taken_at_once(
    loyalty: httpx2.AsyncClient, give: Give
) -> None:
    customer = uuid7()
    await give(customer, 2000)
    five = {"value": "amount", "amount": 500, "currency": "USD", "when": {"categories": ["jazz"]}}
    await put(loyalty, "/v1/promotions/jazz", five)
    code = await coupon(loyalty, customer)

    named = await quote(loyalty, customer, coupons=[code], points=1000)

    assert [(effect["kind"], effect["amount"], effect["lines"]) for effect in named["effects"]] == [
        ("promotion", 500, [500, 0]),
        ("coupon", 616, [283, 333]),
        ("points", 1000, [459, 541]),
    ]
    assert (named["subtotal"], named["total"], named["points_to_earn"]) == (6667, 4551, 55)
    assert await balance(loyalty, customer) == 2000

    taken = await commit(loyalty, named["id"])
    assert taken.status_code == 200, taken.text
    assert taken.json()["state"] == "committed"
    assert await balance(loyalty, customer) == 1000
    [used] = (await loyalty.get(f"/v1/accounts/{customer}/coupons")).json()["items"]
    assert used["state"] == "redeemed"

    again, other = await commit(loyalty, named["id"]), await commit(loyalty, named["id"], "1018")
    assert again.json() == taken.json()
    assert (other.status_code, other.json()["code"]) == (409, "quote_committed")
    assert await balance(loyalty, customer) == 1000


async def test_an_order_has_one_price_whatever_else_was_named_for_it(
    loyalty: httpx2.AsyncClient, give: Give, receive: Receive, merged: MakeEvent
) -> None:
    customer, survivor = uuid7(), uuid7()
    await give(customer, 2000)
    await give(survivor, 1)
    first, second = [await quote(loyalty, customer, points=500) for _ in range(2)]
    assert (await commit(loyalty, first["id"])).status_code == 200

    refused = await commit(loyalty, second["id"])
    assert (refused.status_code, refused.json()["code"]) == (409, "order_has_price")
    assert refused.json()["quote_id"] == first["id"]
    await receive(merged(survivor, customer, uuid7()))
    third = await quote(loyalty, survivor, points=500)
    assert (await commit(loyalty, third["id"])).json()["code"] == "order_has_price"
    assert await balance(loyalty, customer) == 1501
    assert (await commit(loyalty, third["id"], "1018")).status_code == 200


async def test_what_does_not_count_is_named_with_its_code(loyalty: httpx2.AsyncClient, give: Give) -> None:
    customer = uuid7()
    await give(customer, 100)
    foreign = await coupon(loyalty, customer, currency="EUR")
    expired = await coupon(loyalty, customer, valid_until="2020-01-01T00:00:00Z")
    nobodys = await coupon(loyalty, uuid7())
    weaker = await coupon(loyalty, customer, stacking="best_of", basis_points=500)
    best = await coupon(loyalty, customer, stacking="best_of")

    named = await quote(loyalty, customer, coupons=[weaker, foreign, nobodys, best, expired], points=101)

    assert sorted(each["code"] for each in named["not_used"]) == [
        "coupon_expired",
        "coupon_not_combinable",
        "coupon_not_yours",
        "coupon_other_currency",
        "insufficient_points",
    ]
    values = {each["code"]: each["values"] for each in named["not_used"]}
    assert values["coupon_expired"] == {"valid_until": "2020-01-01T00:00:00Z"}
    assert values["insufficient_points"] == {"available": 100, "requested": 101}
    grand = await coupon(loyalty, customer, minimum=10**9, currency="USD")
    [small] = (await quote(loyalty, customer, coupons=[grand]))["not_used"]
    assert (small["code"], small["values"]) == ("basket_too_small", {"minimum": 10**9})
    assert [effect["amount"] for effect in named["effects"]] == [666]


@pytest.mark.parametrize("reverse", [False, True])
async def test_the_order_of_coupons_makes_no_difference(
    loyalty: httpx2.AsyncClient, give: Give, reverse: bool
) -> None:
    customer = uuid7()
    await give(customer, 1)
    terms: list[dict[str, Any]] = [
        {"stacking": "stackable"},
        {"stacking": "stackable", "basis_points": 2000},
        {"stacking": "best_of"},
    ]
    found = [await coupon(loyalty, customer, **each) for each in terms]
    named = await quote(loyalty, customer, coupons=found[::-1] if reverse else found)
    assert named["total"] == 6667 - 666 - 1200 - 480


async def test_a_stale_quote_is_refused_and_says_what_has_changed(
    loyalty: httpx2.AsyncClient, give: Give
) -> None:
    customer = uuid7()
    await give(customer, 100)
    tenth = {"value": "percent", "basis_points": 1000}
    await put(loyalty, "/v1/promotions/day", tenth)
    code = await coupon(loyalty, customer)
    named = await quote(loyalty, customer, coupons=[code], points=50)

    await put(loyalty, "/v1/promotions/day", tenth | {"basis_points": 900}, version=1)
    spent = await loyalty.post(f"/v1/accounts/{customer}/spend", json={"points": 60}, headers=fresh_key())
    assert spent.status_code == 201
    refused = await commit(loyalty, named["id"])

    assert (refused.status_code, refused.json()["code"]) == (409, "quote_is_stale")
    changes = {change["effect"].split()[0]: change for change in refused.json()["changes"]}
    assert changes.keys() == {"promotion", "coupon", "points"}
    assert (changes["promotion"]["was"]["version"], changes["promotion"]["is"]["version"]) == (1, 2)
    assert (changes["points"]["is"], changes["points"]["code"]) == (None, "insufficient_points")
    assert await balance(loyalty, customer) == 40
    [left] = (await loyalty.get(f"/v1/accounts/{customer}/coupons")).json()["items"]
    assert left["state"] == "issued"


async def test_a_quote_holds_for_its_minutes_and_is_forgotten_a_day_later(
    loyalty: httpx2.AsyncClient, give: Give, sessions: Sessions, clock: FrozenClock
) -> None:
    customer = uuid7()
    await give(customer, 1)
    early, late = await quote(loyalty, customer), await quote(loyalty, customer)

    clock.advance(timedelta(minutes=15, microseconds=-1))
    assert (await commit(loyalty, early["id"])).status_code == 200
    clock.advance(timedelta(microseconds=1))
    over = (await commit(loyalty, late["id"], "1018")).json()
    assert (over["code"], over["expires_at"]) == ("quote_expired", late["expires_at"])

    clock.advance(timedelta(days=1))
    assert await due.run(sessions, due_work, clock) == 2
    assert (await loyalty.get(f"/v1/quotes/{late['id']}")).status_code == 404
    assert (await loyalty.get(f"/v1/quotes/{early['id']}")).json()["state"] == "committed"


async def test_a_member_day_is_as_its_conditions_say(
    loyalty: httpx2.AsyncClient, give: Give, clock: FrozenClock
) -> None:
    customer = uuid7()
    await give(customer, 1)
    today = {"days_of_month": [clock.now().day]}
    await put(
        loyalty,
        "/v1/promotions/today",
        {"value": "percent", "basis_points": 500, "when": today, "group": "d"},
    )
    await put(loyalty, "/v1/promotions/small", {"value": "percent", "basis_points": 100, "group": "d"})
    vips = {"value": "percent", "basis_points": 5000, "when": {"levels": ["vip"]}}
    await put(loyalty, "/v1/promotions/vips", vips)

    assert [effect["rule"] for effect in (await quote(loyalty, customer))["effects"]] == ["today"]
    clock.advance(timedelta(days=1))
    assert [effect["rule"] for effect in (await quote(loyalty, customer))["effects"]] == ["small"]


async def test_a_member_day_begins_at_midnight_of_the_programme(
    loyalty: httpx2.AsyncClient, give: Give, clock: FrozenClock
) -> None:
    customer = uuid7()
    await give(customer, 1)
    kiritimati = {"time_zone": "Pacific/Kiritimati", "expiry": "never"}
    policy = await loyalty.put("/v1/programme/points-policy", json=kiritimati, headers={"If-Match": '"1"'})
    assert policy.status_code == 200, policy.text
    clock.advance(timedelta(hours=23 - clock.now().hour))  # there it is the next day already
    tomorrow = {"days_of_month": [(clock.now() + timedelta(days=1)).day]}
    await put(loyalty, "/v1/promotions/day", {"value": "percent", "basis_points": 500, "when": tomorrow})

    assert [effect["rule"] for effect in (await quote(loyalty, customer))["effects"]] == ["day"]


async def test_the_discount_of_a_tier_comes_off_before_coupons_for_as_long_as_one_has_it(
    loyalty: httpx2.AsyncClient, give: Give
) -> None:
    customer = uuid7()
    await give(customer, 1)
    ladder = {
        "basis": "orders",
        "period": {"kind": "calendar_year"},
        "tiers": [
            {"key": "silver", "names": {"en": "Silver"}, "threshold": 10},
            {"key": "gold", "names": {"en": "Gold"}, "benefits": {"discount_percent": 5}},
        ],
    }
    made = await loyalty.put("/v1/tiers", json=ladder, headers={"If-None-Match": "*"})
    assert made.status_code == 200, made.text
    code = await coupon(loyalty, customer)
    assert (await quote(loyalty, customer))["effects"] == []

    grant = {"tier": "gold", "until": "2030-01-01T00:00:00Z", "reason": "A guest of honour"}
    path = f"/v1/accounts/{customer}/tier/grant"
    granted = await loyalty.put(path, json=grant, headers=fresh_key())
    assert granted.is_success, granted.text
    named = await quote(loyalty, customer, coupons=[code])
    effects = [(effect["kind"], effect["amount"]) for effect in named["effects"]]
    assert effects == [("tier", 333), ("coupon", 633)]
    assert named["effects"][0]["rule"] == "gold"

    taken_back = await loyalty.delete(path, headers=fresh_key())
    assert taken_back.is_success, taken_back.text
    refused = await commit(loyalty, named["id"])
    assert (refused.status_code, refused.json()["code"]) == (409, "quote_is_stale")
    assert [change["effect"].split()[0] for change in refused.json()["changes"]] == ["coupon", "tier"]


async def test_how_points_pay_is_a_policy_in_versions(loyalty: httpx2.AsyncClient, give: Give) -> None:
    customer = uuid7()
    await give(customer, 10_000)
    policy = {"currency": "USD", "points": 10, "amount": 7, "max_basis_points": 5000, "quote_minutes": 5}
    path = "/v1/programme/payment-policy"
    assert (await loyalty.put(path, json=policy)).status_code == 428
    version = (await loyalty.get(path)).headers["ETag"]
    changed = await loyalty.put(path, json=policy, headers={"If-Match": version})
    assert changed.status_code == 200, changed.text

    [effect] = (await quote(loyalty, customer, points=1_005))["effects"]
    assert (effect["points"], effect["amount"]) == (1_000, 700)
    [effect] = (await quote(loyalty, customer, points=10_000))["effects"]
    assert (effect["points"], effect["amount"]) == (4_760, 3_332)
    foreign = BASKET | {"currency": "EUR"}
    [refused] = (await quote(loyalty, customer, basket=foreign, points=10))["not_used"]
    assert refused["code"] == "points_not_payable"


async def test_of_two_quotes_with_one_coupon_one_is_taken(
    committed: dict[str, Sessions], loyalty: httpx2.AsyncClient, give: Give
) -> None:
    customer = uuid7()
    await give(customer, 100)
    code = await coupon(loyalty, customer)
    named = [await quote(loyalty, customer, coupons=[code], points=10) for _ in range(20)]

    async def insist(each: dict[str, Any]) -> Answer:
        return await patiently(lambda: commit(loyalty, each["id"], each["id"]))

    answers = await asyncio.gather(*(insist(each) for each in named * 2))

    winners = {answer.json()["id"] for answer in answers if answer.status_code == 200}
    assert len(winners) == 1
    assert Counter(answer.status_code for answer in answers) == {200: 2, 409: 38}
    assert {a.json()["code"] for a in answers if a.status_code == 409} == {"quote_is_stale"}
    assert await balance(loyalty, customer) == 90
    async with committed["loyalty"]() as session:
        assert await session.scalar(text("SELECT used FROM coupon_counts")) == 1


async def test_quotes_of_who_is_erased_are_gone(
    loyalty: httpx2.AsyncClient, give: Give, receive: Receive, erased: MakeEvent
) -> None:
    customer = uuid7()
    await give(customer, 100)
    named = await quote(loyalty, customer, points=10)

    await receive(erased(customer))

    assert (await commit(loyalty, named["id"])).status_code == 404
    body = {"customer_id": str(customer), "basket": BASKET}
    refused = await loyalty.post("/v1/quotes", json=body)
    assert (refused.status_code, refused.json()["code"]) == (410, "customer_was_erased")


async def test_nobody_is_quoted_a_price_of_whom_nothing_is_known(loyalty: httpx2.AsyncClient) -> None:
    body = {"customer_id": str(uuid7()), "basket": BASKET}
    assert (await loyalty.post("/v1/quotes", json=body)).json()["code"] == "account_not_found"
