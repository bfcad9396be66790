"""Files as people and adversaries send them, and imports that are watched, disturbed and large."""

import asyncio
import io
import tracemalloc
from collections.abc import Awaitable, Callable
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile

import httpx2
import orjson
import pytest
from sqlalchemy import func, select

from crm_profiles.imports import importing
from crm_profiles.models.customers import Customer
from crm_shared.customers import stop_writers
from crm_shared.database import Json, Sessions
from crm_shared.testing import FrozenClock

Work = Callable[[], Awaitable[None]]

MIB = 1024 * 1024


async def upload(profiles: httpx2.AsyncClient, content: bytes, **query: str) -> str:
    made = await profiles.post(
        "/v1/imports",
        params={"name": "people.csv", "source": "shop", **query},
        content=content,
        headers={"content-type": "text/csv"},
    )
    assert made.status_code == 202, made.text
    return str(made.headers["location"])


async def read(profiles: httpx2.AsyncClient, path: str) -> Json:
    found: Json = (await profiles.get(path)).json()
    return found


async def rows(profiles: httpx2.AsyncClient, path: str) -> list[Json]:
    items: list[Json] = (await profiles.get(f"{path}/rows", params={"limit": 200})).json()["items"]
    return items


@pytest.mark.parametrize(
    ("codec", "encoding", "name"),
    [
        ("utf-8", "utf-8", "Zoë 王小明"),
        ("utf-8-sig", "utf-8", "Zoë 王小明"),
        ("utf-16", "utf-16", "Zoë 王小明"),
        ("utf-16-be", "utf-16", "Zoë 王小明"),
        ("gb18030", "gb18030", "欧阳明月"),
        ("latin-1", "latin-1", "José Ibáñez"),
    ],
)
async def test_names_arrive_as_they_were_written_in_whichever_encoding(
    profiles: httpx2.AsyncClient, work: Work, codec: str, encoding: str, name: str
) -> None:
    content = f"customer number,name\n1,{name}\n"
    if codec == "utf-16-be":
        content = "\ufeff" + content
    path = await upload(profiles, content.encode(codec), start="true")
    await work()
    found = await read(profiles, path)
    assert (found["state"], found["layout"]["encoding"]) == ("imported", encoding)
    assert found["layout"]["header"] == ["customer number", "name"]
    [row] = await rows(profiles, path)
    assert (await profiles.get(f"/v1/customers/{row['customer_id']}")).json()["name"] == name


async def test_a_quote_that_nobody_closes_costs_the_rows_behind_it_and_no_others(
    profiles: httpx2.AsyncClient, work: Work
) -> None:
    content = 'id,name,email\n1,Ann,a@example.com\n2,"Bob,b@example.com\n3,Cid,c@example.com\n'
    path = await upload(profiles, content.encode(), start="true")
    await work()
    found = await read(profiles, path)
    assert found["job"]["counts"]["created"] >= 1
    first = (await rows(profiles, path))[0]
    assert (first["line"], first["status"]) == (2, "created")
    assert sum(found["job"]["counts"].values()) == 2
    names = {each["name"] for each in (await profiles.get("/v1/customers")).json()["items"]}
    assert "Cid" not in names


async def test_columns_of_one_name_are_told_apart_by_their_places(
    profiles: httpx2.AsyncClient, work: Work
) -> None:
    path = await upload(profiles, b"id,name,name,,phone,phone\n1,Ann,Miller,x,+12125550100,+12125550101\n")
    await work()
    found = await read(profiles, path)
    assert found["layout"]["header"] == ["id", "name", "name", "", "phone", "phone"]
    columns = [
        {"column": 0, "to": "external_id"},
        {"column": 1, "to": "given_name"},
        {"column": 2, "to": "family_name"},
        {"column": 4, "to": "phone"},
        {"column": 5, "to": "phone"},
    ]
    mapped = await profiles.put(f"{path}/mapping", json={"columns": columns})
    assert mapped.status_code == 200, mapped.text
    await profiles.post(f"{path}/start", json={})
    await work()
    [row] = await rows(profiles, path)
    customer = (await profiles.get(f"/v1/customers/{row['customer_id']}")).json()
    assert customer["name"] == "Ann Miller"
    assert len(customer["contact_points"]) == 2


