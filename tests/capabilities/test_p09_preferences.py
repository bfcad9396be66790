"""P9: what a customer states and what is inferred are kept apart, each with source, confidence and date."""

import httpx2
import pytest

pytestmark = pytest.mark.capability("P9")


async def test_stated_and_inferred_preferences_are_kept_apart(agent: httpx2.AsyncClient) -> None:
    customer = (await agent.post("/v1/customers", json={"name": "Zoë"})).json()["id"]
    path = f"/v1/customers/{customer}/preferences"
    await agent.put(f"{path}/music", json={"value": "jazz", "source": "interview"})
    inferred = {"kind": "inferred", "value": "rock", "source": "model", "confidence": 0.6}
    await agent.put(f"{path}/music", json=inferred)
    items = (await agent.get(path)).json()["items"]
    assert [(item["kind"], item["value"], item["source"], item["confidence"]) for item in items] == [
        ("stated", "jazz", "interview", None),
        ("inferred", "rock", "model", 0.6),
    ]
    assert all(item["known_at"] for item in items)
