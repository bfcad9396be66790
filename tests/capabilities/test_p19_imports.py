"""P19: files of customers are imported row by row, whatever is wrong with some, and taken back."""

import asyncio
from typing import Any

import httpx2
import pytest
from tests.capabilities.conftest import Until

from crm_local.system import System
from crm_shared.ids import uuid7

pytestmark = pytest.mark.capability("P19")

CSV = {"content-type": "text/csv"}


async def upload(
    manager: httpx2.AsyncClient, content: str, until: Until, *, source: str, **query: str
) -> dict[str, Any]:
    """The import once everything that was started has ended."""
    made = await manager.post(
        "/v1/imports",
        params={"name": "people.csv", "source": source, **query},
        content=content.encode("gb18030"),
        headers=CSV,
    )
    assert made.status_code == 202, made.text
    return await ended(manager, made.headers["location"], until)


async def ended(manager: httpx2.AsyncClient, location: str, until: Until) -> dict[str, Any]:
    async def look() -> dict[str, Any] | None:
        found: dict[str, Any] = (await manager.get(location)).json()
        done = found["job"]["state"] not in ("queued", "running") and found["state"] != "ready"
        return found if done or found["job"]["state"] == "failed" else None

    found: dict[str, Any] = await until(look)
    return found


async def finished(manager: httpx2.AsyncClient, location: str) -> dict[str, Any]:
    """The import once it is done, which the dead worker's lease puts off."""
    for _ in range(200):
        found: dict[str, Any] = (await manager.get(location)).json()
        if found["state"] == "imported":
            return found
        await asyncio.sleep(0.5)
    raise AssertionError(found)


async def test_one_bad_row_stops_nobody_and_an_import_can_be_taken_back(
    manager: httpx2.AsyncClient, until: Until
) -> None:
    source, tag = f"shop-{uuid7().hex[:12]}", uuid7().hex[:12]
    content = (
        f"会员编号,姓名,邮箱,标签\n1,王小明,{tag}.1@example.com,{tag}\n2,李四,不是邮箱,{tag}\n3,张三,,{tag}\n"
    )
    done = await upload(manager, content, until, source=source, start="true")
    assert done["layout"]["encoding"] == "gb18030"
    assert done["job"]["counts"] == {"created": 2, "failed": 1}
    [failed] = (await manager.get(f"/v1/imports/{done['id']}/rows", params={"status": "failed"})).json()[
        "items"
    ]
    assert (failed["line"], failed["faults"][0]["column"]) == (3, "邮箱")
    mend = await manager.get(f"/v1/imports/{done['id']}/rows.csv")
    assert "不是邮箱" in mend.content.decode("utf-8-sig")
    watched = await manager.get(f"/v1/imports/{done['id']}/events", headers={"accept": "text/event-stream"})
    assert "event: end" in watched.text
    assert len((await manager.get("/v1/customers", params={"tag": tag})).json()["items"]) == 2

    reverted = await manager.post(f"/v1/imports/{done['id']}/revert")
    assert reverted.status_code == 202, reverted.text
    after = await ended(manager, f"/v1/imports/{done['id']}", until)
    assert after["job"]["result"]["counts"] == {"removed": 2}
    assert (await manager.get("/v1/customers", params={"tag": tag})).json()["items"] == []


async def test_an_import_goes_on_where_a_killed_worker_left_it(
    manager: httpx2.AsyncClient, system: System, until: Until
) -> None:
    source, rows = f"shop-{uuid7().hex[:12]}", 6000
    lines = "".join(f"{number},Nr {number}\n" for number in range(rows))
    made = await manager.post(
        "/v1/imports",
        params={"name": "people.csv", "source": source, "start": "true"},
        content=f"customer number,name\n{lines}".encode(),
        headers=CSV,
    )
    location = made.headers["location"]

    async def begun() -> bool:
        return bool((await manager.get(location)).json()["job"]["counts"])

    await until(begun)
    await asyncio.to_thread(system.kill, "profiles-worker")
    found = await finished(manager, location)
    assert found["job"]["counts"] == {"created": rows}
    assert found["job"]["progress"] == {"done": rows, "total": rows}
