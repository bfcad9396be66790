"""L16: the programme's report, each number with its definition, numerator and denominator."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest

Until = Callable[[Callable[[], Awaitable[Any]]], Awaitable[Any]]

pytestmark = pytest.mark.capability("L16")


async def test_points_given_by_hand_are_a_liability_with_a_definition(
    manager: httpx2.AsyncClient, agent: httpx2.AsyncClient, until: Until
) -> None:
    who = (await agent.post("/v1/customers", json={"name": "Noor"})).json()["id"]

    async def known() -> Any:
        return (await agent.get(f"/v1/accounts/{who}")).is_success

    await until(known)
    given = await manager.post(f"/v1/accounts/{who}/adjust", json={"points": 1234, "reason": "Welcome"})
    assert given.status_code == 201, given.text

    today = datetime.now(UTC).date()
    days = {"from": str(today - timedelta(days=30)), "to": str(today)}
    report = (await manager.get("/v1/programme/report", params=days)).json()

    liability = report["liability"]
    assert liability["points"] >= 1234
    assert sum(part["points"] for part in liability["parts"]) == liability["points"]
    origins = {part["origin"]: part["points"] for part in report["given"]["parts"]}
    assert origins["adjustments"] >= 1234
    assert sum(origins.values()) == report["given"]["points"] == report["redemption"]["denominator"]
    shares = [report[name] for name in ("breakage", "redemption", "active_members")]
    for figure in (*shares, *report["repeat_rate"]):
        assert figure["definition"]
        if figure["denominator"]:
            assert figure["rate"] == round(figure["numerator"] / figure["denominator"], 4)
