"""Customers merged, read and sold to, as the tests of merges need it."""

from collections.abc import Awaitable, Callable
from typing import Any
from uuid import uuid4

import httpx2

from crm_shared.testing import fresh_key

Make = Callable[..., Awaitable[dict[str, Any]]]


async def merge(
    profiles: httpx2.AsyncClient, survivor: dict[str, Any], absorbed: dict[str, Any], **members: Any
) -> httpx2.Response:
    body = {"survivor_id": survivor["id"], "absorbed_id": absorbed["id"], **members}
    return await profiles.post("/v1/merges", json=body, headers=fresh_key())


async def merged(
    profiles: httpx2.AsyncClient, survivor: dict[str, Any], absorbed: dict[str, Any], **members: Any
) -> str:
    answer = await merge(profiles, survivor, absorbed, **members)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


async def undone(profiles: httpx2.AsyncClient, merge_id: str) -> dict[str, Any]:
    answer = await profiles.post(f"/v1/merges/{merge_id}/undo", json={})
    assert answer.status_code == 200, answer.text
    outcome: dict[str, Any] = answer.json()["undone"]
    return outcome


async def read(profiles: httpx2.AsyncClient, customer: dict[str, Any]) -> dict[str, Any]:
    """The customer, without what every write changes."""
    answer = await profiles.get(f"/v1/customers/{customer['id']}")
    assert answer.status_code == 200, answer.text
    return {name: value for name, value in answer.json().items() if name not in ("version", "updated_at")}


async def buy(profiles: httpx2.AsyncClient, customer: dict[str, Any], cents: int = 500) -> None:
    order = {
        "source": "shop",
        "external_id": str(uuid4()),
        "customer_id": customer["id"],
        "occurred_at": "2026-02-01T12:00:00Z",
        "currency": "USD",
        "lines": [{"quantity": 1, "total": {"amount": cents, "currency": "USD"}}],
    }
    answer = await profiles.post("/v1/purchases", json=order)
    assert answer.status_code == 201, answer.text


async def purchases(profiles: httpx2.AsyncClient, customer: dict[str, Any]) -> int:
    return len((await profiles.get(f"/v1/customers/{customer['id']}/purchases")).json()["items"])
