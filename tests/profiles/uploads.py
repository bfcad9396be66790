"""Files of customers, uploaded and imported as the tests of imports need it."""

from collections.abc import Awaitable, Callable
from typing import Any

import httpx2

Work = Callable[[], Awaitable[None]]
CSV = {"content-type": "text/csv"}
CUSTOMER = "profiles.customer."

GOOD = "客户编号,姓名,手机,邮箱,生日,标签\nc-1,王小明,138 1234 5678,Wang@Example.com,1988-04-12,vip;news\n"


async def upload(
    profiles: httpx2.AsyncClient, content: str | bytes, *, source: str = "shop", **query: str
) -> dict[str, Any]:
    data = content.encode() if isinstance(content, str) else content
    params = {"name": "customers.csv", "source": source, **query}
    answer = await profiles.post("/v1/imports", params=params, content=data, headers=CSV)
    assert answer.status_code == 202, answer.text
    body: dict[str, Any] = answer.json()
    assert answer.headers["location"] == f"/v1/imports/{body['id']}"
    return body


async def read(profiles: httpx2.AsyncClient, import_id: str) -> dict[str, Any]:
    body: dict[str, Any] = (await profiles.get(f"/v1/imports/{import_id}")).json()
    return body


async def imported(
    profiles: httpx2.AsyncClient, work: Work, content: str | bytes, *, region: str | None = "CN", **query: str
) -> dict[str, Any]:
    """The import once all is done, by the guessed mapping."""
    made = await upload(profiles, content, **query)
    await work()
    inspected = await read(profiles, made["id"])
    assert inspected["state"] == "ready", inspected
    mapping = inspected["mapping"] | {"region": region}
    mapped = await profiles.put(f"/v1/imports/{made['id']}/mapping", json=mapping)
    assert mapped.status_code == 200, mapped.text
    started = await profiles.post(f"/v1/imports/{made['id']}/start", json={})
    assert started.status_code == 202, started.text
    await work()
    return await read(profiles, made["id"])


async def rows(profiles: httpx2.AsyncClient, import_id: str, **query: str) -> list[dict[str, Any]]:
    answer = await profiles.get(f"/v1/imports/{import_id}/rows", params={"limit": "200", **query})
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["items"]
    return found
