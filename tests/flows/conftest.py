"""Stories across services in one process: what one publishes is handed to the handlers of all the others."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any
from uuid import UUID

import httpx2
import pytest

from crm_loyalty.handlers import subscriptions as loyalty_listens
from crm_profiles.handlers import subscriptions as profiles_listens
from crm_segmentation.handlers import subscriptions as segmentation_listens
from crm_shared.database import Sessions
from crm_shared.testing import FrozenClock, deliver
from crm_tickets.handlers import subscriptions as tickets_listens

LISTENERS = {
    "profiles": profiles_listens,
    "segmentation": segmentation_listens,
    "tickets": tickets_listens,
    "loyalty": loyalty_listens,
}

Settle = Callable[[], Awaitable[None]]


@pytest.fixture
def settle(stored: dict[str, Sessions], clock: FrozenClock) -> Settle:
    """Deliver everything to everybody until nothing new comes of it."""

    async def until_quiet() -> None:
        delivered = True
        while delivered:
            delivered = False
            for source in LISTENERS:
                for target, subscriptions in LISTENERS.items():
                    if source != target:
                        events = await deliver(
                            stored[source],
                            stored[target],
                            subscriptions,
                            consumer=target,
                            at=clock.now(),
                        )
                        delivered = delivered or bool(events)

    return until_quiet


@pytest.fixture
def customer(profiles: httpx2.AsyncClient) -> Callable[..., Awaitable[UUID]]:
    """Makes customers: `await customer("王小明")`."""

    async def make(name: str = "王小明", **fields: Any) -> UUID:
        response = await profiles.post("/v1/customers", json={"name": name, **fields})
        assert response.status_code == 201, response.text
        return UUID(response.json()["id"])

    return make


@pytest.fixture
def purchase(profiles: httpx2.AsyncClient) -> Callable[..., Awaitable[None]]:
    """Records purchases: `await purchase(customer_id, cents=2933, at=…)`; each has a number of its own."""
    numbers = iter(range(1, 1_000_000))

    async def record(customer_id: UUID, cents: int, at: datetime) -> None:
        money = {"amount": cents, "currency": "USD"}
        response = await profiles.post(
            "/v1/purchases",
            json={
                "source": "shop",
                "external_id": f"order-{next(numbers)}",
                "customer_id": str(customer_id),
                "occurred_at": at.isoformat(),
                "currency": "USD",
                "lines": [{"product": "CD", "quantity": 1, "total": money}],
            },
        )
        assert response.status_code == 201, response.text

    return record
