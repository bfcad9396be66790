"""P7: a purchase makes its customer known, once, and says that it did."""

import asyncio

import httpx2
import pytest

from crm_shared.ids import uuid7

from .conftest import insist

pytestmark = pytest.mark.capability("P7")


async def test_fifty_purchases_at_once_make_their_customer_known_once(agent: httpx2.AsyncClient) -> None:
    external_id = f"c-{uuid7()}"
    customer = {"source": "till", "external_id": external_id, "name": "Zoë"}
    customer_points = [{"kind": "email", "value": f"{external_id}@example.com"}]
    line = {"quantity": 1, "total": {"amount": 500, "currency": "USD"}}
    answers = await asyncio.gather(
        *(
            insist(
                agent,
                "/v1/purchases",
                {
                    "source": "till",
                    "external_id": f"{external_id}-{number}",
                    "customer": customer | {"contact_points": customer_points},
                    "occurred_at": "2026-02-20T12:00:00Z",
                    "currency": "USD",
                    "lines": [line],
                },
            )
            for number in range(50)
        )
    )
    assert {answer.status_code for answer in answers} == {201}
    [who] = {answer.json()["customer_id"] for answer in answers}
    known = (await agent.get(f"/v1/customers/{who}")).json()
    assert (known["name"], known["source"], known["channel"]) == ("Zoë", "till", "purchase")
    assert known["version"] == 1
