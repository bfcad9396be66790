"""What plans give and write happens once, however many workers there are and whenever they die."""

import asyncio
from datetime import UTC, datetime

from tests.loyalty.care.conftest import Care, person

from crm_shared.database import Sessions
from crm_shared.ids import uuid7


async def test_two_workers_at_once_greet_everybody_once(care: Care, committed: dict[str, Sessions]) -> None:
    people = [uuid7() for _ in range(40)]
    await care.receive(*(person(who) for who in people))
    await care.write()
    care.clock.at = datetime(2026, 3, 3, 1, tzinfo=UTC)
    await asyncio.gather(care.turn(), care.turn(), care.turn())
    assert sorted(item["customer_id"] for item in await care.mailbox()) == sorted(map(str, people))
    for who in people[:3]:
        assert await care.balance(who) == 1200
