"""The events that are sent: purchases, as many as wanted, each naming its place in the order of all."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from tests.bench.data import customer_id

from crm_shared.contracts.base import Money
from crm_shared.contracts.profiles import PurchaseLineState, PurchaseRecorded
from crm_shared.ids import uuid7
from crm_shared.messaging.envelope import Message, Stored, encode

KEYS = 10_000
"""So many customers buy in turn."""

COLUMNS = ("id", "type", "key", "subject", "version", "data", "time", "traceparent", "actor")


def rows(first: int, count: int) -> Iterator[tuple[Any, ...]]:
    """Rows for the outbox, as `publish` makes them; `version` is the purchase's number, from `first` on."""
    at = datetime.now(UTC)
    for number in range(first, first + count):
        id = uuid7()
        event = _purchase(number, id, at)
        trace = f"00-{id.hex}-{id.hex[:16]}-01"
        yield (id, event.type, event.key, event.subject, number, event.model_dump_json(), at, trace, "bench")


def message(row: tuple[Any, ...], topic: str) -> Message:
    """What the relay would make of the row."""
    id, type, key, subject, version, data, time, traceparent, actor = row
    return encode(Stored(0, id, type, key, subject, version, data, time, traceparent, None, actor), topic)


def _purchase(number: int, id: UUID, at: datetime) -> PurchaseRecorded:
    total = Money(amount=2933, currency="USD")
    return PurchaseRecorded(
        customer_id=customer_id(number % KEYS),
        version=number,
        purchase_id=id,
        source="bench",
        external_id=f"order-{number}",
        occurred_at=at,
        total=total,
        lines=[PurchaseLineState(line=1, product="CD", quantity=1, total=total)],
    )
