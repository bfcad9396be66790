"""What a shop and its staff ask of coupons, over HTTP."""

from typing import Any
from uuid import UUID

import httpx2
from tests.patience import patiently

from crm_shared.ids import uuid7
from crm_shared.testing import fresh_key

Answer = httpx2.Response

TENTH: dict[str, Any] = {"names": {"en": "A tenth off"}, "value": "percent", "basis_points": 1000}
BASKET = {"currency": "USD", "lines": [{"price": 2000, "quantity": 2, "category": "records"}]}


async def make_series(loyalty: httpx2.AsyncClient, **terms: Any) -> str:
    name = f"s-{uuid7().hex}"
    put = await loyalty.put(f"/v1/coupon-series/{name}", json=TENTH | terms, headers={"If-None-Match": "*"})
    assert put.status_code == 200, put.text
    return name


async def issue(loyalty: httpx2.AsyncClient, customer: UUID, **terms: Any) -> str:
    """The code of a coupon that is the customer's own."""
    return await issue_of(loyalty, customer, await make_series(loyalty, **terms))


async def issue_of(loyalty: httpx2.AsyncClient, customer: UUID, series: str) -> str:
    body = {"customer_ids": [str(customer)]}
    made = await loyalty.post(f"/v1/coupon-series/{series}/coupons", json=body, headers=fresh_key())
    assert made.status_code == 201, made.text
    assert made.json()["items"][0]["code"] is None
    listed = await loyalty.get(f"/v1/accounts/{customer}/coupons")
    return str(listed.json()["items"][0]["code"])


async def ask(
    loyalty: httpx2.AsyncClient, what: str, code: str, customer: UUID, order: str = "1017", **more: Any
) -> Answer:
    body = {
        "code": code,
        "customer_id": str(customer),
        "order": {"source": "shop", "external_id": order},
        "basket": BASKET,
    }
    return await loyalty.post(f"/v1/coupons/{what}", json=body | more, headers=fresh_key())


async def end(loyalty: httpx2.AsyncClient, use: str, how: str) -> Answer:
    return await loyalty.post(f"/v1/coupon-uses/{use}/{how}", headers=fresh_key())


async def insist(loyalty: httpx2.AsyncClient, what: str, code: str, customer: UUID, order: str) -> Answer:
    return await patiently(lambda: ask(loyalty, what, code, customer, order))
