"""L12: a care plan's dry run lists who would be reached, when, and why not; nothing happens."""

from collections.abc import Awaitable, Callable
from typing import Any

import httpx2
import pytest

from crm_shared.ids import uuid7

Until = Callable[[Callable[[], Awaitable[Any]]], Awaitable[Any]]

pytestmark = pytest.mark.capability("L12")


async def test_a_dry_run_says_who_and_why(
    agent: httpx2.AsyncClient, manager: httpx2.AsyncClient, until: Until
) -> None:
    mark = uuid7().hex
    ids = []
    for contacts in ([{"kind": "email", "value": f"{mark}@shop.example"}], []):
        body = {
            "name": "Ana",
            "tags": [mark],
            "birth_date": "1992-02-29",
            "time_zone": "Europe/Madrid",
            "contact_points": contacts,
        }
        ids.append((await agent.post("/v1/customers", json=body)).json()["id"])
    new = {"If-None-Match": "*"}
    text = {"language": "en", "channel": "email", "subject": "Hi", "text": "Hello {{ name }}"}
    template = {"default_language": "en", "texts": [text]}
    await manager.put(f"/v1/care/templates/t{mark}", json=template, headers=new)
    plan = {
        "names": {"en": "Birthday"},
        "trigger": {"kind": "birthday", "birthdays": {"leap_day": "march_1"}},
        "audience": {"tags": [mark]},
        "action": {"message": {"template": f"t{mark}", "channel": "email"}},
        "max_per_year": 1,
        "budget": 100,
    }
    answer = await manager.put(f"/v1/care/plans/p{mark}", json=plan, headers=new)
    assert answer.status_code == 200, answer.text

    async def tried() -> Any:
        found = await agent.post(f"/v1/care/plans/p{mark}/dry-run?on=2027-03-01")
        items = {each["customer_id"]: each for each in found.json()["items"]}
        return items if items.keys() == set(ids) else None

    found = await until(tried)
    assert (found[ids[0]]["outcome"], found[ids[0]]["at"]) == ("act", "2027-03-01T08:00:00Z")
    assert (found[ids[1]]["outcome"], found[ids[1]]["reason"]) == ("skip", "no_address")
    report = (await agent.get(f"/v1/care/plans/p{mark}/report")).json()
    assert report["done"]["value"] == 0
    assert report["done"]["definition"]
