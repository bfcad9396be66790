"""L15: an upheld complaint proposes points, a second person grants them within a budget; they can go back."""

from typing import Any

import httpx2
import pytest

from crm_shared.callers import Role

from .conftest import Sign, Until

pytestmark = pytest.mark.capability("L15")


async def test_an_upheld_complaint_is_compensated_by_a_second_person_and_taken_back(
    agent: httpx2.AsyncClient, manager: httpx2.AsyncClient, sign_in: Sign, until: Until
) -> None:
    supervisor = sign_in(Role.SUPERVISOR)
    policy = "/v1/programme/recovery-policy"
    terms = {"active": True, "points": {"normal": 60, "critical": 800}, "monthly_budget": 900}
    seen = (await manager.get(policy)).headers["ETag"]
    written = await manager.put(policy, json=terms, headers={"If-Match": seen})
    assert written.status_code == 200, written.text
    who = (await agent.post("/v1/customers", json={"name": "Ada"})).json()["id"]

    async def known() -> bool:
        return (await agent.get(f"/v1/accounts/{who}")).is_success

    await until(known)

    async def upheld(severity: str) -> dict[str, Any]:
        """A complaint that is right, and the compensation that comes of it."""
        matter = {"customer_id": who, "kind": "complaint", "severity": severity, "title": "It is broken"}
        ticket = (await supervisor.post("/v1/tickets", json=matter)).json()["id"]
        verdict = {"verdict": "upheld", "cause": "Packed badly"}
        judged = await supervisor.post(f"/v1/tickets/{ticket}/judge", json=verdict)
        assert judged.status_code == 200, judged.text

        async def proposed() -> Any:
            items = (await manager.get(f"/v1/recoveries?customer_id={who}&state=proposed")).json()["items"]
            return next((each for each in items if each["complaint_id"] == ticket), None)

        return dict(await until(proposed))

    small, large = await upheld("normal"), await upheld("critical")
    assert (small["points"], large["points"]) == (60, 800)

    async def decide(client: httpx2.AsyncClient, recovery: dict[str, Any], how: str) -> tuple[int, str]:
        answer = await client.post(f"/v1/recoveries/{recovery['id']}/{how}", json={})
        return answer.status_code, answer.json().get("code", answer.json().get("state"))

    async def balance() -> int:
        return int((await agent.get(f"/v1/accounts/{who}")).json()["balance"])

    assert await decide(agent, small, "approve") == (403, "role_missing")
    assert await decide(supervisor, small, "approve") == (403, "own_request")
    assert await decide(manager, small, "approve") == (200, "granted")
    assert await decide(manager, large, "approve") == (200, "granted")
    assert await balance() == 860
    another = await upheld("normal")
    assert await decide(manager, another, "approve") == (409, "recovery_budget_spent")
    assert await decide(manager, large, "reverse") == (200, "reversed")
    assert await decide(manager, large, "approve") == (409, "recovery_state_conflict")
    assert await balance() == 60
    assert await decide(manager, another, "approve") == (200, "granted")
