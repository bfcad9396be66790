"""The programme's report as tests ask for it."""

from typing import Any

import httpx2


async def report(loyalty: httpx2.AsyncClient, first: str, last: str) -> dict[str, Any]:
    answer = await loyalty.get(f"/v1/programme/report?from={first}&to={last}")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def given(loyalty: httpx2.AsyncClient) -> dict[str, int]:
    """What points were given for in these years, as far as any were."""
    found = (await report(loyalty, "2024-01-01", "2028-12-31"))["given"]
    parts = {part["origin"]: part["points"] for part in found["parts"] if part["points"]}
    assert all(part["definition"] for part in found["parts"])
    assert sum(parts.values()) == found["points"]
    return parts