@pytest.mark.parametrize(
    "header",
    [",".join(f"column {number}" for number in range(10_000)), "," * 9_999 + "name"],
    ids=["named", "empty"],
)
async def test_a_header_of_ten_thousand_columns_is_refused(
    profiles: httpx2.AsyncClient, work: Work, header: str
) -> None:
    path = await upload(profiles, f"{header}\n1,2\n".encode(), start="true")
    await work()
    found = await read(profiles, path)
    assert (found["state"], found["job"]["problem"]["code"]) == ("unreadable", "unreadable_file")


async def test_headings_that_look_like_formulas_stay_harmless_in_the_file_of_failures(
    profiles: httpx2.AsyncClient, work: Work
) -> None:
    path = await upload(profiles, b'id,name,=HYPERLINK("http://example.com")\n1,,=1+1\n')
    await work()
    columns = [{"column": 0, "to": "external_id"}, {"column": 1, "to": "name"}]
    await profiles.put(f"{path}/mapping", json={"columns": columns})
    await profiles.post(f"{path}/start", json={})
    await work()
    text = (await profiles.get(f"{path}/rows.csv")).content.decode("utf-8-sig")
    assert "'=HYPERLINK" in text
    assert "'=1+1" in text
    assert ",=" not in text


async def test_a_zip_bomb_ends_the_import_and_not_the_worker(
    profiles: httpx2.AsyncClient, work: Work
) -> None:
    packed = io.BytesIO()
    with ZipFile(packed, "w", ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
        with archive.open("xl/sharedStrings.xml", "w", force_zip64=True) as part:
            for _ in range(600):
                part.write(bytes(MIB))
    assert len(packed.getvalue()) < 8 * MIB
    path = await upload(profiles, packed.getvalue(), start="true")
    tracemalloc.start()
    await work()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    found = await read(profiles, path)
    assert (found["state"], found["job"]["problem"]["code"]) == ("unreadable", "oversized_sheet")
    assert peak < 32 * MIB

    after = await upload(profiles, b"id,name\n1,Ann\n", start="true")
    await work()
    assert (await read(profiles, after))["job"]["counts"] == {"created": 1}


async def test_memory_does_not_grow_with_the_file(
    profiles: httpx2.AsyncClient, work: Work, committed: dict[str, Sessions], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importing, "ROWS_AT_ONCE", 100)
    peaks = []
    for start, count in ((0, 300), (1000, 800), (10_000, 3200)):
        lines = "".join(
            f"{number},Nr {number},+86138{number:08},{number}@example.com\n"
            for number in range(start, start + count)
        )
        path = await upload(profiles, f"customer number,name,phone,email\n{lines}".encode(), start="true")
        tracemalloc.start()
        await work()
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert (await read(profiles, path))["job"]["counts"] == {"created": count}
    _, small, large = peaks  # the first one fills caches
    assert large < small * 2 + MIB  # two chunks may be under way; kept, they would be four times as large


def events(text: str) -> list[dict[str, Any]]:
    """Of a stream of events: id, name and data of each."""
    found = []
    for block in text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if ": " in line)
        if "event" in fields:
            found.append({**fields, "data": orjson.loads(fields["data"])})
    return found


