"""What tests ask of pools and their members, over HTTP."""

from typing import Any
from uuid import UUID

import httpx2
import orjson

from crm_shared.database import Sessions
from crm_shared.testing import fresh_key, published


async def post(client: httpx2.AsyncClient, path: str, body: Any = None) -> httpx2.Response:
    return await client.post(path, json=body, headers=fresh_key())


async def active(loyalty: httpx2.AsyncClient, pool_id: str) -> dict[str, bool]:
    """The members, and who of them is the head."""
    found = (await loyalty.get(f"/v1/pools/{pool_id}/members?state=active")).json()["items"]
    return {member["customer_id"]: member["head"] for member in found}


async def member_of(loyalty: httpx2.AsyncClient, customer: UUID) -> dict[str, Any]:
    """The customer's newest membership."""
    path = f"/v1/accounts/{customer}/pool-memberships"
    newest: dict[str, Any] = (await loyalty.get(path)).json()["items"][0]
    return newest


async def shares(loyalty: httpx2.AsyncClient, customer: UUID) -> dict[str, int] | None:
    """Whose points the customer's pool has, as the account tells."""
    pool = (await loyalty.get(f"/v1/accounts/{customer}")).json()["pool"]
    return pool and {each["customer_id"]: each["available"] for each in pool["shares"]}


async def told(sessions: Sessions) -> list[tuple[str, str, str | None]]:
    """What was told of pools: what, of whom, and why."""
    return [
        (event.type.split(".")[2], event.key, orjson.loads(event.data).get("reason"))
        for event in await published(sessions)
        if event.type.startswith("loyalty.pool.")
    ]
