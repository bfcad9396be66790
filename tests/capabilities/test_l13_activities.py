"""L13: an invitation, an answer, attendance, and points for it."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest

Until = Callable[[Callable[[], Awaitable[Any]]], Awaitable[Any]]

pytestmark = pytest.mark.capability("L13")


async def test_a_guest_answers_comes_and_gets_points(
    manager: httpx2.AsyncClient, agent: httpx2.AsyncClient, until: Until
) -> None:
    begins = datetime.now(UTC) + timedelta(days=1)
    evening = {
        "names": {"en": "A listening evening", "zh": "黑胶之夜"},
        "place": "5 Rue du Jazz",
        "starts_at": begins.isoformat(),
        "ends_at": (begins + timedelta(hours=3)).isoformat(),
        "time_zone": "Europe/Paris",
        "capacity": 1,
        "points": 120,
    }
    activity = (await manager.post("/v1/activities", json=evening)).json()["id"]
    path = f"/v1/activities/{activity}"
    guests = [(await agent.post("/v1/customers", json={"name": n})).json()["id"] for n in ("Ann", "Ben")]

    async def known() -> Any:
        return all([(await agent.get(f"/v1/accounts/{guest}")).is_success for guest in guests])

    await until(known)
    invited = await agent.post(f"{path}/invitations", json={"customer_ids": guests})
    codes = {each["customer_id"]: each["code"] for each in invited.json()["items"]}
    for guest, state in zip(guests, ("accepted", "waitlisted"), strict=True):
        answer = await agent.post(f"{path}/answers", json={"code": codes[guest], "coming": True})
        assert answer.json()["state"] == state

    there = await agent.post(f"{path}/check-ins", json={"code": codes[guests[0]]})
    assert there.status_code == 200, there.text
    absent = await agent.post(f"{path}/check-ins", json={"code": codes[guests[1]]})
    assert absent.json()["code"] == "not_on_the_guest_list"
    assert (await agent.get(f"/v1/accounts/{guests[0]}")).json()["balance"] == 120
