"""Erasures beside imports, exports and merges: whoever comes first, nothing of the person is left."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import httpx2
import pytest
from sqlalchemy import text

from crm_profiles.customers import customers
from crm_profiles.exports import exporting
from crm_profiles.imports import importing
from crm_profiles.privacy import suppression
from crm_profiles.schemas.customers import CustomerItem
from crm_shared.database import Sessions
from crm_shared.testing import FrozenClock

Work = Callable[[], Awaitable[None]]

KEY = b"suppression of the tests, thirty-two bytes and more"
CANARY = {
    "source": "shop",
    "external_id": "canary",
    "name": "Canary",
    "contact_points": [{"kind": "email", "value": "canary@example.com"}],
}
OTHERS = [{"source": "shop", "external_id": f"{n}", "name": f"Eve {n}"} for n in range(6)]
DELAYS = [0.0, 0.05, 0.1, 0.2]
"""Seconds after which the erasure comes: before, amidst or after the other's transactions."""


async def on_file(profiles: httpx2.AsyncClient, *items: dict[str, Any]) -> str:
    """The id of the last of them."""
    answer = await profiles.post("/v1/customers/batch", json={"items": items})
    assert answer.status_code == 200, answer.text
    customer_id: str = answer.json()["items"][-1]["customer_id"]
    return customer_id


async def erase(profiles: httpx2.AsyncClient, customer_id: str, after: float = 0) -> None:
    await asyncio.sleep(after)
    answer = await profiles.post("/v1/privacy/erasures", json={"customer_id": customer_id})
    assert answer.status_code == 202, answer.text


async def refused(profiles: httpx2.AsyncClient, item: dict[str, Any]) -> bool:
    answer = (await profiles.post("/v1/customers/batch", json={"items": [item]})).json()
    return bool(answer["items"][0]["status"] == "failed")


async def tables_with(sessions: Sessions, word: str) -> set[str]:
    async with sessions() as session:
        tables = await session.scalars(
            text("SELECT quote_ident(tablename) FROM pg_tables WHERE schemaname = 'public'")
        )
        signs = {"signs": [f"%{word}%", f"%{word.encode().hex()}%"]}
        return {
            table
            for table in tables.all()
            if await session.scalar(
                text(f"SELECT count(*) FROM {table} AS t WHERE t::text ILIKE ANY(:signs)"), signs
            )
        }


async def test_a_chunk_that_has_found_nobody_suppressed_is_written_before_the_erasure(
    profiles: httpx2.AsyncClient, committed: dict[str, Sessions], clock: FrozenClock
) -> None:
    """Else it would write the person anew, who was on file when it looked."""
    customer_id = await on_file(profiles, CANARY)
    item = CustomerItem.model_validate(CANARY | {"name": "Canary of a file"})
    async with committed["profiles"].begin() as session:
        assert await suppression.refuse(session, suppression.Question.of({0: item}, key=KEY)) == {}
        erasure = asyncio.create_task(erase(profiles, customer_id))
        await asyncio.sleep(0.3)
        assert not erasure.done()
        await customers.upsert(session, [item], clock=clock)
    await erasure
    assert await tables_with(committed["profiles"], "canary") == set()
    assert await refused(profiles, CANARY)


@pytest.mark.parametrize("delay", DELAYS)
async def test_an_import_under_way_does_not_bring_an_erased_person_back(
    profiles: httpx2.AsyncClient,
    committed: dict[str, Sessions],
    work: Work,
    clock: FrozenClock,
    monkeypatch: pytest.MonkeyPatch,
    delay: float,
) -> None:
    monkeypatch.setattr(importing, "ROWS_AT_ONCE", 2)
    customer_id = await on_file(profiles, CANARY)
    path = await uploaded(profiles, customer_id, start="true")

    await asyncio.gather(work(), erase(profiles, customer_id, after=delay))
    await work()

    counts = (await profiles.get(path)).json()["job"]["counts"]
    assert counts["created"] == len(OTHERS)
    assert counts.get("updated", 0) + counts.get("suppressed", 0) + counts.get("unchanged", 0) == 2
    assert await tables_with(committed["profiles"], "canary") <= {"file_chunks", "imports"}
    assert await refused(profiles, CANARY)
    clock.advance(timedelta(days=30))
    await work()
    assert await tables_with(committed["profiles"], "canary") == set()


