"""P16: customers move through stages by what they do, each change explained and published."""

from datetime import UTC, datetime
from typing import Any

import httpx2
import pytest
from tests.capabilities.conftest import Until

from crm_shared.ids import uuid7

pytestmark = pytest.mark.capability("P16")


async def test_purchases_and_a_farewell_move_a_customer_through_the_stages(
    agent: httpx2.AsyncClient, until: Until
) -> None:
    customer = (await agent.post("/v1/customers", json={"name": "Zoë"})).json()["id"]

    async def buy(at: str = "2026-11-01T12:00:00Z") -> None:
        order = {
            "source": "shop",
            "external_id": str(uuid7()),
            "customer_id": customer,
            "occurred_at": at,
            "currency": "USD",
            "lines": [{"quantity": 1, "total": {"amount": 100, "currency": "USD"}}],
        }
        assert (await agent.post("/v1/purchases", json=order)).status_code == 201

    async def in_stage(stage: str) -> Any:
        stages = (await agent.get(f"/v1/customers/{customer}/stages")).json()
        return stages if stages["stage"] == stage else None

    await until(lambda: in_stage("awareness"))
    await buy()
    await until(lambda: in_stage("transaction"))
    await buy()
    await until(lambda: in_stage("maintenance"))
    left = await agent.post(f"/v1/customers/{customer}/exit", json={"reason": "moved"})
    assert left.status_code == 201, left.text
    stages = await until(lambda: in_stage("exit"))
    assert stages["spells"][-1]["reason"] == "moved"
    assert all(spell["explanation"] for spell in stages["spells"])
    entries = (await agent.get(f"/v1/customers/{customer}/timeline?type=stage.changed")).json()["items"]
    assert [entry["data"]["stage"] for entry in entries] == ["exit", "maintenance", "transaction"]
    reasons = (await agent.get("/v1/reports/exit-reasons", params=_of_this_year())).json()
    [moved] = [each for each in reasons["reasons"] if each["reason"] == "moved"]
    assert moved["exits"] >= 1
    assert moved["share"] == round(moved["exits"] / reasons["exits"], 4)

    await buy(datetime.now(UTC).isoformat())
    await until(lambda: in_stage("reactivation"))
    again = (await agent.get("/v1/reports/exit-reasons", params=_of_this_year())).json()
    [moved_again] = [each for each in again["reasons"] if each["reason"] == "moved"]
    assert moved_again["came_back"] == moved["came_back"] + 1


def _of_this_year() -> dict[str, str]:
    year = datetime.now(UTC).year
    return {"from": f"{year}-01-01", "to": f"{year + 1}-01-01"}


async def test_reports_name_their_numerator_and_denominator(agent: httpx2.AsyncClient) -> None:
    period = {"from": "2026-01-01", "to": "2027-01-01"}
    funnel = (await agent.get("/v1/reports/funnel", params=period)).json()
    assert "divides" in funnel["definition"]
    assert all(step["reached"] <= step["previous"] for step in funnel["steps"])
    for report in ("dwell-time", "exit-reasons"):
        answer = await agent.get(f"/v1/reports/{report}", params=period)
        assert answer.json()["definition"]
