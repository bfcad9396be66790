"""Exports: a file for a spreadsheet, in which nothing is a formula, and which an import finds unchanged."""

import csv
import io
from collections.abc import Awaitable, Callable
from typing import Any

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm_profiles.spreadsheets import guarded, told_apart, unguarded

Work = Callable[[], Awaitable[None]]
XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"

PEOPLE: list[dict[str, Any]] = [
    {
        "source": "shop",
        "external_id": "1",
        "name": '=HYPERLINK("http://evil.example")',
        "contact_points": [
            {"kind": "phone", "value": "+8613812345678"},
            {"kind": "email", "value": "a@x.com"},
        ],
        "tags": ["@home", "a, b"],
        "birth_date": "1988-04-12",
        "region": "CN",
        "time_zone": "Asia/Shanghai",
    },
    {"source": "shop", "external_id": "-2", "name": "'+1 a\"b;c", "tags": ["x", "y"], "language": "zh-CN"},
    {
        "source": "shop",
        "external_id": "003",
        "name": "王\n小明",
        "contact_points": [
            {"kind": "phone", "value": "+12125550100"},
            {"kind": "phone", "value": "+12125550101"},
            {"kind": "social", "value": "a;b|c"},
        ],
    },
]


async def exported(profiles: httpx2.AsyncClient, work: Work, **asked: object) -> httpx2.Response:
    made = await profiles.post("/v1/exports", json=asked)
    assert made.status_code == 202, made.text
    early = await profiles.get(f"{made.headers['location']}/file")
    assert (early.status_code, early.json()["code"]) == (409, "export_not_ready")
    await work()
    found = (await profiles.get(made.headers["location"])).json()
    assert found["job"]["state"] == "succeeded", found
    file = await profiles.get(f"{made.headers['location']}/file")
    assert file.status_code == 200, file.text
    assert int(file.headers["content-length"]) == len(file.content) == found["size"]
    return file


@pytest.mark.parametrize("format", ["csv", "xlsx"])
async def test_what_was_exported_is_imported_unchanged(
    profiles: httpx2.AsyncClient, work: Work, format: str
) -> None:
    batch = (await profiles.post("/v1/customers/batch", json={"items": PEOPLE})).json()
    assert batch["counts"] == {"created": 3}
    file = await exported(profiles, work, format=format)

    made = await profiles.post(
        "/v1/imports",
        params={"name": f"back.{format}", "source": "elsewhere", "start": "true"},
        content=file.content,
        headers={"content-type": file.headers["content-type"].split(";")[0]},
    )
    await work()
    done = (await profiles.get(f"/v1/imports/{made.json()['id']}")).json()
    assert done["state"] == "imported", done
    assert done["job"]["counts"] == {"unchanged": 3}


async def test_no_cell_of_a_csv_is_a_formula(profiles: httpx2.AsyncClient, work: Work) -> None:
    await profiles.post("/v1/customers/batch", json={"items": PEOPLE})
    file = await exported(profiles, work, columns=["name", "external_id", "phone", "tags"])
    assert file.content.startswith(b"\xef\xbb\xbf")
    assert file.headers["content-disposition"].startswith("attachment")
    table = list(csv.reader(io.StringIO(file.content.decode("utf-8-sig"), newline="")))
    assert table[0] == ["name", "external id", "phone", "tags"]
    assert not [cell for row in table for cell in row if cell[:1] in tuple("=+-@\t\r")]
    assert sorted(table[1:])[1] == [
        '\'=HYPERLINK("http://evil.example")',
        "1",
        "'+8613812345678",
        "'@home\na, b\n",
    ]


async def test_filters_choose_who_is_exported(profiles: httpx2.AsyncClient, work: Work) -> None:
    await profiles.post("/v1/customers/batch", json={"items": PEOPLE})
    file = await exported(profiles, work, filters={"tag": "y"}, columns=["external_id"])
    assert file.content.decode("utf-8-sig").split() == ["external", "id", "'-2"]


async def test_contact_points_are_masked_for_who_may_not_see_them(
    profiles: httpx2.AsyncClient, client: Callable[..., httpx2.AsyncClient], work: Work
) -> None:
    await profiles.post("/v1/customers/batch", json={"items": PEOPLE})
    blind = client("profiles", pii=False)
    file = await exported(blind, work, columns=["external_id", "phone", "email"])
    text = file.content.decode("utf-8-sig")
    assert text.splitlines()[0] == "external id,phone (masked),email (masked)"
    assert "13812345678" not in text
    assert "a@x.com" not in text
    probe = {"filters": {"phone": "+8613812345678"}}
    assert (await blind.post("/v1/exports", json=probe)).json()["code"] == "personal_data_hidden"
    whole = await profiles.post("/v1/exports", json={})
    await work()
    assert (await blind.get(f"{whole.headers['location']}/file")).status_code == 404


@given(st.text())
def test_guarding_is_undone_exactly(text: str) -> None:
    assert unguarded(guarded(text)) == text
    assert unguarded(told_apart(text)) == text
    assert guarded(text)[:1] not in tuple("=+-@\t\r")