async def test_a_file_that_was_uploaded_before_the_erasure_does_not_bring_the_person_back(
    profiles: httpx2.AsyncClient, committed: dict[str, Sessions], work: Work
) -> None:
    """It stays until its time is up, as the receipt says: whom it names nobody knows yet."""
    customer_id = await on_file(profiles, CANARY)
    path = await uploaded(profiles, customer_id, start="false")
    await work()
    asked = await profiles.post("/v1/privacy/erasures", json={"customer_id": customer_id})
    assert "uploaded" in asked.json()["services"][0]["kept"]["files"]

    for dry_run in (True, False):
        started = await profiles.post(f"{path}/start", json={"dry_run": dry_run})
        assert started.status_code == 202, started.text
        await work()
        counts = (await profiles.get(path)).json()["job"]["counts"]
        assert counts == {"created": len(OTHERS), "suppressed": 2}
        assert await tables_with(committed["profiles"], "canary") == {"file_chunks"}
        assert b"anary" not in (await profiles.get(f"{path}/rows.csv")).content


async def uploaded(profiles: httpx2.AsyncClient, customer_id: str, *, start: str) -> str:
    """A file with the person in its last two rows, by what others call them and by our id."""
    rows = [f"{each['external_id']},{each['name']},,\n" for each in OTHERS]
    rows += ["canary,Canary of a file,canary@example.com,\n", f",Canary,,{customer_id}\n"]
    made = await profiles.post(
        "/v1/imports",
        params={"name": "c.csv", "source": "shop", "start": start},
        content="".join(["external id,name,email,customer id\n", *rows]),
        headers={"content-type": "text/csv"},
    )
    assert made.status_code == 202, made.text
    return f"/v1/imports/{made.json()['id']}"


@pytest.mark.parametrize("format", ["csv", "xlsx"])
@pytest.mark.parametrize("delay", DELAYS)
async def test_an_export_under_way_is_begun_anew_without_the_erased_person(
    profiles: httpx2.AsyncClient,
    committed: dict[str, Sessions],
    work: Work,
    monkeypatch: pytest.MonkeyPatch,
    format: str,
    delay: float,
) -> None:
    monkeypatch.setattr(exporting, "ROWS_AT_ONCE", 2)
    customer_id = await on_file(profiles, CANARY)
    await on_file(profiles, *OTHERS)
    about = await profiles.post("/v1/exports", json={"filters": {"email": "canary@example.com"}})
    made = await profiles.post("/v1/exports", json={"format": format, "filters": {"source": "shop"}})
    path = made.headers["location"]

    await asyncio.gather(work(), erase(profiles, customer_id, after=delay))
    await work()

    assert (await profiles.get(about.headers["location"])).status_code == 404
    assert (await profiles.get(path)).json()["job"]["state"] == "succeeded"
    file = await profiles.get(f"{path}/file")
    assert file.status_code in (200, 410)  # it is made anew, or was made before and is gone
    assert b"Canary" not in file.content
    assert await tables_with(committed["profiles"], "canary") == set()
    async with committed["profiles"]() as session:
        files = await session.scalar(text("SELECT count(*) FROM files"))
    assert files == (file.status_code == 200)


@pytest.mark.parametrize("erased", ["survivor", "absorbed"])
@pytest.mark.parametrize("verb", ["merge", "undo"])
async def test_a_merge_or_its_undoing_beside_an_erasure_leaves_nothing_of_the_person(
    profiles: httpx2.AsyncClient, committed: dict[str, Sessions], verb: str, erased: str
) -> None:
    for round_ in range(3):
        items = [
            {"source": "shop", "external_id": f"canary-{side}-{round_}", "name": f"Canary {side}"}
            for side in ("survivor", "absorbed")
        ]
        ids = {
            side: await on_file(profiles, item)
            for side, item in zip(("survivor", "absorbed"), items, strict=True)
        }
        body = {f"{side}_id": id for side, id in ids.items()} | {"reason": "canary"}
        key = {"Idempotency-Key": f"merge-{round_}"}
        path = "/v1/merges"
        if verb == "undo":
            made = await profiles.post("/v1/merges", json=body, headers=key)
            path, body = f"/v1/merges/{made.json()['id']}/undo", {"reason": "canary"}
        answer, _ = await asyncio.gather(
            profiles.post(path, json=body, headers=key), erase(profiles, ids[erased])
        )
        assert answer.status_code in (200, 201, 404, 409, 410), answer.text
        for customer_id in ids.values():  # the other one, too, if they are still somebody else
            await erase(profiles, customer_id)
        assert [await refused(profiles, item) for item in items] == [True, True]
    assert await tables_with(committed["profiles"], "canary") == set()
