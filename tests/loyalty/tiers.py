"""The ladder that tests climb, and what they ask of it."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx2

from crm_loyalty.handlers import due_work
from crm_shared import due
from crm_shared.contracts.loyalty import TierChanged
from crm_shared.database import Sessions
from crm_shared.testing import FrozenClock, published

Json = dict[str, Any]

LADDER: Json = {
    "basis": "net_spend",
    "currency": "USD",
    "period": {"kind": "calendar_year"},
    "grace_days": 30,
    "notice_days": 45,
    "tiers": [
        {"key": "silver", "names": {"en": "Silver"}, "threshold": 10_000},
        {
            "key": "gold",
            "names": {"en": "Gold", "zh": "金卡"},
            "threshold": 50_000,
            "benefits": {"discount_percent": 5, "texts": ["Free shipping"]},
        },
        {"key": "black", "names": {"en": "Black"}},
    ],
}
END = datetime(2027, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
NEW = {"If-None-Match": "*"}


async def tier(loyalty: httpx2.AsyncClient, customer_id: UUID) -> Json:
    answer = await loyalty.get(f"/v1/accounts/{customer_id}/tier")
    assert answer.status_code == 200, answer.text
    body: Json = answer.json()
    return body


async def told(sessions: Sessions) -> list[tuple[str | None, str | None]]:
    rows = [row for row in await published(sessions) if row.type == TierChanged.type]
    events = [TierChanged.model_validate_json(row.data) for row in rows]
    return [(event.previous, event.tier) for event in events]


async def pass_time(sessions: Sessions, clock: FrozenClock, to: datetime) -> None:
    """Every piece of due work up to then is done at its instant."""
    while True:
        async with sessions() as session:
            following = await due.next_at(session, due_work)
        if following is None or following > to:
            clock.at = to
            return
        clock.at = max(clock.at, following)
        await due.run(sessions, due_work, clock)
