"""What the tests of loyalty ask of accounts and of the books as a whole."""

from uuid import UUID

import httpx2
from sqlalchemy import text
from tests.patience import patiently

from crm_loyalty import reconcile
from crm_shared.database import Sessions


async def balance(loyalty: httpx2.AsyncClient, customer_id: UUID) -> int:
    return int((await loyalty.get(f"/v1/accounts/{customer_id}")).json()["balance"])


async def balances(sessions: Sessions) -> dict[UUID, tuple[int, int]]:
    """What all customers have, and what of it is held."""
    async with sessions() as session:
        rows = await session.execute(text("SELECT customer_id, balance, held FROM accounts"))
        return {row.customer_id: (row.balance, row.held) for row in rows}


async def differences(sessions: Sessions) -> list[str]:
    """What `reconcile` finds wrong."""
    async with sessions() as session:
        return await reconcile.differences(await session.connection())


async def insist(loyalty: httpx2.AsyncClient, path: str, key: str, body: object = None) -> httpx2.Response:
    """Post it, and again with the same key while there is no room for the request."""
    return await patiently(lambda: loyalty.post(path, json=body, headers={"Idempotency-Key": key}))
