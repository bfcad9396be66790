"""What tickets says of an upheld complaint reaches loyalty, which proposes a compensation once."""

from collections.abc import Awaitable, Callable
from uuid import UUID

import httpx2
import pytest
from tests.flows.conftest import Settle

from crm_shared.contracts.tickets import ComplaintUpheld
from crm_shared.database import Sessions
from crm_shared.ids import uuid7
from crm_shared.outbox import publish
from crm_shared.testing import FrozenClock

Customer = Callable[..., Awaitable[UUID]]

pytestmark = pytest.mark.capability("L15")


async def test_an_upheld_complaint_becomes_points_once_somebody_else_agrees(
    customer: Customer,
    settle: Settle,
    loyalty: httpx2.AsyncClient,
    stored: dict[str, Sessions],
    clock: FrozenClock,
) -> None:
    who = await customer()
    await settle()
    terms = {"active": True, "points": {"critical": 800}, "monthly_budget": 1000}
    path = "/v1/programme/recovery-policy"
    assert (await loyalty.put(path, json=terms, headers={"If-Match": '"1"'})).status_code == 200
    complaint = uuid7()
    for version in (3, 4):
        async with stored["tickets"].begin() as session:
            upheld = ComplaintUpheld(
                customer_id=who,
                version=version,
                ticket_id=complaint,
                number=1,
                kind="complaint",
                severity="critical",
                status="resolved",
                title="The piano has no strings",
                opened_at=clock.now(),
            )
            publish(session, upheld, at=clock.now())
        await settle()

    [proposed] = (await loyalty.get(f"/v1/recoveries?customer_id={who}")).json()["items"]
    key = {"Idempotency-Key": str(uuid7())}
    granted = await loyalty.post(f"/v1/recoveries/{proposed['id']}/approve", json={}, headers=key)

    assert granted.status_code == 200, granted.text
    assert (await loyalty.get(f"/v1/accounts/{who}")).json()["balance"] == 800
