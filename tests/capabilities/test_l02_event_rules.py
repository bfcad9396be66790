"""L2: rules by event: what partners report and what other services tell, capped, explained, reckoned once."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest

from crm_shared.callers import Role
from crm_shared.ids import uuid7

from .conftest import Sign, Until

pytestmark = pytest.mark.capability("L2")

NOW = datetime.now(UTC)


async def customer(agent: httpx2.AsyncClient, until: Until) -> str:
    """Somebody new, whom loyalty knows."""
    who: str = (await agent.post("/v1/customers", json={"name": "Ada"})).json()["id"]

    async def known() -> bool:
        return (await agent.get(f"/v1/accounts/{who}")).is_success

    await until(known)
    return who


async def write(manager: httpx2.AsyncClient, **terms: Any) -> str:
    """A rule that gives fifty points, and its key."""
    key = f"r-{uuid7()}"
    body = {"description": key, "rate": {"kind": "fixed", "points": 50}} | terms
    answer = await manager.put(f"/v1/earning-rules/{key}", json=body, headers={"If-None-Match": "*"})
    assert answer.status_code == 200, answer.text
    return key


async def test_a_partner_reports_an_event_that_earns_what_the_dry_run_says_and_a_retry_says_the_same(
    agent: httpx2.AsyncClient, manager: httpx2.AsyncClient, sign_in: Sign, until: Until
) -> None:
    kind = f"review-{uuid7()}"
    event = {"types": [kind], "properties": [{"name": "stars", "at_least": 4}]}
    key = await write(manager, event=event, caps=[{"period": "day", "points": 70}])
    who = await customer(agent, until)
    partner = sign_in(Role.PARTNER)

    def review(**more: Any) -> dict[str, Any]:
        return {
            "type": kind,
            "customer_id": who,
            "source": "web-shop",
            "external_id": str(uuid7()),
            "occurred_at": (NOW - timedelta(minutes=1)).isoformat(),
            "properties": {"stars": 5},
        } | more

    asked = {"customer_id": who, "event": {"type": kind, "properties": {"stars": 5}}}
    expected = (await agent.post("/v1/earning-rules/evaluate", json=asked)).json()
    assert expected["points"] == 50

    body = review()
    answers = [await partner.post("/v1/earning-events", json=body) for _ in range(2)]
    second = (await partner.post("/v1/earning-events", json=review())).json()
    poor = (await partner.post("/v1/earning-events", json=review(properties={"stars": 3}))).json()

    assert [answer.status_code for answer in answers] == [201, 200]
    assert answers[0].json() == answers[1].json()
    assert answers[0].json()["explanation"] == expected["lines"]
    assert (second["points"], poor["points"]) == (20, 0)
    assert "at most 70 per customer and day" in second["explanation"][0]["text"]
    entries = (await agent.get(f"/v1/accounts/{who}/entries")).json()["items"]
    assert [(entry["amount"], entry["explanation"][0]["rule"]) for entry in entries] == [(20, key), (50, key)]


async def test_an_interaction_that_profiles_tells_of_earns_points_by_itself(
    agent: httpx2.AsyncClient, manager: httpx2.AsyncClient, until: Until
) -> None:
    purpose = f"Survey {uuid7()}"
    told = {
        "types": ["profiles.interaction.recorded"],
        "properties": [{"name": "purpose", "one_of": [purpose]}, {"name": "feedback_score", "at_least": 0}],
    }
    await write(manager, event=told)
    who = await customer(agent, until)
    call = {
        "customer_id": who,
        "channel": "call",
        "direction": "outbound",
        "purpose": purpose,
        "occurred_at": (NOW - timedelta(minutes=1)).isoformat(),
        "feedback": {"score": 9},
    }

    assert (await agent.post("/v1/interactions", json=call)).status_code == 201

    async def earned() -> Any:
        return (await agent.get(f"/v1/accounts/{who}/entries")).json()["items"]

    [entry] = await until(earned)
    assert entry["amount"] == 50
    [event] = (await agent.get(f"/v1/accounts/{who}/earning-events")).json()["items"]
    assert (event["type"], event["properties"]["feedback_score"]) == ("profiles.interaction.recorded", 9)


async def test_a_backtest_says_what_a_rule_about_events_would_have_given(
    agent: httpx2.AsyncClient, manager: httpx2.AsyncClient, until: Until
) -> None:
    kind, who = f"visit-{uuid7()}", await customer(agent, until)
    visit = {
        "type": kind,
        "customer_id": who,
        "source": "app",
        "external_id": str(uuid7()),
        "occurred_at": (NOW - timedelta(minutes=1)).isoformat(),
    }
    assert (await manager.post("/v1/earning-events", json=visit)).json()["points"] == 0
    rule = {
        "key": "visit",
        "description": "A present for a visit",
        "event": {"types": [kind]},
        "rate": {"kind": "fixed", "points": 123},
    }
    time = {"since": (NOW - timedelta(days=1)).isoformat(), "until": datetime.now(UTC).isoformat()}
    started = await manager.post("/v1/earning-rules/backtests", json=time | {"rules": [rule]})
    assert started.status_code == 202, started.text

    async def report() -> Any:
        return (await manager.get(started.headers["Location"])).json()["report"]

    assert (await until(report))["rules"]["visit"] == {"before": 0, "after": 123}
