"""L9: what a basket costs with promotion, coupon and points; what was named is what is taken."""

import httpx2
import pytest

from crm_shared.ids import uuid7

from .conftest import Until

pytestmark = pytest.mark.capability("L9")

TENTH = {"names": {"en": "A tenth off"}, "value": "percent", "basis_points": 1000}
NEW = {"If-None-Match": "*"}


async def test_the_named_price_is_taken_or_refused_with_what_has_changed(
    agent: httpx2.AsyncClient, manager: httpx2.AsyncClient, until: Until
) -> None:
    who = (await agent.post("/v1/customers", json={"name": "Ada"})).json()["id"]

    async def account() -> bool:
        return (await agent.get(f"/v1/accounts/{who}")).status_code == 200

    await until(account)
    await manager.post(f"/v1/accounts/{who}/adjust", json={"points": 1000, "reason": "welcome"})
    name = uuid7().hex
    promotion, series = f"/v1/promotions/day-{name}", f"/v1/coupon-series/tenth-{name}"
    mine = {"when": {"products": [name]}}
    assert (await manager.put(promotion, json=TENTH | mine, headers=NEW)).status_code == 200
    await manager.put(series, json=TENTH, headers=NEW)
    await agent.post(f"{series}/coupons", json={"customer_ids": [who]})
    [coupon] = (await agent.get(f"/v1/accounts/{who}/coupons")).json()["items"]
    basket = {"currency": "USD", "lines": [{"price": 9999, "product": name}, {"price": 1, "quantity": 3}]}
    wish = {"customer_id": who, "basket": basket, "coupons": [coupon["code"]], "points": 500}

    first = (await agent.post("/v1/quotes", json=wish)).json()
    second = (await agent.post("/v1/quotes", json=wish)).json()
    assert [effect["kind"] for effect in first["effects"]] == ["promotion", "coupon", "points"]
    assert first["subtotal"] - sum(effect["amount"] for effect in first["effects"]) == first["total"]
    assert sum(first["lines"]) == first["total"]
    assert first["points_to_earn"] > 0

    order = {"order": {"source": "shop", "external_id": str(uuid7())}}
    taken = await agent.post(f"/v1/quotes/{first['id']}/commit", json=order)
    assert (taken.status_code, taken.json()["total"]) == (200, first["total"])
    twice = await agent.post(f"/v1/quotes/{second['id']}/commit", json=order)
    assert (twice.status_code, twice.json()["code"]) == (409, "order_has_price")
    order["order"]["external_id"] = str(uuid7())
    stale = await agent.post(f"/v1/quotes/{second['id']}/commit", json=order)
    assert (stale.status_code, stale.json()["code"]) == (409, "quote_is_stale")
    codes = [change["code"] for change in stale.json()["changes"]]
    assert "coupon_already_redeemed" in codes
    assert (await agent.get(f"/v1/accounts/{who}")).json()["balance"] == 500

    reason = {"reason": "the card was declined"}
    released = await agent.post(f"/v1/quotes/{first['id']}/release", json=reason)
    assert (released.status_code, released.json()["state"]) == (200, "released")
    assert (await agent.get(f"/v1/accounts/{who}")).json()["balance"] == 1000
    again = await agent.post(f"/v1/quotes/{first['id']}/release", json=reason)
    assert (again.status_code, again.json()["code"]) == (409, "quote_released")
    assert (await agent.post(f"/v1/quotes/{second['id']}/commit", json=order)).status_code == 200
