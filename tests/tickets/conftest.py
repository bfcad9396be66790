"""What the tests of tickets share: a ticket to begin with, and events as others would send them."""

from collections.abc import Awaitable, Callable
from datetime import date
from typing import Any
from uuid import UUID

import httpx2
import pytest

from crm_shared.contracts.base import Event
from crm_shared.contracts.profiles import CustomerCreated
from crm_shared.contracts.segmentation import Level, LevelChanged
from crm_shared.database import Sessions
from crm_shared.testing import FrozenClock, arrived, handle
from crm_tickets.handlers import subscriptions

Json = dict[str, Any]
Arrive = Callable[..., Awaitable[None]]
Open = Callable[..., Awaitable[Json]]


def named(customer_id: UUID, name: str, version: int = 1) -> CustomerCreated:
    return CustomerCreated(customer_id=customer_id, version=version, name=name)


def levelled(customer_id: UUID, level: str, version: int = 1) -> LevelChanged:
    return LevelChanged(
        customer_id=customer_id,
        version=version,
        level=Level(level),
        reason="so it is",
        thresholds_version=1,
        business_day=date(2026, 3, 2),
    )


@pytest.fixture
def sessions(stored: dict[str, Sessions]) -> Sessions:
    """Tickets'."""
    return stored["tickets"]


@pytest.fixture
def arrive(sessions: Sessions, clock: FrozenClock) -> Arrive:
    """Events from elsewhere reach tickets, in one poll."""

    async def send(*events: Event) -> None:
        async with sessions.begin() as session:
            await handle(session, subscriptions, [arrived(event) for event in events], at=clock.now())

    return send


@pytest.fixture
def open_ticket(tickets: httpx2.AsyncClient) -> Open:
    """A complaint, unless something else is said."""

    async def post(customer_id: UUID, **fields: str) -> Json:
        body = {"customer_id": str(customer_id), "kind": "complaint", "title": "It broke"} | fields
        response = await tickets.post("/v1/tickets", json=body)
        assert response.status_code == 201, response.text
        ticket: Json = response.json()
        return ticket

    return post
