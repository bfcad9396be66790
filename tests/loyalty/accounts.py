"""What the tests of loyalty ask of accounts and of the books as a whole."""

from uuid import UUID

import httpx2

from crm_loyalty import reconcile
from crm_shared.database import Sessions


async def balance(loyalty: httpx2.AsyncClient, customer_id: UUID) -> int:
    return int((await loyalty.get(f"/v1/accounts/{customer_id}")).json()["balance"])


async def differences(sessions: Sessions) -> list[str]:
    """What `reconcile` finds wrong."""
    async with sessions() as session:
        return await reconcile.differences(await session.connection())
