"""Exports: a file for a spreadsheet, in which nothing is a formula, and which an import finds unchanged."""

import csv
import io
from collections.abc import Awaitable, Callable
from typing import Any

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm_profiles.exports.exporting import shown
from crm_profiles.exports.spreadsheets import guarded, told_apart, unguarded
from crm_profiles.imports.mapping import Reader
from crm_profiles.models.attributes import AttributeType
from crm_profiles.models.customers import Customer
from crm_profiles.schemas.imports import ColumnIn, MappingIn
from crm_shared.ids import uuid7

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


ATTRIBUTES: dict[str, dict[str, Any]] = {
    "phone": {"type": "string", "label": "Not a contact point"},
    "spent": {"type": "number", "label": "Spent"},
    "member": {"type": "boolean", "label": "Member"},
    "since": {"type": "date", "label": "Since"},
    "size": {"type": "choice", "label": "Size", "choices": ["S", "=L"]},
    "likes": {"type": "choices", "label": "Likes", "choices": ["tea", "a, b", "+1"]},
}


@pytest.mark.parametrize("format", ["csv", "xlsx"])
async def test_addresses_and_attributes_come_back_unchanged(
    profiles: httpx2.AsyncClient, work: Work, format: str
) -> None:
    for key, attribute in ATTRIBUTES.items():
        assert (await profiles.put(f"/v1/customer-attributes/{key}", json=attribute)).status_code == 201
    address = {"lines": ["=人民路 1 号", "2 楼"], "city": "上海", "postal_code": "00200", "country": "CN"}
    values = {"phone": " +1 ", "spent": 1e-7, "member": False, "since": "2020-02-29", "size": "=L"}
    people: list[dict[str, Any]] = [
        {"name": "Ann", "address": address, "attributes": values | {"likes": ["tea", "a, b"]}},
        {"name": "Bob", "address": {"district": "-"}, "attributes": {"spent": 10**15, "likes": ["+1"]}},
        {"name": "Cid"},
    ]
    items = [{"source": "shop", "external_id": str(number), **one} for number, one in enumerate(people)]
    batch = (await profiles.post("/v1/customers/batch", json={"items": items})).json()
    assert batch["counts"] == {"created": 3}, batch
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
    guessed = {column["to"] for column in done["mapping"]["columns"]}
    assert guessed >= {f"attributes.{key}" for key in ATTRIBUTES} | {"address.lines", "address.country"}
    rows = (await profiles.get(f"/v1/imports/{made.json()['id']}/rows")).json()["items"]
    assert {row["status"] for row in rows} == {"unchanged"}, rows


LINE = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), max_size=20).map(str.strip)
WORD = LINE.filter(bool)
PLACES = ["district", "city", "province", "postal_code"]


@given(
    address=st.fixed_dictionaries(
        {}, optional={"lines": st.lists(WORD, min_size=1, max_size=3), **dict.fromkeys(PLACES, WORD)}
    ),
    values=st.fixed_dictionaries(
        {},
        optional={
            "phone": LINE,
            "spent": st.integers(-(10**15), 10**15) | st.floats(-1e15, 1e15),
            "member": st.booleans(),
            "likes": st.lists(WORD, min_size=1, max_size=3, unique=True),
        },
    ),
    tags=st.lists(WORD, max_size=3),
)
def test_every_cell_is_read_as_it_was_written(
    address: dict[str, Any], values: dict[str, Any], tags: list[str]
) -> None:
    customer = Customer(id=uuid7(), name="Ann", address=address, attributes=values, tags=tags)
    columns = ["id", "name", "tags", *(f"address.{part}" for part in ("lines", *PLACES))]
    columns += [f"attributes.{key}" for key in ("phone", "spent", "member", "likes")]
    text = io.StringIO()
    csv.writer(text).writerow([guarded(shown(column)(customer)) for column in columns])
    [cells] = csv.reader(io.StringIO(text.getvalue(), newline=""))
    mapping = MappingIn(columns=[ColumnIn(column=index, to=to) for index, to in enumerate(columns)])
    types = {key: AttributeType(attribute["type"]) for key, attribute in ATTRIBUTES.items()}
    body = Reader(mapping, columns, "shop", types).read(cells).body
    assert body.get("address", {}) == address
    assert body.get("tags", []) == tags
    assert body.get("attributes", {}) == {key: value for key, value in values.items() if value != ""}
