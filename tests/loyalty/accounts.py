"""What the tests of loyalty read of an account."""

from uuid import UUID

import httpx2


async def balance(loyalty: httpx2.AsyncClient, customer_id: UUID) -> int:
    return int((await loyalty.get(f"/v1/accounts/{customer_id}")).json()["balance"])
