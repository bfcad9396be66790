"""What the tests of segmentation share: events as profiles would send them, and one who handles them."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from itertools import count
from uuid import UUID

import httpx2
import pytest

from crm_segmentation.handlers import due_work, jobs, subscriptions
from crm_shared import due
from crm_shared import jobs as job_runner
from crm_shared.contracts.base import Event, Money
from crm_shared.contracts.profiles import CustomerCreated, PurchaseLineState, PurchaseRecorded
from crm_shared.database import Sessions
from crm_shared.ids import uuid7
from crm_shared.testing import FrozenClock, arrived, handle

Arrive = Callable[..., Awaitable[None]]
_numbers = count(1)


def purchase(customer_id: UUID, on: str, cents: int, currency: str = "USD") -> PurchaseRecorded:
    """A purchase at noon UTC of that day."""
    total = Money(amount=cents, currency=currency)
    return PurchaseRecorded(
        customer_id=customer_id,
        version=1,
        purchase_id=uuid7(),
        source="test",
        external_id=str(next(_numbers)),
        occurred_at=datetime.fromisoformat(f"{on}T12:00:00+00:00"),
        total=total,
        lines=[PurchaseLineState(line=1, quantity=1, total=total)],
    )


def created(customer_id: UUID, version: int = 1) -> CustomerCreated:
    return CustomerCreated(customer_id=customer_id, version=version, name="Ann")


async def take(sessions: Sessions, clock: FrozenClock, *events: Event) -> None:
    """Let segmentation's worker handle these events in one poll."""
    async with sessions.begin() as session:
        await handle(session, subscriptions, [arrived(event) for event in events], at=clock.now())


@pytest.fixture
def sessions(stored: dict[str, Sessions]) -> Sessions:
    """Segmentation's."""
    return stored["segmentation"]


@pytest.fixture
def arrive(sessions: Sessions, clock: FrozenClock) -> Arrive:
    """Events from elsewhere reach segmentation."""

    async def send(*events: Event) -> None:
        await take(sessions, clock, *events)

    return send


@pytest.fixture
def work(sessions: Sessions, clock: FrozenClock) -> Callable[[], Awaitable[None]]:
    """The worker does what is due and the jobs that wait."""

    async def run() -> None:
        while await due.run(sessions, due_work, clock):
            pass
        while await job_runner.run(sessions, jobs, clock):
            pass

    return run


@pytest.fixture
def rfm(segmentation: httpx2.AsyncClient) -> Callable[[UUID], Awaitable[dict[str, object]]]:
    """The customer's value, as anybody may read it."""

    async def read(customer_id: UUID) -> dict[str, object]:
        response = await segmentation.get(f"/v1/rfm/{customer_id}")
        assert response.status_code == 200, response.text
        body: dict[str, object] = response.json()
        return body

    return read
