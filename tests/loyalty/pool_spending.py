"""How members spend what a pool has, over HTTP."""

from typing import Any
from uuid import UUID

import httpx2

from crm_shared.testing import fresh_key


async def post(client: httpx2.AsyncClient, path: str, body: Any = None) -> httpx2.Response:
    return await client.post(path, json=body, headers=fresh_key())


async def spend(loyalty: httpx2.AsyncClient, customer: UUID, points: int) -> httpx2.Response:
    return await post(loyalty, f"/v1/accounts/{customer}/spend", {"points": points})


async def hold(loyalty: httpx2.AsyncClient, customer: UUID, points: int) -> httpx2.Response:
    return await post(loyalty, f"/v1/accounts/{customer}/holds", {"points": points, "expires_in": 600})


async def leave(loyalty: httpx2.AsyncClient, pool_id: str, customer: UUID) -> None:
    mine = (await loyalty.get(f"/v1/accounts/{customer}/pool-memberships")).json()["items"][0]
    answer = await post(loyalty, f"/v1/pools/{pool_id}/members/{mine['id']}/leave")
    assert answer.is_success, answer.text


async def account(loyalty: httpx2.AsyncClient, customer: UUID) -> dict[str, Any]:
    found: dict[str, Any] = (await loyalty.get(f"/v1/accounts/{customer}")).json()
    return found


async def lots(loyalty: httpx2.AsyncClient, customer: UUID) -> dict[str, int]:
    found = (await loyalty.get(f"/v1/accounts/{customer}/lots")).json()["items"]
    return {lot["id"]: lot["remaining"] for lot in found}
