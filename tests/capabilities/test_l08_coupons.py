"""L8: coupons that nobody guesses, each used once, and given back when their order is refunded."""

import asyncio
from collections import Counter
from typing import Any

import httpx2
import pytest

from crm_shared.ids import uuid7

from .conftest import Until, insist

pytestmark = pytest.mark.capability("L8")

BASKET = {"currency": "USD", "lines": [{"price": 2000, "quantity": 2, "category": "records"}]}


async def test_a_coupon_is_used_once_and_comes_back_with_a_refund(
    agent: httpx2.AsyncClient, manager: httpx2.AsyncClient, until: Until
) -> None:
    who = (await agent.post("/v1/customers", json={"name": "Ada"})).json()["id"]
    series = f"/v1/coupon-series/tenth-{uuid7().hex}"
    terms = {"names": {"en": "A tenth off"}, "value": "percent", "basis_points": 1000, "on_refund": "keep"}
    await manager.put(series, json=terms, headers={"If-None-Match": "*"})
    issued = await agent.post(f"{series}/coupons", json={"customer_ids": [who]})
    assert issued.status_code == 201, issued.text
    [coupon] = (await agent.get(f"/v1/accounts/{who}/coupons")).json()["items"]

    def use(order: str) -> dict[str, Any]:
        named = {"source": "shop", "external_id": order}
        return {"code": coupon["code"], "customer_id": who, "order": named, "basket": BASKET}

    verdict = (await agent.post("/v1/coupons/check", json=use("x"))).json()
    assert (verdict["usable"], verdict["discount"]["amount"]) == (True, 400)
    orders = [str(uuid7()) for _ in range(100)]
    answers = await asyncio.gather(*(insist(agent, "/v1/coupons/redeem", use(order)) for order in orders))
    assert Counter(answer.status_code for answer in answers) == {201: 1, 409: 99}
    order = next(answer.json()["order_id"] for answer in answers if answer.status_code == 201)

    total = {"amount": 3600, "currency": "USD"}
    purchase = {
        "source": "shop",
        "external_id": order,
        "customer_id": who,
        "occurred_at": "2026-02-27T12:00:00Z",
        "currency": "USD",
        "lines": [{"quantity": 1, "total": total}],
    }
    bought = await agent.post("/v1/purchases", json=purchase)
    assert bought.status_code == 201, bought.text
    back = {"external_id": "back", "occurred_at": "2026-02-28T12:00:00Z", "source": "shop"}
    refunded = await agent.post(f"/v1/purchases/{bought.json()['id']}/refunds", json=back)
    assert refunded.status_code == 201, refunded.text

    async def usable() -> bool:
        return bool((await agent.post("/v1/coupons/check", json=use("another"))).json()["usable"])

    await until(usable)


async def test_many_coupons_are_issued_in_the_background_and_guesses_are_refused(
    manager: httpx2.AsyncClient, until: Until
) -> None:
    series = f"/v1/coupon-series/many-{uuid7().hex}"
    terms = {"names": {"en": "5 off"}, "value": "amount", "amount": 500, "currency": "USD"}
    await manager.put(series, json=terms, headers={"If-None-Match": "*"})
    batch = await manager.post(f"{series}/batches", json={"count": 12_000})
    where = batch.headers["Location"]

    async def done() -> bool:
        return bool((await manager.get(where)).json()["state"] == "succeeded")

    await until(done)
    coupons = (await manager.get(f"{where}/coupons", params={"limit": 200})).json()["items"]
    assert len({coupon["code"] for coupon in coupons}) == 200
    code = coupons[0]["code"]
    swapped = code[1] + code[0] + code[2:] if code[0] != code[1] else code[:-1] + "?"
    use = {"customer_id": str(uuid7()), "order": {"source": "s", "external_id": "1"}, "basket": BASKET}
    wrong = await manager.post("/v1/coupons/redeem", json=use | {"code": swapped})
    assert (wrong.status_code, wrong.json()["code"]) == (422, "invalid_coupon_code")
    assert (await manager.post("/v1/coupons/redeem", json=use | {"code": code})).status_code == 201
