"""P13: who changed what, when and from where, and the customer as of any instant."""

import httpx2
import pytest

pytestmark = pytest.mark.capability("P13")


async def test_every_change_is_told_and_the_past_can_be_read(agent: httpx2.AsyncClient) -> None:
    points = [{"kind": "social", "value": "wx:wang"}]
    first = (await agent.post("/v1/customers", json={"name": "王小明", "channel": "interview"})).json()
    path = f"/v1/customers/{first['id']}"
    await agent.patch(path, json={"name": "王大明", "contact_points": points, "source": "till"})
    await agent.patch(path, json={"tags": ["vip"]})

    rows = (await agent.get(f"{path}/history")).json()["items"]

    assert [row["version"] for row in rows] == [3, 2, 1]
    instants = [row["recorded_at"] for row in rows]
    assert instants == sorted(set(instants), reverse=True)
    assert [row["actor"] for row in rows] == [rows[0]["actor"]] * 3
    assert rows[0]["actor"]
    assert (rows[1]["source"], rows[2]["channel"]) == ("till", "interview")
    name = {"member": "name", "before": "王小明", "after": "王大明"}
    assert name in rows[1]["changes"]
    for row, expected in zip(rows, ("王大明", "王大明", "王小明"), strict=True):
        then = await agent.get(path, params={"as_of": row["recorded_at"]})
        assert (then.json()["name"], then.json()["version"]) == (expected, row["version"])
    before = await agent.get(path, params={"as_of": "2020-01-01T00:00:00Z"})
    assert (before.status_code, before.json()["code"]) == (404, "customer_not_found")
