"""What plans wait for: silence, tiers, anniversaries, holidays and dates, from the day to the message."""

from collections.abc import Callable
from datetime import UTC, datetime

from tests.loyalty.care.conftest import Care, person

from crm_shared.contracts.base import Event
from crm_shared.ids import uuid7

MakeEvent = Callable[..., Event]


async def test_who_has_not_bought_for_long_is_written_to_unless_they_buy_again(
    care: Care, purchased: MakeEvent
) -> None:
    away, back = uuid7(), uuid7()
    early = datetime(2026, 2, 1, 12, tzinfo=UTC)
    await care.receive(
        person(away), person(back), purchased(away, 100, at=early), purchased(back, 100, at=early)
    )
    await care.write("miss-you", trigger={"kind": "inactivity", "days": 30})
    await care.at("2026-03-02T17:00:00Z")
    assert await care.occasions("miss-you") == [("planned", None)] * 2
    await care.receive(purchased(back, 100, at=datetime(2026, 3, 2, 20, tzinfo=UTC)))
    await care.at("2026-03-03T01:00:00Z")
    assert await care.occasions("miss-you") == [
        ("done", None),
        ("skipped", "bought_since"),
    ]
