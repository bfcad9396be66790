"""Imports in chunks: it does not matter where one ends, and a dry run says what the real one does."""

import csv
import io
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeAlias

import httpx2
import pytest
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, func, select

from crm_profiles.imports import importing
from crm_profiles.models.customers import ContactPoint, Customer, ExternalId
from crm_profiles.models.history import CustomerVersion
from crm_profiles.models.imports import ImportRow, ImportTrial, ImportTrialName
from crm_shared.database import Json, Sessions
from crm_shared.outbox import Outbox

Work = Callable[[], Awaitable[None]]
Cells: TypeAlias = Sequence[str]

CSV = {"content-type": "text/csv"}
HEADER = ("external id", "name", "phone", "email", "region", "tags")
PHONES = ("+12125550100", "(212) 555-0100", "+8613812345678", "12")
EMAILS = ("a@example.com", "B@Example.com", "c@example.com", "d@example.com")


def row(number: str, name: str, phone: str = "", email: str = "", region: str = "", tags: str = "") -> Cells:
    return (number, name, phone, email, region, tags)


ROWS = st.builds(
    row,
    st.sampled_from(["1", "2", "3", "4", "5", "6"]),
    st.sampled_from(["Ann", "Ann", "王小明", ""]),
    st.sampled_from(["", "", *PHONES]),
    st.sampled_from(["", "", *EMAILS]),
    st.sampled_from(["", "", "US"]),
    st.sampled_from(["", "", "vip"]),
)
FILES = st.lists(ROWS, min_size=1, max_size=12)
EXAMPLES = settings(
    max_examples=8,
    phases=[Phase.explicit, Phase.generate],  # each example takes long: none is made simpler
)
EXCHANGED = [
    row("1", "Ann", email="a@example.com"),
    row("2", "Bob", email="b@example.com"),
    row("1", "Ann", email="c@example.com"),
    row("2", "Bob", email="a@example.com"),
    row("1", "Ann", email="b@example.com"),
    row("3", "Cid", email="a@example.com"),
]
READ_AS_OF_THE_REGION_ON_FILE = [
    row("1", "Ann", region="US"),
    row("2", "Bob", phone="+12125550100"),
    row("3", "Cid"),
    row("4", "Dan"),
    row("1", "Ann", phone="(212) 555-0100"),
]


def text_of(rows: Sequence[Cells]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows([HEADER, *rows])
    return text.getvalue().encode()


async def upload(profiles: httpx2.AsyncClient, work: Work, rows: Sequence[Cells], **query: str) -> str:
    made = await profiles.post(
        "/v1/imports",
        params={"name": "people.csv", "source": "shop", **query},
        content=text_of(rows),
        headers=CSV,
    )
    assert made.status_code == 202, made.text
    await work()
    return str(made.headers["location"])


async def verdicts(profiles: httpx2.AsyncClient, path: str) -> list[Json]:
    job = (await profiles.get(path)).json()["job"]
    assert job["state"] == "succeeded", job
    items: list[Json] = (await profiles.get(f"{path}/rows", params={"limit": 200})).json()["items"]
    return items


def said(rows: Sequence[Json]) -> list[tuple[Any, ...]]:
    return [(each["line"], each["status"], each["version"], each["faults"]) for each in rows]


async def on_file(sessions: Sessions) -> list[tuple[Any, ...]]:
    """Everybody, by what others call them, with all versions."""
    async with sessions() as session:
        names = {each.customer_id: each.external_id for each in await session.scalars(select(ExternalId))}
        versions = await session.scalars(select(CustomerVersion))
        return sorted(
            (
                names[each.customer_id],
                each.version,
                str(each.state["contact_points"]),
                str(each.state["tags"]),
            )
            for each in versions
        )


async def clear(sessions: Sessions) -> None:
    async with sessions.begin() as session:
        for model in (ContactPoint, ExternalId, CustomerVersion, Customer, Outbox):
            await session.execute(delete(model))


@given(before=st.lists(ROWS, max_size=3), rows=FILES)
@example(before=[], rows=EXCHANGED)
@example(before=EXCHANGED[:2], rows=EXCHANGED[2:])
@example(before=[], rows=READ_AS_OF_THE_REGION_ON_FILE)
@EXAMPLES
async def test_a_dry_run_gives_each_row_the_verdict_of_the_real_run(
    profiles: httpx2.AsyncClient,
    work: Work,
    committed: dict[str, Sessions],
    before: list[Cells],
    rows: list[Cells],
) -> None:
    sessions = committed["profiles"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(importing, "ROWS_AT_ONCE", 2)
        if before:
            await upload(profiles, work, before, start="true")
        known = await on_file(sessions)
        path = await upload(profiles, work, rows, start="true", dry_run="true")
        tried = await verdicts(profiles, path)
        assert await on_file(sessions) == known
        await profiles.post(f"{path}/start", json={"dry_run": False})
        await work()
        done = await verdicts(profiles, path)
    assert said(tried) == said(done)
    async with sessions() as session:
        old = set(await session.scalars(select(ImportRow.customer_id)))
        assert await session.scalar(select(func.count()).select_from(ImportTrial)) == 0
        assert await session.scalar(select(func.count()).select_from(ImportTrialName)) == 0
    # The dry run names those only who were there.
    for one, other in zip(tried, done, strict=True):
        assert one["customer_id"] in (None, other["customer_id"])
        assert other["customer_id"] is None or other["customer_id"] in {str(id) for id in old}
        if one["status"] == "created":
            assert one["customer_id"] is None
    await clear(sessions)


@given(rows=FILES)
@example(rows=EXCHANGED)
@example(rows=[row(str(number), "Ann") for number in range(10)])
@example(rows=[*(row(str(number), "Ann") for number in range(7)), row("2", "Bob"), row("9", "Eve")])
@EXAMPLES
async def test_it_does_not_matter_where_a_chunk_ends(
    profiles: httpx2.AsyncClient, work: Work, committed: dict[str, Sessions], rows: list[Cells]
) -> None:
    sessions = committed["profiles"]
    seen = []
    for size in (1000, 2):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(importing, "ROWS_AT_ONCE", size)
            path = await upload(profiles, work, rows, start="true")
        seen.append((said(await verdicts(profiles, path)), await on_file(sessions)))
        await clear(sessions)
    assert seen[0] == seen[1]