async def test_an_import_is_watched_from_its_first_rows_to_its_end(
    profiles: httpx2.AsyncClient, work: Work, committed: dict[str, Sessions], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importing, "ROWS_AT_ONCE", 1)
    lines = "".join(f"{number},Nr {number}\n" for number in range(60))
    path = await upload(profiles, f"customer number,name\n{lines}".encode(), start="true")
    async with committed["profiles"].begin() as session:
        await stop_writers(session)  # the import waits for its first row until somebody watches
        working = asyncio.ensure_future(work())
        watching = asyncio.create_task(profiles.get(f"{path}/events"))
        await asyncio.sleep(1)
    watched, _ = await asyncio.gather(watching, working)
    assert watched.headers["content-type"].startswith("text/event-stream")
    told = events(watched.text)
    assert [each["event"] for each in told] == ["progress"] * (len(told) - 1) + ["end"]
    assert len(told) > 1
    done = [each["data"]["progress"]["done"] for each in told if each["data"]["kind"] == "imports.run"]
    assert done == sorted(done)
    assert [int(each["id"]) for each in told] == [each["data"]["progress"]["done"] for each in told]
    last = told[-1]["data"]
    assert (last["state"], last["counts"]) == ("succeeded", {"created": 60})

    again = await profiles.get(f"{path}/events", headers={"last-event-id": told[0]["id"]})
    assert events(again.text) == [told[-1]]


async def test_a_merge_waits_for_a_chunk_and_not_for_the_file(
    profiles: httpx2.AsyncClient, work: Work, committed: dict[str, Sessions], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importing, "ROWS_AT_ONCE", 10)
    ids = []
    for name in ("Ann", "Bea"):
        ids.append((await profiles.post("/v1/customers", json={"name": name})).json()["id"])
    lines = "".join(f"{number},Nr {number}\n" for number in range(1500))
    path = await upload(profiles, f"customer number,name\n{lines}".encode(), start="true")
    working = asyncio.ensure_future(work())
    async with asyncio.timeout(30):
        while not (await read(profiles, path))["job"]["counts"]:  # noqa: ASYNC110  (by another task)
            await asyncio.sleep(0.01)
    merged = await profiles.post(
        "/v1/merges",
        json={"survivor_id": ids[0], "absorbed_id": ids[1]},
        headers={"idempotency-key": "merge-1"},
    )
    assert merged.status_code == 201, merged.text
    assert not working.done()
    await working
    assert (await read(profiles, path))["job"]["counts"] == {"created": 1500}


async def test_merges_and_the_two_chunks_that_are_written_at_a_time_never_wait_in_a_circle(
    profiles: httpx2.AsyncClient, work: Work, committed: dict[str, Sessions], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importing, "ROWS_AT_ONCE", 5)
    created = [await profiles.post("/v1/customers", json={"name": f"Nr {n}"}) for n in range(13)]
    ids = [each.json()["id"] for each in created]
    # Now and then somebody who is known: then a chunk that was written early starts over.
    lines = "".join(f"{n if n % 37 else 0},Nr {n % 37}\n" for n in range(400))
    path = await upload(profiles, f"customer number,name\n{lines}".encode(), start="true")
    working = asyncio.ensure_future(work())
    for number, absorbed in enumerate(ids[1:]):
        merged = await profiles.post(
            "/v1/merges",
            json={"survivor_id": ids[0], "absorbed_id": absorbed},
            headers={"idempotency-key": f"merge-{number}"},
        )
        assert merged.status_code == 201, merged.text
    await working
    found = await read(profiles, path)
    assert (found["state"], sum(found["job"]["counts"].values())) == ("imported", 400)
    assert found["job"]["counts"]["created"] == 400 - 400 // 37


async def test_an_import_waits_for_a_merge_that_takes_longer_than_a_lock_may(
    profiles: httpx2.AsyncClient, work: Work, committed: dict[str, Sessions], clock: FrozenClock
) -> None:
    path = await upload(profiles, b"id,name\n1,Ann\n2,Bob\n")
    await work()
    await profiles.post(f"{path}/start", json={})
    async with committed["profiles"].begin() as session:
        await stop_writers(session)
        working = asyncio.ensure_future(work())
        await asyncio.sleep(5)
        assert not working.done()
        async with committed["profiles"]() as other:
            assert await other.scalar(select(func.count()).select_from(Customer)) == 0
    await working
    assert (await read(profiles, path))["job"]["counts"] == {"created": 2}
