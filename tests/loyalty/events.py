"""Events that may earn points, as partners report them and services publish them."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import httpx2

from crm_shared.contracts.base import Event
from crm_shared.contracts.profiles import InteractionRecorded
from crm_shared.contracts.tickets import TicketOpened, TicketResolved
from crm_shared.ids import uuid7
from crm_shared.testing import arrived

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
FIFTY: dict[str, Any] = {"kind": "fixed", "points": 50}
REVIEWS: dict[str, Any] = {"types": ["review_written"]}


def review(customer_id: UUID, **more: Any) -> dict[str, Any]:
    return {
        "type": "review_written",
        "customer_id": str(customer_id),
        "source": "web-shop",
        "external_id": str(uuid7()),
        "occurred_at": NOON.isoformat(),
        "properties": {"stars": 5, "with_photo": True},
    } | more


def talk(customer_id: UUID, score: int | None = None) -> Event:
    return arrived(
        InteractionRecorded(
            customer_id=customer_id,
            version=1,
            interaction_id=uuid7(),
            channel="call",
            direction="inbound",
            occurred_at=NOON,
            feedback_score=score,
        )
    )


async def report(loyalty: httpx2.AsyncClient, body: dict[str, Any], status: int = 201) -> Any:
    answer = await loyalty.post("/v1/earning-events", json=body)
    assert answer.status_code == status, answer.text
    return answer.json()


def ticket(customer_id: UUID, kind: str, *, resolved: bool = False, ticket_id: UUID | None = None) -> Event:
    made = TicketResolved if resolved else TicketOpened
    return arrived(
        made(
            customer_id=customer_id,
            version=2 if resolved else 1,
            ticket_id=ticket_id or uuid7(),
            number=1,
            kind=kind,
            severity="normal",
            status="resolved" if resolved else "open",
            title="An idea",
            opened_at=NOON,
        )
    )
